/* heard: see heard.h. */
#include "sim/heard.h"

#include "base/hlc.h"
#include "sim/look.h"

#define JOINED_SLACK_MS 10000

#define CLAIMS "('child_claimed', 'child_moved', 'session_claimed', 'session_created', 'name_registered')"

/* A node whose rows were from the future, and only its own, begins anew behind them. */
#define RESTAMPED "(SELECT coalesce(max(seq), 0) FROM log WHERE type = 'clock_restamped')"

/* Each row of the answer is a claim that is not told as it should be. */
static void none_of(struct invariants *v, int i, const char *sql, int64_t since, const char *what)
{
    struct stmt *q = stmt_new(store_db(look_node(v, i)->store), sql);
    if (since >= 0)
        stmt_i64(q, 1, since);
    while (stmt_step(q, NULL) == 1)
        look_broken(v, "%s: %s/%s under epoch %lld is told %s", look_name(v, i), col_text(q, 0),
                    col_text(q, 1), (long long)col_i64(q, 2), what);
    stmt_free(q);
}

/* Of what its log knows all: since it became a member, by that log, and of no time that the log dropped. */
static int64_t tells_since_ms(struct invariants *v, int i)
{
    struct node *n = look_node(v, i);
    struct stmt *q =
        stmt_new(store_db(n->store),
                 "SELECT coalesce(max(at), 0) FROM log WHERE type IN ('resync_done', 'clock_restamped') "
                 "OR type = 'node_joined' AND node = ?1");
    stmt_text(q, 1, look_name(v, i));
    int64_t at_ms = stmt_step(q, NULL) == 1 ? col_i64(q, 0) : 0,
            kept_ms = v->looks[i].real_max_ms - n->o.events_keep_ms;
    stmt_free(q);
    return (at_ms > kept_ms ? at_ms : kept_ms) + JOINED_SLACK_MS;
}

void heard_hold(struct invariants *v, int i)
{
    if (!look_node(v, i)->member)
        return;
    none_of(v, i,
            "SELECT swarm, name, epoch FROM log WHERE type IN " CLAIMS
            " GROUP BY swarm, name, epoch HAVING count(*) > 1",
            -1, "more than once");
    none_of(v, i,
            "SELECT swarm, name, epoch FROM (SELECT swarm, name, epoch, lag(epoch) OVER (PARTITION BY swarm, "
            "name "
            "ORDER BY seq) AS before FROM log WHERE type IN " CLAIMS " AND seq > " RESTAMPED
            ") WHERE epoch < before",
            -1, "after a later one");
    none_of(
        v, i,
        "SELECT w.swarm, w.name, w.epoch FROM name w WHERE w.epoch > ?1 AND NOT EXISTS (SELECT 1 FROM log l "
        "WHERE l.swarm = w.swarm AND l.name = w.name AND l.epoch = w.epoch)",
        tells_since_ms(v, i) << 16, "never");
}
