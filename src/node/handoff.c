/* handoff: a process moves with its state.
 *
 * begin_handoff goes to the worker; its state is stored in chunks under the claim's epoch, then the process
 * ends, then the claim is written for the target by this node, the owner. Chunks, hand-off and claim are one
 * actor's rows in this order, so whoever merges the claim has the state. The new process gets end_handoff at
 * its start, again and again until it answers restored (or until expires_at, or a later checkpoint).
 *
 * A crash at any step leaves the old claim, whose home takes over with the last checkpoint, or the new one.
 */
#include <stdio.h>
#include <string.h>

#include "node/child.h"
#include "node/swarm.h"
#include "wire/json.h"

#define CHUNK_BYTES 65536

static void ref_of(const struct child *c, char ret[32])
{
    snprintf(ret, 32, "m%llx", (unsigned long long)c->s.run);
}

/* Its own word, or what its swarm says today. */
static bool is_wanted(struct node *n, const struct child *c)
{
    return c->spec.handoff_said ? c->spec.handoff : node_settings(n, c->swarm)->handoff;
}

void handoff_begin(struct node *n, struct child *c, enum exit_kind why)
{
    char ref[32];
    child_touch(n, c);
    c->s.moving = true;
    if (c->s.phase != PHASE_RUNNING || !is_wanted(n, c)) {
        child_end(n, c, why, CHAN_MOVED);
        return;
    }
    c->s.is_asked = true;
    c->s.asked = why;
    c->s.phase = PHASE_LEAVING;
    ref_of(c, ref);
    struct str line = STR_INIT;
    chan_begin_handoff(&line, ref, c->spec.handoff_ms);
    channel_send(n, c, &line);
    timer_set(n, &c->timer, n->now_ms + c->spec.handoff_ms);
}

/* Whether a chunk has outlived its hand-off: ended after the chunk was written, or followed by a later one.
 * Without any it is early, for chunks come before what they belong to. */
static int is_over(struct node *n, const struct chunk_row *chunk)
{
    struct handoff_row row = {.swarm = chunk->swarm, .name = chunk->name};
    struct stamp parent, own;
    bool dead;
    int rc = store_version(n->store, T_HANDOFF, &row, &parent, &dead, &n->fault);
    if (rc == 1)
        rc = store_version(n->store, T_CHUNK, chunk, &own, NULL, &n->fault);
    if (rc < 1)
        return rc;
    return parent.rank > chunk->epoch || (dead && parent.rank == chunk->epoch && parent.hlc > own.hlc);
}

int handoff_chunk_merged(struct node *n, const char *swarm, const char *name, int64_t epoch, int64_t idx)
{
    struct chunk_row chunk = {.swarm = mem_dup(swarm), .name = mem_dup(name), .epoch = epoch, .idx = idx};
    int rc = is_over(n, &chunk);
    if (rc == 1)
        rc = store_drop_row(n->store, T_CHUNK, &chunk, &n->fault);
    row_fini(T_CHUNK, &chunk);
    return rc < 0 ? rc : 0;
}

/* Every node does this by itself when either is merged, in whatever order they come: no tombstones. Also of
 * chunks that lie aside: nobody need decide about what is over. */
int handoff_settle(struct node *n, const char *swarm, const char *name)
{
    struct handoff_row row = {.swarm = (char *)(uintptr_t)swarm, .name = (char *)(uintptr_t)name};
    AUTOSTR struct str first = STR_INIT, memory = STR_INIT;
    store_key(T_HANDOFF, &row, &first);
    str_putc(&first, '/');
    AUTOFREE char *end = mem_printf("%s\xff", str_get(&first));
    struct place {
        int64_t epoch, idx;
    } *list = NULL;
    size_t count = 0, cap = 0;
    struct stmt *q =
        store_ask(n->store, Q_CHANGE_PREFIX, "ttt", table_get(T_CHUNK)->name, str_get(&first), end);
    int rc;
    while ((rc = stmt_step(q, &n->fault)) == 1) {
        struct val key[TABLE_KEYS_MAX];
        if (!table_unkey(table_get(T_CHUNK), (struct span){col_text(q, 0), col_bytes(q, 0)}, &memory, key))
            continue;
        ARRAY_GROW(list, count, cap);
        list[count++] = (struct place){key[2].i, key[3].i};
    }
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = handoff_chunk_merged(n, swarm, name, list[i].epoch, list[i].idx);
    free(list);
    return rc;
}

int handoff_forget(struct node *n, const char *swarm, const char *name)
{
    struct handoff_row row = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    int rc = store_load(n->store, T_HANDOFF, &row, &n->fault);
    if (rc == 1) {
        rc = store_kill(n->store, T_HANDOFF, &row, 0, &n->fault);
        if (rc == 0)
            rc = handoff_settle(n, swarm, name);
    }
    row_fini(T_HANDOFF, &row);
    return rc < 0 ? rc : 0;
}

static int store_state(struct node *n, struct child *c, struct span data)
{
    struct handoff_row row = {.swarm = c->swarm,
                              .name = c->name,
                              .node = n->self_text,
                              .at = n->real_ms,
                              .bytes = (int64_t)data.n,
                              .epoch = c->s.epoch,
                              .expires_at = n->real_ms + n->o.handoff_ttl_ms};
    int rc = handoff_forget(n, c->swarm, c->name);
    for (size_t at = 0; rc == 0 && at < data.n; at += CHUNK_BYTES) {
        struct chunk_row chunk = {
            .swarm = c->swarm,
            .name = c->name,
            .epoch = c->s.epoch,
            .idx = row.chunks++,
            .data = {(char *)(uintptr_t)data.p + at, data.n - at < CHUNK_BYTES ? data.n - at : CHUNK_BYTES}};
        rc = store_save(n->store, T_CHUNK, &chunk, &n->fault);
    }
    return rc < 0 ? rc : store_save(n->store, T_HANDOFF, &row, &n->fault);
}

int handoff_instead(struct node *n, struct child *c, struct span data)
{
    int rc = store_state(n, c, data);
    child_touch(n, c);
    c->s.moving = true;
    child_end(n, c, EXIT_ASKED_MOVE, CHAN_MOVED);
    return rc < 0 ? rc : child_write(n, c, "moving", NULL);
}

int handoff_state(struct node *n, struct child *c, struct span data)
{
    int rc = 0;
    if (c->s.phase != PHASE_LEAVING)
        return 0;
    if (data.p)
        rc = child_is_current(n, c);
    if (rc == 1)
        rc = store_state(n, c, data);
    if (rc >= 0)
        child_end(n, c, c->s.asked, n->leaving ? CHAN_SHUTDOWN : CHAN_MOVED);
    return rc < 0 ? rc : 0;
}

/* The state has arrived: said once, for the row goes with it. */
int handoff_restored(struct node *n, struct child *c)
{
    struct handoff_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    int rc = store_load(n->store, T_HANDOFF, &row, &n->fault);
    jw_object(&j);
    jw_kv_string(&j, "migration", "cold_swap");
    jw_kv_string(&j, "from", row.node ? node_name_of(n, row.node) : NULL);
    jw_kv_string(&j, "target_node", n->name);
    jw_kv_i64(&j, "bytes", row.bytes);
    jw_object_close(&j);
    row_fini(T_HANDOFF, &row);
    if (rc == 1)
        rc = node_log(n, "handover_delivered", c->swarm, c->name, n->name, c->s.epoch, NULL, str_get(&data));
    return rc < 0 ? rc : handoff_forget(n, c->swarm, c->name);
}

int handoff_waiting(struct node *n, struct child *c, struct str *ret_state, char ret_ref[32])
{
    struct handoff_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    struct chunk_row chunk = {0};
    int64_t chunks = 0;
    int rc = store_load(n->store, T_HANDOFF, &row, &n->fault);
    if (rc == 1 && (row.expires_at > n->real_ms || !watch_period(n, n->o.handoff_ttl_ms))) {
        struct stmt *q = store_ask(n->store, Q_CHUNKS, "tti", c->swarm, c->name, row.epoch);
        while (chunks < row.chunks && (rc = store_next(q, T_CHUNK, &chunk, &n->fault)) == 1 &&
               chunk.idx == chunks) {
            str_add(ret_state, chunk.data.p, chunk.data.n);
            chunks++;
        }
        stmt_reset(q);
        row_fini(T_CHUNK, &chunk);
        snprintf(ret_ref, 32, "h%llx", (unsigned long long)row.epoch);
        if (rc >= 0)
            rc = chunks == row.chunks && (int64_t)ret_state->n == row.bytes &&
                 json_check(str_get(ret_state), ret_state->n, NULL) == 0; /* each chunk alone need not be */
    } else if (rc == 1) {
        rc = 0;
    }
    row_fini(T_HANDOFF, &row);
    return rc;
}

/* Where it goes: the node a move named if that can take it, else where the strategy says. */
static bool target(struct node *n, struct child *c, struct id *ret)
{
    char *const named[] = {c->move_to, NULL};
    return (c->move_to && own_target(n, c->swarm, c->name, named, NULL, ret)) ||
           own_target(n, c->swarm, c->name, c->spec.nodes.list, &n->self, ret);
}

/* Why it goes. */
static const char *why_of(struct node *n, const struct child *c)
{
    return told_moves[n->leaving                        ? MOVE_STOP
                      : n->draining                     ? MOVE_DRAIN
                      : c->move_to                      ? MOVE_ASKED
                      : !swarm_serves_here(n, c->swarm) ? MOVE_SWARM
                                                        : MOVE_PLACEMENT];
}

static int claim_for(struct node *n, struct child *c, const struct id *to)
{
    struct name_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (rc == 1) {
        row.since = 0;
        AUTOSTR struct str data = STR_INIT;
        own_claim(n, &row, to, row.epoch);
        own_taken(n->name, why_of(n, c), &data);
        mem_replace(&row.cause, str_get(&data));
        rc = store_save(n->store, T_NAME, &row, &n->fault);
        if (rc == 0)
            rc = node_log(n, "child_moved", c->swarm, c->name, node_name_of(n, row.owner), row.epoch, NULL,
                          row.cause);
        if (rc == 0)
            facts_moved(n, NULL, c->swarm, c->name, node_name_of(n, row.owner));
        node_wake(n, c->swarm, c->name);
    }
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : 0;
}

int handoff_claim(struct node *n, struct child *c, bool *ret_moved)
{
    struct id to;
    *ret_moved = false;
    child_touch(n, c);
    if (!node_open_now(n)) { /* own_scan comes back with the next open view */
        c->s.moving = true;
        return 0;
    }
    if (!target(n, c, &to)) {
        c->s.moving = n->draining && !n->leaving;
        if (c->s.moving) /* a draining node starts nothing: it waits for somebody to take it */
            return 0;
        if (!n->leaving && (!swarm_serves_here(n, c->swarm) || !swarm_room_here(n, c->swarm)))
            return child_unplaced(n, c);
        if (!n->leaving)
            return own_changed(n, c->swarm, c->name); /* it stays, and runs here again */
        c->s.given_up = true;
        return child_write(n, c, "stopped", NULL);
    }
    if (id_equal(&to, &n->self)) {
        c->s.moving = false;
        return own_changed(n, c->swarm, c->name);
    }
    *ret_moved = true;
    int rc = claim_for(n, c, &to);
    child_forget(n, c);
    return rc;
}
