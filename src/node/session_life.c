/* session_life: how a session begins, changes its owner and ends; and the reaper, which takes over what dead
 * owners left.
 *
 * While its owner is alive only the owner hands a claim on; a home claims only what nobody alive owns. So the
 * old owner is fenced in the very transaction that makes the new one, or it is dead. Whether an orphan is to
 * be taken is core/reap.h's.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/session.h"
#include "node/template.h"
#include "wire/uri.h"

#define SILENT_MS  15000 /* a node that fell silent keeps its sessions this long beyond the verdict */
#define REAP_SLICE 500
#define EXPIRE_MAX 100

static void fail(struct node *n, struct op *op, const struct err *e)
{
    op_fail(n, op, e, (struct span){NULL, 0});
}

/* ---- lives ---- */

/* What was written under a session lies idle after its end, and is dropped with its tombstone: elsewhere it
 * may have been claimed meanwhile under a higher epoch, and is alive. Where its id is taken again, what it
 * was written under tells the rows of the former life; every node drops them by itself, in whatever order
 * they and the claim come: no tombstones. */
static bool is_former(const struct name_row *claim, int64_t epoch)
{
    return claim->kind && strcmp(claim->kind, "session") == 0 && epoch < claim->incarnation;
}

static bool has_former(const struct name_row *claim)
{
    return is_former(claim, 1);
}

/* One row, if it is of a former life. id: of an entry or a turn. */
static int former_drop(struct node *n, const struct name_row *claim, enum table_id t, const char *id)
{
    struct entry_row entry = {.session = mem_dup(claim->name), .entry = mem_dup(id)};
    struct turn_row turn = {.session = mem_dup(claim->name), .turn = mem_dup(id)};
    struct session_state_row state = {.session = mem_dup(claim->name)};
    void *row = t == T_ENTRY ? (void *)&entry : t == T_TURN ? (void *)&turn : &state;
    int rc = store_load(n->store, t, row, &n->fault);
    int64_t epoch = t == T_ENTRY ? entry.epoch : t == T_TURN ? turn.epoch : state.epoch;
    if (rc == 1)
        rc = is_former(claim, epoch) ? store_drop_row(n->store, t, row, &n->fault) : 0;
    row_fini(T_ENTRY, &entry);
    row_fini(T_TURN, &turn);
    row_fini(T_SESSION_STATE, &state);
    return rc;
}

struct ids {
    char **list; /* owned */
    size_t n, cap;
};

static void ids_fini(struct ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        free(ids->list[i]);
    free(ids->list);
}

static int formers_of(struct node *n, const struct name_row *claim, enum table_id t, enum query query)
{
    CLEANUP(ids_fini) struct ids ids = {0};
    struct stmt *q = store_ask(n->store, query, "ti", claim->name, claim->incarnation);
    int rc;
    while ((rc = stmt_step(q, &n->fault)) == 1) {
        ARRAY_GROW(ids.list, ids.n, ids.cap);
        ids.list[ids.n++] = mem_dup(col_text(q, 0));
    }
    for (size_t i = 0; rc == 0 && i < ids.n; i++)
        rc = former_drop(n, claim, t, ids.list[i]);
    return rc;
}

/* All that is left here of former lives. */
static int formers_drop(struct node *n, const struct name_row *claim)
{
    if (!has_former(claim))
        return 0;
    int rc = former_drop(n, claim, T_SESSION_STATE, "");
    if (rc == 0)
        rc = formers_of(n, claim, T_ENTRY, Q_ENTRY_FORMER);
    return rc < 0 ? rc : formers_of(n, claim, T_TURN, Q_TURN_FORMER);
}

int session_claim_merged(struct node *n, const char *session)
{
    struct name_row claim = {.swarm = mem_dup(""), .name = mem_dup(session)};
    int rc = store_load(n->store, T_NAME, &claim, &n->fault);
    if (rc == 1)
        rc = formers_drop(n, &claim);
    row_fini(T_NAME, &claim);
    return rc;
}

int session_row_merged(struct node *n, enum table_id t, const char *session, const char *id)
{
    struct name_row claim = {.swarm = mem_dup(""), .name = mem_dup(session)};
    int rc = store_load(n->store, T_NAME, &claim, &n->fault);
    if (rc == 1)
        rc = has_former(&claim) ? former_drop(n, &claim, t, id) : 0;
    row_fini(T_NAME, &claim);
    return rc;
}

int session_had_before(struct node *n, const char *path, int64_t hlc)
{
    CLEANUP(uri_path_fini) struct uri_path p = {0};
    if (uri_path_parse(path, &p, NULL) < 0 || p.n < 3 || strcmp(p.segments[1], "sessions") != 0)
        return 0;
    struct session_row row = {.session = mem_dup(p.segments[2])};
    int rc = store_load(n->store, T_SESSION, &row, &n->fault);
    int64_t made_ms = row.created_at;
    row_fini(T_SESSION, &row);
    return rc == 1 ? hlc_ms(hlc) < made_ms : rc;
}

/* ---- what is left of an end ----
 *
 * On one side of a split a session is ended, and claimed on the other. If nobody lives to write it anew under
 * that claim, the claim stays alone; if who wrote it comes back after that claim was ended, the session does.
 * The one goes as the other has gone: both are rows of one thing. */

/* The claim's session has ended: there is its tombstone. Without one its row may lie aside, or be on its way:
 * only somebody who asks for the id, and that late, makes an end of it. 1, 0, < 0. */
static int is_over(struct node *n, const struct name_row *claim, bool asked)
{
    struct session_row row = {.session = claim->name};
    struct stamp v;
    bool dead = true;
    int rc = store_version(n->store, T_SESSION, &row, &v, &dead, &n->fault);
    if (rc != 0 || !asked)
        return rc < 0 ? rc : rc && dead;
    rc = store_version(n->store, T_NAME, claim, &v, NULL, &n->fault);
    return rc < 0 ? rc : n->real_ms - hlc_ms(v.hlc) >= n->o.tombstone_min_ms;
}

static int claim_left(struct node *n, const struct name_row *claim, bool asked)
{
    int64_t since_ms;
    bool mine = claim->owner_actor == n->actor;
    enum owner_state state = owner_state(n, claim->owner, claim->owner_actor, &since_ms);
    if (!mine && (state == OWNER_ALIVE || !node_open_now(n) || !own_is_home(n, "", claim->name)))
        return 0;
    int rc = is_over(n, claim, asked);
    if (rc < 1)
        return rc;
    rc = store_kill(n->store, T_NAME, claim, claim->epoch, &n->fault);
    if (rc == 0)
        rc = node_log(n, "session_ended", "", claim->name, node_name_of(n, claim->owner), claim->epoch, NULL,
                      NULL);
    node_wake(n, "", claim->name);
    return rc < 0 ? rc : 1;
}

int session_left(struct node *n, const char *id)
{
    struct session_row row = {.session = mem_dup(id)};
    struct name_row claim = {.swarm = mem_dup(""), .name = mem_dup(id)};
    struct stamp v;
    bool dead;
    int rc = store_version(n->store, T_NAME, &claim, &v, &dead, &n->fault);
    if (rc == 1 && dead && (rc = store_load(n->store, T_SESSION, &row, &n->fault)) == 1)
        rc = row.epoch <= v.rank ? store_kill(n->store, T_SESSION, &row, v.rank, &n->fault) : 0;
    else if (rc == 1 && !dead && (rc = store_load(n->store, T_NAME, &claim, &n->fault)) == 1)
        rc = claim.kind && strcmp(claim.kind, "session") == 0 ? claim_left(n, &claim, false) : 0;
    row_fini(T_SESSION, &row);
    row_fini(T_NAME, &claim);
    return rc < 0 ? rc : 0;
}

/* ---- making, claiming, ending ---- */

static int taken(struct node *n, struct op *op, const struct name_row *claim)
{
    struct err e;
    err_field(&e, SKEP_ETAKEN, "id",
              "there is a session %s already, on %s; choose another id, or leave it out", claim->name,
              claim->owner ? node_name_of(n, claim->owner) : "no node");
    fail(n, op, &e);
    return 0;
}

static int create_rows(struct node *n, struct op *op, const struct session_row *want, struct session *s,
                       const struct id *owner)
{
    char name[ID_TEXT];
    session_op_name(op, name);
    mem_replace(&s->claim.kind, "session");
    mem_replace(&s->claim.op, name);
    own_claim(n, &s->claim, owner, s->claim.epoch);
    s->row = (struct session_row){.session = mem_dup(s->claim.name),
                                  .consistency = mem_dup(want->consistency),
                                  .metadata = mem_dup(want->metadata),
                                  .resume = mem_dup(want->resume),
                                  .status = mem_dup("idle"),
                                  .template = mem_dup(want->template),
                                  .ttl_ms = want->ttl_ms,
                                  .epoch = s->claim.epoch,
                                  .created_at = n->real_ms,
                                  .updated_at = n->real_ms};
    int rc = store_save(n->store, T_SESSION, &s->row, &n->fault);
    if (rc == 0)
        rc = store_save(n->store, T_NAME, &s->claim, &n->fault);
    if (rc == 0)
        rc = node_log(n, "session_created", "", s->claim.name, node_name_of(n, s->claim.owner),
                      s->claim.epoch, op->request->who.name, NULL);
    node_wake(n, "", s->claim.name);
    return rc < 0 ? rc : session_changed(n, s->claim.name);
}

/* The newest of what was under this id before: nothing may be stamped below it. */
static int former(struct node *n, const struct session *s, struct stamp *ret)
{
    struct stamp v = {0};
    struct session_row row = {.session = s->claim.name};
    *ret = (struct stamp){0};
    int rc = store_version(n->store, T_NAME, &s->claim, ret, NULL, &n->fault);
    if (rc >= 0)
        rc = store_version(n->store, T_SESSION, &row, &v, NULL, &n->fault);
    if (v.rank > ret->rank)
        ret->rank = v.rank;
    if (v.hlc > ret->hlc)
        ret->hlc = v.hlc;
    return rc < 0 ? rc : 0;
}

static int create_at_home(struct node *n, struct op *op, const struct session_row *want, struct session *s)
{
    char name[ID_TEXT];
    struct stamp old;
    struct id owner = session_asked_node(n, op);
    int rc = store_load(n->store, T_NAME, &s->claim, &n->fault);
    if (rc < 0)
        return rc;
    session_op_name(op, name);
    if (rc == 1 && (!s->claim.op || strcmp(s->claim.op, name) != 0)) {
        if ((rc = claim_left(n, &s->claim, true)) < 1)
            return rc < 0 ? rc : taken(n, op, &s->claim);
        struct name_row none = {.swarm = mem_dup(""), .name = TAKE(s->claim.name)};
        row_fini(T_NAME, &s->claim);
        s->claim = none;
        rc = 0;
    }
    if (rc == 1) { /* this very request, sent twice */
        s->row.session = mem_dup(s->claim.name);
        rc = store_load(n->store, T_SESSION, &s->row, &n->fault);
        return rc == 0 ? taken(n, op, &s->claim) : rc;
    }
    if ((rc = former(n, s, &old)) < 0)
        return rc;
    if (op_is_late(n, op, old.hlc)) {
        op_retry(n, op);
        return 0;
    }
    if (!session_can_own(n, &owner) && !own_target(n, "", s->claim.name, NULL, NULL, &owner)) {
        struct err e;
        err_set(&e, SKEP_ENONODE, "no node can take a session at the moment");
        fail(n, op, &e);
        return 0;
    }
    s->claim.epoch = old.rank;
    s->claim.incarnation = old.rank + 1;
    rc = create_rows(n, op, want, s, &owner);
    if (rc == 0)
        rc = formers_drop(n, &s->claim);
    return rc < 0 ? rc : 1;
}

int session_create(struct node *n, struct op *op, const char *id, const struct session_row *want,
                   struct session *ret)
{
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    struct id home = own_home(n, "", id);
    if (!id_equal(&home, &n->self)) {
        session_send_on(n, op, NULL, &home);
        return 0;
    }
    *ret = (struct session){.claim = {.swarm = mem_dup(""), .name = mem_dup(id)}, .fresh = true};
    int rc = create_at_home(n, op, want, ret);
    if (rc < 1)
        session_fini(ret);
    return rc;
}

/* Whether this node may change or end the claim: its owner if that lives, else its home. Otherwise the op is
 * sent there. */
static bool decides(struct node *n, struct op *op, const struct session *s)
{
    struct id home = own_home(n, "", s->claim.name);
    if (session_owner_lives(n, s)) {
        if (session_holds_claim(n, s))
            return true;
        session_send_on(n, op, s->claim.owner, NULL);
        return false;
    }
    if (id_equal(&home, &n->self))
        return true;
    session_send_on(n, op, NULL, &home);
    return false;
}

static int claim_decided(struct node *n, struct op *op, struct session *s)
{
    char name[ID_TEXT];
    struct id to = session_asked_node(n, op);
    session_op_name(op, name);
    if (s->claim.op && strcmp(s->claim.op, name) == 0)
        return 1; /* this very request, sent twice */
    if (!session_can_own(n, &to)) {
        struct err e;
        err_set(&e, SKEP_ENOTALIVE, "this node is leaving and takes no session; ask another one");
        fail(n, op, &e);
        return 0;
    }
    if (!id_equal(&to, &n->self) && turn_worker_leaves(n, s->claim.name)) {
        op_wait_key(n, op, "", s->claim.name); /* its successor starts when it is gone */
        return 0;
    }
    mem_replace(&s->claim.op, name);
    int rc = session_take(n, &s->claim, &to, "claim", op->request->who.name);
    return rc < 0 ? rc : 1;
}

int session_claim(struct node *n, struct op *op, const char *id, struct session *ret)
{
    int rc = session_load_open(n, op, id, ret);
    if (rc < 1)
        return rc;
    rc = decides(n, op, ret) ? claim_decided(n, op, ret) : 0;
    ret->fresh = true;
    if (rc < 1)
        session_fini(ret);
    return rc;
}

int session_end_here(struct node *n, struct op *op, const char *id, struct session *ret)
{
    int rc = session_load_open(n, op, id, ret);
    if (rc < 1)
        return rc;
    rc = decides(n, op, ret);
    if (rc < 1)
        session_fini(ret);
    return rc;
}

int session_end(struct node *n, const struct session *s, const char *type, const char *who)
{
    int64_t rank = s->claim.epoch > s->row.epoch ? s->claim.epoch : s->row.epoch;
    int rc = store_kill(n->store, T_SESSION, &s->row, rank, &n->fault);
    if (rc == 0)
        rc = store_kill(n->store, T_NAME, &s->claim, rank, &n->fault);
    if (rc == 0)
        rc = node_log(n, type, "", s->row.session, node_name_of(n, s->claim.owner), rank, who, NULL);
    node_wake(n, "", s->row.session);
    return rc < 0 ? rc : session_changed(n, s->row.session);
}

/* ---- the reaper ---- */

int session_resume(struct store *s, const struct session_row *row, struct err *e)
{
    struct template template;
    if (row->resume)
        return strcmp(row->resume, resume_words[RESUME_EAGER]) == 0 ? RESUME_EAGER : RESUME_LAZY;
    int rc = template_load(s, row->template, &template, e), resume = template.resume;
    template_fini(&template);
    return rc < 0 ? rc : resume;
}

int session_orphaned(struct node *n, struct name_row *row, enum owner_state state, int64_t down_since_ms)
{
    CLEANUP(session_fini) struct session s = {0};
    struct id to;
    int64_t at_ms;
    int rc = session_load(n, row->name, &s);
    if (rc < 1)
        return rc;
    int resume = session_resume(n->store, &s.row, &n->fault);
    if (resume < 0)
        return resume;
    struct reap_input in = {.resume = (enum resume)resume,
                            .unfinished = turns_unfinished(n, row->name),
                            .owner = state,
                            .down_since_ms = down_since_ms,
                            .orphan_delay_ms = state == OWNER_DOWN_SILENT ? SILENT_MS : 0,
                            .am_home = true,
                            .brake_held = brake_held(&n->brake, n->now_ms)};
    /* what waits, for its time or for a token, is looked at again by sessions_reap */
    if (reap_judge(&in, n->now_ms, &at_ms) != REAP_CLAIM || !own_target(n, "", row->name, NULL, NULL, &to))
        return 0;
    node_touch(n, &n->reap_bucket, sizeof n->reap_bucket);
    if (!bucket_take(&n->reap_bucket, n->now_ms))
        return 0;
    return session_take(n, &s.claim, &to, "reaped", NULL);
}

/* A session that nobody used for its ttl_ms ends: by its owner, or by its home if that is gone. */
static int expire(struct node *n)
{
    struct session_row *due = mem_array(EXPIRE_MAX, sizeof *due);
    size_t count = 0;
    struct stmt *q = store_ask(n->store, Q_SESSION_EXPIRED, "i", n->real_ms);
    int rc = 0;
    while (count < EXPIRE_MAX && (rc = store_next(q, T_SESSION, &due[count], &n->fault)) == 1)
        count++;
    stmt_reset(q);
    for (size_t i = 0; i < count; i++) {
        struct session s = {0};
        int found = rc < 0 ? rc : session_load(n, due[i].session, &s);
        if (found == 1 &&
            (session_owner_lives(n, &s) ? session_holds_claim(n, &s) : own_is_home(n, "", due[i].session)) &&
            watch_period(n, due[i].ttl_ms) && !turns_unfinished(n, due[i].session))
            rc = session_end(n, &s, "session_expired", NULL);
        else if (found < 0)
            rc = found;
        session_fini(&s);
        row_fini(T_SESSION, &due[i]);
    }
    free(due);
    return rc < 0 ? rc : 0;
}

struct slice {
    char *ids[REAP_SLICE];
    size_t n;
};

static void slice_fini(struct slice *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->ids[i]);
}

static void reap_from(struct node *n, void *arg)
{
    free(n->reap_after);
    n->reap_after = arg;
}

static int unfinished(struct node *n, struct slice *s)
{
    int rc = 0;
    struct stmt *q = store_ask(n->store, Q_SESSION_UNFINISHED, "ti", n->reap_after ? n->reap_after : "",
                               (int64_t)REAP_SLICE);
    while (s->n < REAP_SLICE && (rc = stmt_step(q, &n->fault)) == 1)
        s->ids[s->n++] = mem_dup(col_text(q, 0));
    stmt_reset(q);
    return rc < 0 ? rc : 0;
}

/* Every unfinished session, a slice at a time: whose owner is gone (the home claims), and whose turn waits
 * here. */
int sessions_reap(struct node *n)
{
    CLEANUP(slice_fini) struct slice s = {.n = 0};
    if (!node_open_now(n) || watch_frozen(n))
        return 0;
    int rc = unfinished(n, &s);
    for (size_t i = 0; rc == 0 && i < s.n; i++)
        rc = own_changed(n, "", s.ids[i]);
    eff_do(n, reap_from, s.n == REAP_SLICE ? mem_dup(s.ids[s.n - 1]) : NULL, free);
    return rc < 0 ? rc : expire(n);
}
