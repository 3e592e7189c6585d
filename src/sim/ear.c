/* Letters and who heard them. It refuses to know who sends them and why. */
#include "sim/ear.h"

#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "sim/worker.h"
#include "wire/json.h"

#define ALL   (~0u)
#define FIRST 1000001 /* number of the first letter: what counters are told is less */

struct letter {
    bool one;
    const void *group; /* borrowed; NULL = to a name */
    int64_t written_us;
    unsigned may, heard; /* bits of names */
    int unread;          /* times it was on its way to somebody who ended */
    int reached;         /* as its sender was told */
};

struct ears {
    struct sim *sim;
    struct sim_program program;
    struct letter *letters; /* the first one is number FIRST */
    size_t n, cap;
    bool (*may)(void *ctx, const void *group, int ear, int64_t written_us);
    void *ctx;
};

static struct letter *letter_get(const struct ears *e, int64_t number)
{
    return number >= FIRST && number < FIRST + (int64_t)e->n ? &e->letters[number - FIRST] : NULL;
}

int64_t ears_letter(struct ears *e, bool one, const void *group)
{
    ARRAY_GROW(e->letters, e->n, e->cap);
    e->letters[e->n] =
        (struct letter){.one = one, .group = group, .written_us = sim_now_us(e->sim), .may = ALL};
    return FIRST + (int64_t)e->n++;
}

void ears_guard(struct ears *e, bool (*may)(void *ctx, const void *group, int ear, int64_t written_us),
                void *ctx)
{
    e->may = may;
    e->ctx = ctx;
}

/* ---- What is heard ---- */

static void hear(struct ears *e, int64_t number, int ear, const struct sim_worker *w)
{
    struct letter *l = letter_get(e, number);
    unsigned bit = 1u << ear;
    const char *wrong = NULL;
    if (!l)
        wrong = "nobody sent it";
    else if (l->heard & bit)
        wrong = "for the second time";
    else if (l->one && l->heard)
        wrong = "another name has heard it";
    else if (!(l->may & bit))
        wrong = l->may ? "it is not for that name" : "its sender was told that nobody would";
    else if (l->group && e->may && !e->may(e->ctx, l->group, ear, l->written_us))
        wrong = "it had left the group";
    if (wrong)
        sim_violation(e->sim, "ear-%d (epoch %s) hears letter %lld: %s", ear, worker_env(w, "SKEP_EPOCH"),
                      (long long)number, wrong);
    else
        l->heard |= bit;
}

static int64_t number_of(const char *line, size_t n)
{
    struct span raw = json_raw_member(line, n, "data");
    int64_t number;
    return raw.p && json_int(raw, &number) ? number : 0;
}

static bool text_of(const char *line, size_t n, const char *name, struct str *ret)
{
    struct span raw = json_raw_member(line, n, name);
    return raw.p && json_unquote(raw, ret);
}

static void line(struct sim_worker *w, const char *p, size_t n)
{
    AUTOSTR struct str type = STR_INIT, ref = STR_INIT;
    const char *name = worker_env(w, "SKEP_NAME");
    int ear;
    text_of(p, n, "type", &type);
    text_of(p, n, "ref", &ref);
    bool call = strcmp(str_get(&type), "call") == 0;
    if (strcmp(str_get(&type), "begin_handoff") == 0)
        worker_say(w, "{\"type\":\"ignore\",\"ref\":\"%s\"}", str_get(&ref));
    if ((call || strcmp(str_get(&type), "message") == 0) && name && sscanf(name, "ear-%d", &ear) == 1)
        hear(worker_ctx(w), number_of(p, n), ear, w);
    if (call)
        worker_say(w, "{\"type\":\"reply\",\"ref\":\"%s\",\"data\":%lld}", str_get(&ref),
                   (long long)number_of(p, n));
}

static void *start(struct sim_worker *w)
{
    worker_say(w, "{\"type\":\"ready\"}");
    return NULL;
}

/* A line of any program; what is no letter has no number. */
static void unread(void *ctx, const char *p, size_t n)
{
    struct letter *l = letter_get(ctx, number_of(p, n));
    if (l)
        l->unread++;
}

/* ---- What its sender was told ---- */

void ears_only(struct ears *e, int64_t number, unsigned ears)
{
    struct letter *l = letter_get(e, number);
    l->may = ears;
    if (l->heard & ~ears)
        sim_violation(e->sim, "letter %lld was heard by %x, and its sender was told that only %x would",
                      (long long)number, l->heard, ears);
}

void ears_reached(struct ears *e, int64_t number, int count)
{
    letter_get(e, number)->reached = count;
}

unsigned ears_heard(const struct ears *e, int64_t number)
{
    return letter_get(e, number)->heard;
}

void ears_count(const struct ears *e, int64_t *ret_letters, int64_t *ret_heard)
{
    *ret_letters = (int64_t)e->n;
    *ret_heard = 0;
    for (size_t i = 0; i < e->n; i++)
        *ret_heard += e->letters[i].heard != 0;
}

static bool all_heard(struct sim *s UNUSED, void *ctx, struct str *why)
{
    const struct ears *e = ctx;
    for (size_t i = 0; i < e->n; i++) {
        const struct letter *l = &e->letters[i];
        if (__builtin_popcount(l->heard) + l->unread < l->reached)
            str_printf(why, "letter %zu of %.6f reached %d, its sender was told, but was heard by %x; ",
                       FIRST + i, (double)l->written_us / SIM_SECOND, l->reached, l->heard);
    }
    return why->n == 0;
}

struct ears *ears_new(struct sim *s)
{
    struct ears *e = mem_alloc(sizeof *e);
    e->sim = s;
    e->program = (struct sim_program){.name = "ear", .start = start, .line = line, .ctx = e};
    sim_program_add(s, &e->program);
    sim_unread(s, unread, e);
    sim_check_add(s, &(struct sim_check){"what was delivered was heard", false, all_heard, e});
    return e;
}

void ears_free(struct ears *e)
{
    if (!e)
        return;
    free(e->letters);
    free(e);
}
