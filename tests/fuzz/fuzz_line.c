/* libskep, the worker's end of the channel: whatever comes through the socket, in pieces. The first byte says
 * how it is cut. A line that is taken apart has its parts inside itself. */
#include "fuzz.h"

#include <cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/str.h"
#include "lib/line.h"

#define BYTES_MAX 60000 /* what a socket takes while nobody reads */

static void text_is_good(const char *s)
{
    ensure(!s || text_is_utf8(s, strlen(s)), "a string that is no text");
}

/* Whether it is JSON to the end. */
static bool is_json(const char *s, size_t n)
{
    AUTOFREE char *copy = mem_copy(s, n);
    cJSON *j = strlen(copy) == n ? cJSON_ParseWithOpts(copy, NULL, 1) : NULL;
    cJSON_Delete(j);
    return j != NULL;
}

static void line_is_good(const struct skep_line *l)
{
    const char *const strings[] = {l->ack,  l->chain, l->code,   l->epoch, l->from,    l->id,    l->key,
                                   l->mode, l->node,  l->reason, l->ref,   l->session, l->stage, l->turn};
    const char *const parts[] = {l->body, l->data, l->decisions, l->history, l->input, l->metadata, l->state};
    for (size_t i = 0; i < COUNT(strings) && text_is_utf8(l->text, strlen(l->text)); i++)
        text_is_good(strings[i]);
    for (size_t i = 0; i < COUNT(parts); i++)
        if (parts[i])
            ensure(*parts[i], "an empty part");
    ensure(l->type <= SKEP_OTHER && l->text, "a line of no kind");
}

static void parts_are_json(const struct skep_line *l)
{
    const char *const parts[] = {l->body, l->data, l->decisions, l->history, l->input, l->metadata, l->state};
    for (size_t i = 0; i < COUNT(parts); i++)
        ensure(!parts[i] || is_json(parts[i], strlen(parts[i])), "a part that is no JSON: %s", parts[i]);
}

static void fuzz_parse(const char *p, size_t n)
{
    struct skep_line line = {0};
    AUTOFREE char *copy = mem_copy(p, n), *parts = NULL;
    int rc = line_parse(copy, n, &line, &parts);
    ensure(rc == 0 || rc == -EPROTO, "parsed: %d", rc);
    if (rc == 0) {
        line_is_good(&line);
        if (is_json(copy, n))
            parts_are_json(&line);
    }
}

/* Every line that comes, until the socket has no more. */
static void fuzz_socket(const char *p, size_t n, size_t piece)
{
    int pair[2];
    struct skep_worker *w = NULL;
    struct skep_line line;
    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket pair");
    ensure(skep_worker_open_fd(pair[1], &w) == 0, "no worker");
    bool good = true;
    for (size_t at = 0; good && at < n; at += piece) {
        size_t size = n - at < piece ? n - at : piece;
        ensure(send(pair[0], p + at, size, MSG_NOSIGNAL) == (ssize_t)size, "not sent");
        int rc = at / piece % 2 ? skep_worker_wait(w, "a", 0) : 0; /* and keeps what it passes over */
        ensure(rc == 0 || rc == -ECANCELED || rc == -ETIMEDOUT || rc == -EPROTO, "wait: %d", rc);
        while ((rc = skep_worker_next(w, 0, &line)) == 1)
            line_is_good(&line);
        good = rc == 0;
        ensure(rc == 0 || rc == -EPROTO || rc == -EMSGSIZE, "next: %d", rc);
    }
    close(pair[0]);
    while (good && skep_worker_next(w, 0, &line) == 1)
        line_is_good(&line);
    skep_worker_free(w);
}

static void fuzz_format(const char *p, size_t n)
{
    AUTOFREE char *value = mem_copy(p, n), *text = NULL;
    size_t text_n = 0;
    const struct line_part parts[] = {{"ack", value, LINE_STRING, 1}, {"state", value, LINE_JSON, 0}, {0}};
    long long number;
    if (line_format("checkpoint", parts, &text, &text_n) == 0)
        ensure(text_n > 0 && text[text_n - 1] == '\n' && memchr(text, '\n', text_n) == text + text_n - 1 &&
                   (!is_json(value, strlen(value)) || is_json(text, text_n - 1)),
               "not one line of JSON: %s", text);
    skep_json_integer(value, "x", &number);
    skep_json_says(value, "x");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > BYTES_MAX)
        return 0;
    fuzz_parse((const char *)data + 1, n - 1);
    fuzz_format((const char *)data + 1, n - 1);
    fuzz_socket((const char *)data + 1, n - 1, data[0] ? data[0] : n);
    return 0;
}
