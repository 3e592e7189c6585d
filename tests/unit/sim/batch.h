/* batch: what the tests of starts and stops of many have in common. Include it once a program. */
#ifndef SKEP_TEST_SIM_BATCH_H
#define SKEP_TEST_SIM_BATCH_H

#include "rig.h"

#define MANY     "/v1/swarms/default/children"
#define STOP     "/v1/swarms/default/stop"
#define COUNTER  "{\"name\":\"%s%02d\",\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}"
#define CHILDREN 24
#define SILENT   "{\"name\":\"silent\",\"argv\":[\"/bin/sleep\"],\"ready\":\"protocol\",\"start_ms\":1200000}"

static inline char *body_of(const char *prefix, int count, const char *last, const char *rest)
{
    struct str s = STR_INIT;
    str_puts(&s, "{\"children\":[");
    for (int i = 0; i < count; i++) {
        str_puts(&s, i ? "," : "");
        str_printf(&s, COUNTER, prefix, i);
    }
    str_printf(&s, "%s%s]%s}", last ? "," : "", last ? last : "", rest);
    return str_take(&s);
}

static inline char *names_of(const char *prefix, int count)
{
    struct str s = STR_INIT;
    str_puts(&s, "{\"names\":[");
    for (int i = 0; i < count; i++)
        str_printf(&s, "%s\"%s%02d\"", i ? "," : "", prefix, i);
    str_puts(&s, "]}");
    return str_take(&s);
}

static inline int running(struct rig *r, const char *prefix, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        AUTOFREE char *name = mem_printf("%s%02d", prefix, i);
        n += sim_running(r->sim, "default", name, NULL);
    }
    return n;
}

static inline size_t length(struct rig *r, const char *name)
{
    struct json_iter it = json_iter_init(json_raw_member(str_get(&r->body), r->body.n, name));
    struct span one;
    size_t n = 0;
    while (json_iter_next(&it, NULL, &one))
        n++;
    return n;
}

static inline void begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, nodes);
    o.loss_ppm = 0;
    rig_begin_opts(r, &o);
    agree_within(r, nodes, 5000);
}

static inline bool all_ended(struct rig *r)
{
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (sim_node_up(sim_node(r->sim, i)) &&
            rows_number(r, i, "SELECT count(*) FROM operation WHERE ended_at = 0") != 0)
            return false;
    return true;
}

static inline void all_ended_within(struct rig *r, int64_t within_ms)
{
    for (int64_t ms = 0; ms < within_ms && !all_ended(r); ms += 100)
        run_ms(r, 100);
    assert_true(all_ended(r));
}

/* Who is silent is down after 30 s, what it ran 15 s later; who is refused within a second. */
static inline void settle(struct rig *r, int back, bool silent)
{
    if (back >= 0) {
        run_ms(r, silent ? 12000 : 5000);
        assert_true(sim_start(r->sim, back));
    }
    run_ms(r, back >= 0 ? 8000 : silent ? 60000 : 12000);
    all_ended_within(r, 90000);
    run_ms(r, 5000);
}

#endif
