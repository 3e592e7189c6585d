/* heard: see heard.h. */
#include "sim/heard.h"

#include "base/hlc.h"
#include "sim/look.h"

#define JOINED_SLACK_MS 10000

#define CLAIMS "('child_claimed', 'child_moved', 'session_claimed', 'session_created', 'name_registered')"

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

/* When it became a member, by its own log; 0: it was born one. */
static int64_t joined_at_ms(struct invariants *v, int i)
{
    struct stmt *q =
        stmt_new(store_db(look_node(v, i)->store),
                 "SELECT coalesce(max(at), 0) FROM log WHERE type IN ('node_joined', 'resync_done')");
    int64_t at_ms = stmt_step(q, NULL) == 1 ? col_i64(q, 0) : 0;
    stmt_free(q);
    return at_ms;
}

void heard_hold(struct invariants *v, int i)
{
    none_of(v, i,
            "SELECT swarm, name, epoch FROM log WHERE type IN " CLAIMS
            " GROUP BY swarm, name, epoch HAVING count(*) > 1",
            -1, "more than once");
    none_of(v, i,
            "SELECT swarm, name, epoch FROM (SELECT swarm, name, epoch, lag(epoch) OVER (PARTITION BY swarm, "
            "name "
            "ORDER BY seq) AS before FROM log WHERE type IN " CLAIMS ") WHERE epoch < before",
            -1, "after a later one");
    none_of(
        v, i,
        "SELECT w.swarm, w.name, w.epoch FROM name w WHERE w.epoch > ?1 AND NOT EXISTS (SELECT 1 FROM log l "
        "WHERE l.swarm = w.swarm AND l.name = w.name AND l.epoch = w.epoch)",
        (joined_at_ms(v, i) + JOINED_SLACK_MS) << 16, "never");
}
