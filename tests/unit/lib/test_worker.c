/* The worker's end over a real socket pair: the test plays skep. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/skep.h"

struct pair {
    struct skep_worker *w;
    int fd; /* skep's end; -1 = closed */
};

static int pair_init(void **state)
{
    static struct pair p;
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(skep_worker_open_fd(fd[0], &p.w), 0);
    p.fd = fd[1];
    *state = &p;
    return 0;
}

static int pair_fini(void **state)
{
    struct pair *p = *state;

    skep_worker_free(p->w);
    if (p->fd >= 0)
        close(p->fd);
    return 0;
}

static void put(struct pair *p, const char *text)
{
    assert_int_equal(write(p->fd, text, strlen(text)), strlen(text));
}

static void expect(struct pair *p, const char *text)
{
    char got[512] = "";

    assert_int_equal(recv(p->fd, got, strlen(text), MSG_WAITALL), strlen(text));
    assert_string_equal(got, text);
}

static void a_line_may_come_in_pieces(void **state)
{
    struct pair *p = *state;
    struct skep_line line;

    assert_int_equal(skep_worker_next(p->w, 0, &line), 0);
    put(p, "{\"type\":\"mess");
    assert_int_equal(skep_worker_next(p->w, 0, &line), 0);
    put(p, "age\",\"id\":\"1\",\"data\":1}\n{\"type\":\"stop\"}\n{");
    assert_int_equal(skep_worker_next(p->w, -1, &line), 1);
    assert_int_equal(line.type, SKEP_MESSAGE);
    assert_string_equal(line.data, "1");
    assert_int_equal(skep_worker_next(p->w, 0, &line), 1);
    assert_int_equal(line.type, SKEP_STOP);
    assert_int_equal(skep_worker_next(p->w, 20, &line), 0);
}

static void the_end_is_told_again_and_again(void **state)
{
    struct pair *p = *state;
    struct skep_line line;

    put(p, "{\"type\":\"start\"}\n{\"type\":\"ha");
    close(p->fd);
    p->fd = -1;
    assert_int_equal(skep_worker_next(p->w, -1, &line), 1);
    assert_int_equal(skep_worker_next(p->w, -1, &line), -EPIPE);
    assert_int_equal(skep_worker_next(p->w, 0, &line), -EPIPE);
    assert_int_equal(skep_worker_ready(p->w, NULL), -EPIPE);
}

static void what_is_no_line_ends_it(void **state)
{
    struct pair *p = *state;
    struct skep_line line;

    put(p, "hello\n{\"type\":\"start\"}\n");
    assert_int_equal(skep_worker_next(p->w, -1, &line), -EPROTO);
    assert_int_equal(skep_worker_next(p->w, -1, &line), -EPROTO);
}

static void waiting_for_an_answer_keeps_the_other_lines(void **state)
{
    struct pair *p = *state;
    struct skep_line line;

    put(p, "{\"type\":\"message\",\"id\":\"1\",\"data\":1}\n{\"type\":\"ok\",\"ack\":\"b\"}\n"
           "{\"type\":\"message\",\"id\":\"2\",\"data\":2}\n{\"type\":\"error\",\"ack\":\"a\",\"code\":"
           "\"fenced\"}\n");
    assert_int_equal(skep_worker_wait(p->w, "a", 1000), -ECANCELED);
    assert_int_equal(skep_worker_wait(p->w, "b", 0), 0);
    assert_int_equal(skep_worker_wait(p->w, "b", 10), -ETIMEDOUT);
    assert_int_equal(skep_worker_next(p->w, 0, &line), 1);
    assert_string_equal(line.id, "1");
    put(p, "{\"type\":\"stop\"}\n");
    assert_int_equal(skep_worker_next(p->w, 0, &line), 1);
    assert_string_equal(line.id, "2");
    assert_int_equal(skep_worker_next(p->w, -1, &line), 1);
    assert_int_equal(line.type, SKEP_STOP);
}

static void every_line_to_skep_has_its_form(void **state)
{
    struct pair *p = *state;
    struct skep_worker *w = p->w;

    assert_int_equal(skep_worker_ready(w, NULL), 0);
    expect(p, "{\"type\":\"ready\"}\n");
    assert_int_equal(skep_worker_checkpoint(w, "{\"count\":1}", "c1"), 0);
    expect(p, "{\"type\":\"checkpoint\",\"ack\":\"c1\",\"data\":{\"count\":1}}\n");
    assert_int_equal(skep_worker_state(w, "h", "null"), 0);
    expect(p, "{\"type\":\"state\",\"ref\":\"h\",\"data\":null}\n");
    assert_int_equal(skep_worker_ignore(w, "h"), 0);
    expect(p, "{\"type\":\"ignore\",\"ref\":\"h\"}\n");
    assert_int_equal(skep_worker_restored(w, "h"), 0);
    expect(p, "{\"type\":\"restored\",\"ref\":\"h\"}\n");
    assert_int_equal(skep_worker_reply(w, "r", "1"), 0);
    expect(p, "{\"type\":\"reply\",\"ref\":\"r\",\"data\":1}\n");
    assert_int_equal(skep_worker_fail(w, "r", "no"), 0);
    expect(p, "{\"type\":\"fail\",\"ref\":\"r\",\"detail\":\"no\"}\n");
    assert_int_equal(skep_worker_append(w, "t", "user", "\"hi\"", "a"), 0);
    expect(p, "{\"type\":\"append\",\"turn\":\"t\",\"ack\":\"a\",\"role\":\"user\",\"content\":\"hi\"}\n");
    assert_int_equal(skep_worker_save(w, "t", "{}", NULL), 0);
    expect(p, "{\"type\":\"save\",\"turn\":\"t\",\"state\":{}}\n");
    assert_int_equal(skep_worker_park(w, "t", "[{\"id\":\"x\"}]", NULL), 0);
    expect(p, "{\"type\":\"park\",\"turn\":\"t\",\"calls\":[{\"id\":\"x\"}]}\n");
    assert_int_equal(skep_worker_done(w, "t", "[]", "d"), 0);
    expect(p, "{\"type\":\"done\",\"turn\":\"t\",\"ack\":\"d\",\"result\":[]}\n");
    assert_int_equal(skep_worker_fail_turn(w, "t", "why", NULL), 0);
    expect(p, "{\"type\":\"fail\",\"turn\":\"t\",\"detail\":\"why\"}\n");
    assert_int_equal(skep_worker_request(w, "q", "GET", "/v1/cluster", NULL), 0);
    expect(p, "{\"type\":\"request\",\"ref\":\"q\",\"method\":\"GET\",\"path\":\"/v1/cluster\"}\n");
    assert_int_equal(skep_worker_request(w, "q", "PUT", "/v1/x", "{}"), 0);
    expect(p, "{\"type\":\"request\",\"ref\":\"q\",\"method\":\"PUT\",\"path\":\"/v1/x\",\"body\":{}}\n");
}

static void nothing_is_sent_of_a_bad_line(void **state)
{
    struct pair *p = *state;
    char c;

    assert_int_equal(skep_worker_checkpoint(p->w, "{", NULL), -EINVAL);
    assert_int_equal(skep_worker_reply(p->w, NULL, "1"), -EINVAL);
    assert_int_equal(recv(p->fd, &c, 1, MSG_DONTWAIT), -1);
}

#define BIG (4 * 1024 * 1024)

/* Takes a whole line, then sends the same bytes back. */
static void *echo(void *arg)
{
    struct pair *p = arg;
    size_t cap = BIG + 65536, n = 0;
    char *buffer = malloc(cap);
    ssize_t r;

    do {
        r = read(p->fd, buffer + n, cap - n);
        n += r > 0 ? (size_t)r : 0;
    } while (r > 0 && buffer[n - 1] != '\n');
    for (size_t done = 0; r > 0 && done < n; done += (size_t)r)
        r = write(p->fd, buffer + done, n - done);
    free(buffer);
    return NULL;
}

static void a_big_line_passes_both_ways(void **state)
{
    struct pair *p = *state;
    struct skep_line line;
    pthread_t thread;
    char *json = malloc(BIG + 3);

    memset(json, 'x', BIG + 2);
    json[0] = json[BIG + 1] = '"';
    json[BIG + 2] = 0;
    pthread_create(&thread, NULL, echo, p);
    assert_int_equal(skep_worker_checkpoint(p->w, json, NULL), 0);
    assert_int_equal(skep_worker_next(p->w, 60000, &line), 1);
    pthread_join(thread, NULL);
    assert_int_equal(line.type, SKEP_OTHER);
    assert_string_equal(line.data, json);
    free(json);
}

static void flood_until_refused(struct pair *p, struct skep_line *line)
{
    static char block[65536];
    int r = 0;

    memset(block, ' ', sizeof block);
    for (int sent = 0; r == 0 && sent <= SKEP_LINE_MAX / 65536 + 1; sent++) {
        assert_int_equal(write(p->fd, block, sizeof block), sizeof block);
        r = skep_worker_next(p->w, 0, line);
        for (int i = 0; r == 0 && i < 20; i++)
            r = skep_worker_next(p->w, 0, line);
    }
    assert_int_equal(r, -EPROTO);
}

static void a_line_without_end_is_refused(void **state)
{
    struct skep_line line;

    flood_until_refused(*state, &line);
}

static void open_needs_the_environment(void **state)
{
    (void)state;
    struct skep_worker *w = NULL;

    unsetenv("SKEP_FD");
    assert_int_equal(skep_worker_open(&w), -ENOENT);
    setenv("SKEP_FD", "x", 1);
    assert_int_equal(skep_worker_open(&w), -EBADF);
    setenv("SKEP_FD", "1000000", 1);
    assert_int_equal(skep_worker_open(&w), -EBADF);
    assert_null(w);
    skep_worker_free(NULL);
}

int main(void)
{
#define PAIRED(f) cmocka_unit_test_setup_teardown(f, pair_init, pair_fini)
    const struct CMUnitTest tests[] = {
        PAIRED(a_line_may_come_in_pieces),
        PAIRED(the_end_is_told_again_and_again),
        PAIRED(what_is_no_line_ends_it),
        PAIRED(waiting_for_an_answer_keeps_the_other_lines),
        PAIRED(every_line_to_skep_has_its_form),
        PAIRED(nothing_is_sent_of_a_bad_line),
        PAIRED(a_big_line_passes_both_ways),
        PAIRED(a_line_without_end_is_refused),
        cmocka_unit_test(open_needs_the_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
