/* told: what the logs of a simulated cluster have of one type of event. Include it behind rig.h. */
#ifndef SKEP_TEST_SIM_TOLD_H
#define SKEP_TEST_SIM_TOLD_H

#include "rig.h"

/* All that is the same on each node, a line for each event, sorted: between nodes there is no order. name
 * NULL: of any. Returns how many. */
static inline int told_lines(struct rig *r, int node, const char *type, const char *name, struct str *ret)
{
    int count = 0;
    struct stmt *q = stmt_new(
        store_db(node_store(node_at(r, node))),
        "SELECT coalesce(swarm, ''), coalesce(name, ''), coalesce(node, ?3), epoch, coalesce(data, 'null') "
        "FROM log WHERE type = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY epoch, 3, 5");
    stmt_text(q, 1, type);
    if (name)
        stmt_text(q, 2, name);
    stmt_text(q, 3, node_at(r, node)->name);
    str_clear(ret);
    for (; stmt_step(q, NULL) == 1; count++)
        str_printf(ret, "%s/%s at %s under %lld: %s\n", col_text(q, 0), col_text(q, 1), col_text(q, 2),
                   (long long)col_i64(q, 3), col_text(q, 4));
    stmt_free(q);
    return count;
}

static inline bool told_by_all(struct rig *r, const char *type, const char *name, int times)
{
    AUTOSTR struct str lines = STR_INIT;
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (sim_node_up(sim_node(r->sim, i)) && told_lines(r, i, type, name, &lines) < times)
            return false;
    return true;
}

/* Every node that is up tells of it, so often and the same; those lines. Valid until the next call. */
static inline const char *told_alike(struct rig *r, const char *type, const char *name, int times)
{
    static struct str first, other;
    for (int i = 0; i < 2000 && !told_by_all(r, type, name, times); i++)
        run_ms(r, 10);
    run_ms(r, 1000); /* nor is it told again */
    int first_at = -1;
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        if (!sim_node_up(sim_node(r->sim, i)))
            continue;
        int count = told_lines(r, i, type, name, &other);
        if (first_at < 0) {
            str_clear(&first);
            str_puts(&first, str_get(&other));
            first_at = i;
        }
        if (count != times || strcmp(str_get(&first), str_get(&other)) != 0)
            fail_msg("n%d tells of %s %d times, not %d, or not the same:\n%s---\n%s", i + 1, type, count,
                     times, str_get(&other), str_get(&first));
    }
    return str_get(&first);
}

static inline void told_with(struct rig *r, const char *type, const char *name, int times, const char *part)
{
    const char *lines = told_alike(r, type, name, times);
    if (!strstr(lines, part))
        fail_msg("no %s in %s:\n%s", part, type, lines);
}

#endif
