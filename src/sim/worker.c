/* The built-in programs of the simulation (worker.h lists them). */
#include "sim/worker.h"

#include <string.h>

#include "wire/json.h"

struct counter {
    int64_t value;
    bool told; /* ready was sent */
};

int64_t sim_counter_value(const void *state)
{
    return state ? ((const struct counter *)state)->value : 0;
}

static void *counter_start(struct sim_worker *w UNUSED)
{
    return mem_alloc(sizeof(struct counter));
}

/* The integer in a member; otherwise if it is absent or something else. */
static int64_t member_int(const char *p, size_t n, const char *name, int64_t otherwise)
{
    struct span raw = json_raw_member(p, n, name);
    int64_t v;
    return raw.p && json_int(raw, &v) ? v : otherwise;
}

static bool member_text(const char *p, size_t n, const char *name, struct str *ret)
{
    struct span raw = json_raw_member(p, n, name);
    return raw.p && json_unquote(raw, ret);
}

static void counter_started(struct sim_worker *w, const char *p, size_t n)
{
    struct counter *c = worker_state(w);
    c->value = member_int(p, n, "state", c->value);
    if (!c->told && worker_has_arg(w, "--ready"))
        worker_say(w, "{\"type\":\"ready\"}");
    c->told = true;
}

static void counter_begin_handoff(struct sim_worker *w, const char *p, size_t n)
{
    const struct counter *c = worker_state(w);
    AUTOSTR struct str ref = STR_INIT;
    if (!worker_has_arg(w, "--mute") && member_text(p, n, "ref", &ref))
        worker_say(w, "{\"type\":\"state\",\"ref\":\"%s\",\"data\":%lld}", str_get(&ref),
                   (long long)c->value);
}

static void counter_end_handoff(struct sim_worker *w, const char *p, size_t n)
{
    struct counter *c = worker_state(w);
    AUTOSTR struct str ref = STR_INIT;
    c->value = member_int(p, n, "state", c->value);
    if (member_text(p, n, "ref", &ref))
        worker_say(w, "{\"type\":\"restored\",\"ref\":\"%s\"}", str_get(&ref));
}

static void counter_call(struct sim_worker *w, const char *p, size_t n)
{
    struct counter *c = worker_state(w);
    AUTOSTR struct str ref = STR_INIT;
    c->value += member_int(p, n, "data", 1);
    worker_say(w, "{\"type\":\"checkpoint\",\"data\":%lld}", (long long)c->value);
    if (member_text(p, n, "ref", &ref))
        worker_say(w, "{\"type\":\"reply\",\"ref\":\"%s\",\"data\":%lld}", str_get(&ref),
                   (long long)c->value);
}

static void counter_message(struct sim_worker *w, const char *p, size_t n)
{
    struct counter *c = worker_state(w);
    c->value += member_int(p, n, "data", 1);
    worker_say(w, "{\"type\":\"checkpoint\",\"data\":%lld}", (long long)c->value);
}

/* The state that lost a heal: the greater value stays. */
static void counter_conflict(struct sim_worker *w, const char *p, size_t n)
{
    struct counter *c = worker_state(w);
    int64_t other = member_int(p, n, "state", 0);
    c->value = other > c->value ? other : c->value;
    worker_say(w, "{\"type\":\"checkpoint\",\"data\":%lld}", (long long)c->value);
}

static void counter_turn(struct sim_worker *w, const char *p, size_t n)
{
    struct counter *c = worker_state(w);
    AUTOSTR struct str turn = STR_INIT;
    if (!member_text(p, n, "turn", &turn))
        return;
    c->value = member_int(p, n, "state", c->value) + 1;
    long long value = (long long)c->value;
    const char *t = str_get(&turn);
    worker_say(w, "{\"type\":\"append\",\"turn\":\"%s\",\"role\":\"assistant\",\"content\":%lld}", t, value);
    worker_say(w, "{\"type\":\"save\",\"turn\":\"%s\",\"state\":%lld}", t, value);
    worker_say(w, "{\"type\":\"done\",\"turn\":\"%s\",\"result\":%lld}", t, value);
}

static void counter_stop(struct sim_worker *w, const char *p UNUSED, size_t n UNUSED)
{
    if (worker_has_arg(w, "--obeys"))
        worker_exit(w, 0);
}

static const struct {
    const char *type;
    void (*handle)(struct sim_worker *w, const char *p, size_t n);
} counter_lines[] = {
    {"start", counter_started},
    {"begin_handoff", counter_begin_handoff},
    {"end_handoff", counter_end_handoff},
    {"call", counter_call},
    {"message", counter_message},
    {"resolve_conflict", counter_conflict},
    {"turn", counter_turn},
    {"stop", counter_stop},
};

static void counter_line(struct sim_worker *w, const char *p, size_t n)
{
    AUTOSTR struct str type = STR_INIT;
    if (json_check(p, n, NULL) != 0 || !member_text(p, n, "type", &type)) {
        sim_violation(worker_sim(w), "a worker got a line that is none: %.*s", (int)(n < 200 ? n : 200), p);
        return;
    }
    for (size_t i = 0; i < COUNT(counter_lines); i++)
        if (strcmp(counter_lines[i].type, str_get(&type)) == 0)
            counter_lines[i].handle(w, p, n);
}

static void counter_terminated(struct sim_worker *w)
{
    if (!worker_has_arg(w, "--stubborn"))
        worker_exit(w, 0);
}

static void *true_start(struct sim_worker *w)
{
    worker_exit(w, 0);
    return NULL;
}

static void *false_start(struct sim_worker *w)
{
    worker_exit(w, 1);
    return NULL;
}

const struct sim_program sim_counter = {.name = "counter",
                                        .start = counter_start,
                                        .line = counter_line,
                                        .terminated = counter_terminated,
                                        .free = free};
const struct sim_program sim_sleep = {.name = "sleep"};
const struct sim_program sim_true = {.name = "true", .start = true_start};
const struct sim_program sim_false = {.name = "false", .start = false_start};
