/* sweep: retention. Takes away what has had its time; a few hundred rows at a turn, each by the home of its
 * key. */
#include "node/child.h"
#include "node/swarm.h"

#define IDEM_KEEP_MS (24 * 3600 * 1000LL)
#define GONE_KEEP_MS (10 * 60 * 1000LL)
#define SWEEP_ROWS   500

struct swept {
    enum table_id t;
    enum query query;
    int64_t before;
    int64_t period_ms; /* so long after the clock was set nothing of it ends */
};

/* With its parts. */
static int end_operation(struct node *n, const struct operation_row *op)
{
    int64_t parts[SWEEP_ROWS];
    size_t count = 0;
    int rc;
    struct stmt *q = store_ask(n->store, Q_OPERATION_PARTS, "t", op->operation);
    while ((rc = stmt_step(q, &n->fault)) == 1 && count < COUNT(parts))
        parts[count++] = col_i64(q, 0);
    stmt_reset(q);
    for (size_t i = 0; rc >= 0 && i < count; i++) {
        struct operation_part_row part = {.operation = op->operation, .part = parts[i]};
        rc = store_kill(n->store, T_OPERATION_PART, &part, 0, &n->fault);
    }
    if (rc < 0 || count == COUNT(parts)) /* the others, and the row itself, the next time */
        return rc < 0 ? rc : 0;
    return store_kill(n->store, T_OPERATION, op, 0, &n->fault);
}

static int end_row(struct node *n, enum table_id t, const void *row)
{
    if (t == T_OPERATION)
        return end_operation(n, row);
    if (t != T_HANDOFF)
        return store_kill(n->store, t, row, 0, &n->fault);
    const struct handoff_row *h = row;
    return handoff_forget(n, h->swarm, h->name);
}

/* The home of a row: of its name, or of its key. */
static bool is_ours(struct node *n, enum table_id t, const void *row)
{
    AUTOSTR struct str key = STR_INIT;
    store_key(t, row, &key);
    return own_is_home(n, "", str_get(&key));
}

static int sweep_table(struct node *n, const struct swept *s)
{
    size_t bytes = table_get(s->t)->row_bytes, count = 0;
    AUTOFREE char *rows = mem_array(SWEEP_ROWS, bytes);
    struct stmt *q = store_ask(n->store, s->query, "i", s->before);
    int rc = 0;
    while (count < SWEEP_ROWS && (rc = store_next(q, s->t, rows + count * bytes, &n->fault)) == 1)
        count++;
    stmt_reset(q);
    for (size_t i = 0; i < count; i++) {
        if (rc >= 0 && is_ours(n, s->t, rows + i * bytes))
            rc = end_row(n, s->t, rows + i * bytes);
        row_fini(s->t, rows + i * bytes);
    }
    return rc < 0 ? rc : 0;
}

static int trim_log(struct node *n)
{
    struct log_keep keep = {n->real_ms - n->o.events_keep_ms, n->o.events_keep_rows, n->o.history_keep_rows};
    node_touch(n, &n->log_after, sizeof n->log_after);
    return store_log_trim(n->store, &keep, &n->log_after, &n->fault);
}

int node_sweep(struct node *n)
{
    const struct swept all[] = {
        {T_IDEM, Q_IDEM_OLD, n->real_ms - IDEM_KEEP_MS, IDEM_KEEP_MS},
        {T_CHILD, Q_CHILD_LEFT, n->real_ms - GONE_KEEP_MS, GONE_KEEP_MS},
        {T_OPERATION, Q_OPERATION_OLD, n->real_ms - BATCH_KEEP_MS, BATCH_KEEP_MS},
        {T_HANDOFF, Q_HANDOFF_EXPIRED, n->real_ms, n->o.handoff_ttl_ms},
        {T_CONFLICT, Q_CONFLICT_OLD, n->real_ms - n->o.handoff_ttl_ms, n->o.handoff_ttl_ms}};
    int rc = 0;
    if (watch_frozen(n))
        return 0;
    for (size_t i = 0; rc == 0 && node_open_now(n) && i < COUNT(all); i++)
        rc = watch_period(n, all[i].period_ms) ? sweep_table(n, &all[i]) : 0;
    if (rc == 0)
        rc = group_sweep(n);
    if (rc == 0)
        rc = swarm_sweep(n);
    if (rc == 0)
        rc = told_sweep(n);
    if (rc == 0)
        rc = gc_tick(n);
    if (rc == 0)
        rc = trim_log(n);
    return rc;
}
