/* session: who owns a session, and what is written to it.
 *
 * Decides where a write may happen, claims what nobody alive owns, keeps the entries' tree, and ends
 * sessions. Turns and workers are turn.c's; whether an orphan is to be taken is core/reap.h's.
 *
 * Invariants
 *  1. Rows of a session are written in a transaction that saw this run's claim, under that claim's epoch.
 *  2. While its owner is alive only the owner hands a claim on; a home claims only what nobody alive owns. So
 * the old owner is fenced in the very transaction that makes the new one, or it is dead.
 *  3. A new owner writes session, state and unfinished turns anew under its epoch before anything else: what
 * a former owner wrote unseen loses every merge. Its entries stay, as branches.
 *  4. The head moves in the transaction that writes its entry.
 */
#include "node/session.h"

#include <stdio.h>
#include <string.h>

#include "node/effect.h"
#include "node/template.h"
#include "wire/digest.h"

#define SILENT_MS  15000 /* a node that fell silent keeps its sessions this long beyond the verdict */
#define REAP_SLICE 500
#define EXPIRE_MAX 100

void session_fini(struct session *s)
{
    row_fini(T_NAME, &s->claim);
    row_fini(T_SESSION, &s->row);
    s->fresh = false;
}

int session_load(struct node *n, const char *id, struct session *ret)
{
    *ret = (struct session){.claim = {.swarm = mem_dup(""), .name = mem_dup(id)},
                            .row = {.session = mem_dup(id)}};
    int rc = store_load(n->store, T_NAME, &ret->claim, &n->fault);
    if (rc == 1)
        rc = store_load(n->store, T_SESSION, &ret->row, &n->fault);
    if (rc < 1)
        session_fini(ret);
    return rc;
}

static bool holds_claim(const struct node *n, const struct session *s)
{
    return s->claim.owner && s->claim.owner_actor == n->actor && strcmp(s->claim.owner, n->self_text) == 0;
}

bool session_is_mine(const struct node *n, const struct session *s)
{
    return holds_claim(n, s) && s->row.epoch <= s->claim.epoch;
}

static bool owner_lives(struct node *n, const struct session *s)
{
    int64_t since_ms;
    return s->claim.owner && owner_state(n, s->claim.owner, s->claim.owner_actor, &since_ms) == OWNER_ALIVE;
}

static void look_later(struct node *n, void *arg)
{
    AUTOFREE char *id = arg;
    own_later(n, "", id);
}

void session_later(struct node *n, const char *id)
{
    eff_do(n, look_later, mem_dup(id), free);
}

/* ---- claiming ---- */

/* New rows under the new epoch for all that only an owner writes. */
static int possess(struct node *n, struct session *s)
{
    struct session_state_row state = {.session = mem_dup(s->row.session)};
    s->row.epoch = s->claim.epoch;
    int rc = store_save(n->store, T_SESSION, &s->row, &n->fault);
    if (rc == 0 && (rc = store_load(n->store, T_SESSION_STATE, &state, &n->fault)) == 1) {
        state.epoch = s->claim.epoch;
        rc = store_save(n->store, T_SESSION_STATE, &state, &n->fault);
    }
    row_fini(T_SESSION_STATE, &state);
    return rc < 0 ? rc : turns_possess(n, s);
}

/* Writes a claim for `to`, and what follows from it here. */
static int take(struct node *n, struct name_row *claim, const struct id *to, const char *why, const char *who)
{
    AUTOFREE char *from = mem_dup(claim->owner);
    claim->since = 0;
    own_claim(n, claim, to, claim->epoch);
    AUTOFREE char *data = mem_printf("{\"from\":\"%s\",\"why\":\"%s\"}", from ? from : "", why);
    int rc = store_save(n->store, T_NAME, claim, &n->fault);
    if (rc == 0)
        rc = node_log(n, "session_claimed", "", claim->name, node_name_of(n, claim->owner), claim->epoch, who,
                      data);
    node_wake(n, "", claim->name);
    return rc < 0 ? rc : session_changed(n, claim->name);
}

/* The node that the client spoke to. */
static struct id asked_node(const struct node *n, const struct op *op)
{
    return op->source == OP_PEER ? op->from : n->self;
}

static bool can_own(struct node *n, const struct id *id)
{
    struct peer *p = peer_find(n, id);
    return p ? peer_placeable(n, p) : id_equal(id, &n->self) && !n->leaving && !n->draining && n->member;
}

int session_changed(struct node *n, const char *id)
{
    CLEANUP(session_fini) struct session s = {0};
    int rc = session_load(n, id, &s);
    if (rc < 0)
        return rc;
    struct child *c = child_find(n, "", id);
    bool mine = rc == 1 && session_is_mine(n, &s);
    if (c && c->s.run && !c->s.is_asked && (!mine || c->s.epoch != s.claim.epoch)) {
        turn_worker_end(n, id, EXIT_FENCED, rc == 1 ? CHAN_FENCED : CHAN_REMOVED);
        rc = node_log(n, "session_fenced", "", id, n->name, c->s.epoch, NULL, NULL);
    }
    if (rc < 0 || !mine)
        return rc < 0 ? rc : 0;
    if (s.row.epoch < s.claim.epoch && (rc = possess(n, &s)) < 0)
        return rc;
    return turn_kick(n, &s);
}

/* ---- where a write happens ---- */

static void fail(struct node *n, struct op *op, const struct err *e)
{
    op_fail(n, op, e, (struct span){NULL, 0});
}

/* Not for this node: who forwarded it decides anew, a client's request is sent on. Whatever is asked here may
 * run twice: what it makes has one id, and what it ends stays ended. */
static void send_on(struct node *n, struct op *op, const char *to_text, const struct id *to_id)
{
    struct id to;
    if (to_id)
        to = *to_id;
    if (op->source == OP_PEER || (!to_id && !id_parse(to_text, &to)) || id_equal(&to, &n->self))
        op_retry(n, op);
    else
        op_forward(n, op, &to, true);
}

/* Only its home knows for certain that there is no such session. */
static int unknown(struct node *n, struct op *op, const char *id)
{
    struct id home = own_home(n, "", id);
    struct err e;
    if (id_equal(&home, &n->self)) {
        err_set(&e, SKEP_ENOSESSION, "there is no session %s; POST /v1/sessions makes one", id);
        fail(n, op, &e);
    } else {
        send_on(n, op, NULL, &home);
    }
    return 0;
}

static int fenced(struct node *n, struct op *op, const struct session *s, int64_t epoch)
{
    struct err e;
    if (epoch == s->claim.epoch)
        err_field(&e, SKEP_EFENCED, "epoch",
                  "the node that epoch %lld was given to is gone, and the epoch with it; "
                  "nothing was written. Claim the session again",
                  (long long)epoch);
    else
        err_field(&e, SKEP_EFENCED, "epoch",
                  "epoch %lld is not the current one, %lld is; nothing was written. Claim "
                  "the session again, or end",
                  (long long)epoch, (long long)s->claim.epoch);
    fail(n, op, &e);
    return 0;
}

/* Nobody alive owns it: the home claims it for the node that was asked, which then goes on by itself. */
static int adopt(struct node *n, struct op *op, struct session *s)
{
    struct id to = asked_node(n, op), home = own_home(n, "", s->claim.name);
    if (!id_equal(&home, &n->self)) {
        send_on(n, op, NULL, &home);
        return 0;
    }
    if (!can_own(n, &to) && !own_target(n, "", s->claim.name, NULL, NULL, &to)) {
        struct err e;
        err_set(&e, SKEP_ENONODE, "no node can take the session %s at the moment", s->claim.name);
        fail(n, op, &e);
        return 0;
    }
    int rc = take(n, &s->claim, &to, "request", op->request->who.name);
    if (rc < 0)
        return rc;
    if (id_equal(&to, &n->self))
        return 1;
    op_retry(n, op);
    return 0;
}

static int here(struct node *n, struct op *op, int64_t epoch, struct session *s)
{
    if (epoch && epoch < s->claim.epoch)
        return fenced(n, op, s, epoch);
    if (!owner_lives(n, s)) {
        if (epoch && (epoch == s->claim.epoch || own_is_home(n, "", s->claim.name)))
            return fenced(n, op, s, epoch);
        return adopt(n, op, s);
    }
    if (!holds_claim(n, s)) {
        send_on(n, op, s->claim.owner, NULL);
        return 0;
    }
    if (epoch && epoch != s->claim.epoch)
        return fenced(n, op, s, epoch);
    if (s->row.epoch > s->claim.epoch) { /* a newer claim is on its way here */
        op_wait_key(n, op, "", s->claim.name);
        return 0;
    }
    return 1;
}

int session_here(struct node *n, struct op *op, const char *id, int64_t epoch, struct session *ret)
{
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    int rc = session_load(n, id, ret);
    if (rc < 1)
        return rc < 0 ? rc : unknown(n, op, id);
    int64_t before = ret->claim.epoch;
    rc = here(n, op, epoch, ret);
    if (rc == 1 && ret->claim.epoch != before) { /* claimed just now: its rows are new */
        session_fini(ret);
        rc = session_load(n, id, ret);
        ret->fresh = true;
    }
    if (rc < 1)
        session_fini(ret);
    return rc;
}

/* ---- making, claiming, ending ---- */

static void op_name(const struct op *op, char ret[ID_TEXT])
{
    id_text(&op->id, ret);
}

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
    op_name(op, name);
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
    struct id owner = asked_node(n, op);
    int rc = store_load(n->store, T_NAME, &s->claim, &n->fault);
    if (rc < 0)
        return rc;
    op_name(op, name);
    if (rc == 1 && (!s->claim.op || strcmp(s->claim.op, name) != 0))
        return taken(n, op, &s->claim);
    if (rc == 1) { /* this very request, sent twice */
        s->row.session = mem_dup(s->claim.name);
        rc = store_load(n->store, T_SESSION, &s->row, &n->fault);
        return rc == 0 ? taken(n, op, &s->claim) : rc;
    }
    if ((rc = former(n, s, &old)) < 0)
        return rc;
    if (op->st.stamp && old.hlc >= op->st.stamp) {
        op_retry(n, op);
        return 0;
    }
    if (!can_own(n, &owner) && !own_target(n, "", s->claim.name, NULL, NULL, &owner)) {
        struct err e;
        err_set(&e, SKEP_ENONODE, "no node can take a session at the moment");
        fail(n, op, &e);
        return 0;
    }
    s->claim.epoch = old.rank;
    rc = create_rows(n, op, want, s, &owner);
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
        send_on(n, op, NULL, &home);
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
    if (owner_lives(n, s)) {
        if (holds_claim(n, s))
            return true;
        send_on(n, op, s->claim.owner, NULL);
        return false;
    }
    if (id_equal(&home, &n->self))
        return true;
    send_on(n, op, NULL, &home);
    return false;
}

static int claim_decided(struct node *n, struct op *op, struct session *s)
{
    char name[ID_TEXT];
    struct id to = asked_node(n, op);
    op_name(op, name);
    if (s->claim.op && strcmp(s->claim.op, name) == 0)
        return 1; /* this very request, sent twice */
    if (!can_own(n, &to)) {
        struct err e;
        err_set(&e, SKEP_ENOTALIVE, "this node is leaving and takes no session; ask another one");
        fail(n, op, &e);
        return 0;
    }
    mem_replace(&s->claim.op, name);
    int rc = take(n, &s->claim, &to, "claim", op->request->who.name);
    return rc < 0 ? rc : 1;
}

int session_claim(struct node *n, struct op *op, const char *id, struct session *ret)
{
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    int rc = session_load(n, id, ret);
    if (rc < 1)
        return rc < 0 ? rc : unknown(n, op, id);
    rc = decides(n, op, ret) ? claim_decided(n, op, ret) : 0;
    ret->fresh = true;
    if (rc < 1)
        session_fini(ret);
    return rc;
}

int session_end_here(struct node *n, struct op *op, const char *id, struct session *ret)
{
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    int rc = session_load(n, id, ret);
    if (rc < 1)
        return rc < 0 ? rc : unknown(n, op, id);
    rc = decides(n, op, ret);
    if (rc < 1)
        session_fini(ret);
    return rc;
}

/* What hangs on a session that is no more. Every node does this by itself: no tombstones. */
static int drop_dependants(struct node *n, const char *id)
{
    AUTOSTR struct str prefix = STR_INIT;
    struct session_state_row state = {.session = (char *)(uintptr_t)id};
    store_key(T_SESSION_STATE, &state, &prefix);
    str_putc(&prefix, '/');
    int rc = store_drop_row(n->store, T_SESSION_STATE, &state, &n->fault);
    if (rc == 0)
        rc = store_drop(n->store, T_TURN, str_get(&prefix), &n->fault);
    return rc < 0 ? rc : store_drop(n->store, T_ENTRY, str_get(&prefix), &n->fault);
}

int session_end(struct node *n, const struct session *s, const char *type, const char *who)
{
    int64_t rank = s->claim.epoch > s->row.epoch ? s->claim.epoch : s->row.epoch;
    int rc = store_kill(n->store, T_SESSION, &s->row, rank, &n->fault);
    if (rc == 0)
        rc = store_kill(n->store, T_NAME, &s->claim, rank, &n->fault);
    if (rc == 0)
        rc = drop_dependants(n, s->row.session);
    if (rc == 0)
        rc = node_log(n, type, "", s->row.session, node_name_of(n, s->claim.owner), rank, who, NULL);
    node_wake(n, "", s->row.session);
    return rc < 0 ? rc : session_changed(n, s->row.session);
}

int session_dropped(struct node *n, const char *session)
{
    int rc = drop_dependants(n, session);
    return rc < 0 ? rc : session_changed(n, session);
}

/* Rows of a former owner, or of a session that has ended meanwhile. */
int session_merged(struct node *n, const char *session)
{
    bool dead;
    struct stamp stamp;
    struct session_row row = {.session = (char *)(uintptr_t)session};
    int rc = store_version(n->store, T_SESSION, &row, &stamp, &dead, &n->fault);
    if (rc < 0)
        return rc;
    return rc == 1 && dead ? drop_dependants(n, session) : 0;
}

/* ---- what is written ---- */

void session_op_id(const struct op *op, const char *session, const char *kind, char ret[ID_TEXT])
{
    char own[ID_TEXT];
    struct id id;
    const char *key = op->request->idempotency_key;
    op_name(op, own);
    const struct span parts[] = {{kind, strlen(kind)},
                                 {session, strlen(session)},
                                 {key ? "key" : "op", key ? 3 : 2},
                                 {key ? key : own, strlen(key ? key : own)}};
    digest16(parts, COUNT(parts), id.b);
    id_text(&id, ret);
}

int session_save(struct node *n, struct session *s)
{
    s->row.updated_at = n->real_ms;
    node_wake(n, "", s->row.session);
    return store_save(n->store, T_SESSION, &s->row, &n->fault);
}

/* The entry is there: fine if it is the same one. */
static int append_again(struct entry_row *entry, struct entry_row *there, struct err *e)
{
    bool same = there->content && strcmp(there->content, entry->content) == 0 &&
                strcmp(there->role ? there->role : "", entry->role) == 0;
    if (same) {
        row_fini(T_ENTRY, entry);
        *entry = *there;
        *there = (struct entry_row){0};
        return 1;
    }
    err_field(e, SKEP_EKEYREUSED, "Idempotency-Key",
              "another entry was written under this key; a new one needs a new "
              "key");
    return 0;
}

/* The seq of the entry it goes behind; 0 for the first one. */
static int parent_seq(struct node *n, const struct session *s, const struct entry_row *entry, int64_t *ret,
                      struct err *e)
{
    const char *id = entry->parent ? entry->parent : s->row.head;
    *ret = 0;
    if (!id)
        return 1;
    struct entry_row row = {.session = mem_dup(s->row.session), .entry = mem_dup(id)};
    int rc = store_load(n->store, T_ENTRY, &row, &n->fault);
    *ret = row.seq;
    row_fini(T_ENTRY, &row);
    if (rc == 0 && entry->parent)
        err_field(e, SKEP_ENOENTRY, "parent", "the session %s has no entry %s", s->row.session, id);
    else if (rc == 0)
        err_set(e, SKEP_ESETTLING, "the newest entries of %s are still on their way to this node",
                s->row.session);
    return rc;
}

int session_append(struct node *n, struct session *s, struct entry_row *entry, struct err *e)
{
    struct entry_row there = {.session = mem_dup(s->row.session), .entry = mem_dup(entry->entry)};
    int64_t before;
    int rc = store_load(n->store, T_ENTRY, &there, &n->fault);
    if (rc == 1) {
        rc = append_again(entry, &there, e);
        row_fini(T_ENTRY, &there);
        return rc;
    }
    row_fini(T_ENTRY, &there);
    if (rc < 0 || (rc = parent_seq(n, s, entry, &before, e)) < 1)
        return rc;
    mem_replace(&entry->session, s->row.session);
    if (!entry->parent)
        entry->parent = mem_dup(s->row.head);
    entry->seq = before + 1;
    entry->at = n->real_ms;
    entry->epoch = s->claim.epoch;
    if ((rc = store_save(n->store, T_ENTRY, entry, &n->fault)) < 0)
        return rc;
    mem_replace(&s->row.head, entry->entry);
    rc = session_save(n, s);
    return rc < 0 ? rc : 1;
}

int session_put_state(struct node *n, struct session *s, struct span state)
{
    AUTOFREE char *text = mem_copy(state.p, state.n);
    struct session_state_row row = {.session = s->row.session, .state = text, .epoch = s->claim.epoch};
    node_wake(n, "", s->row.session);
    return store_save(n->store, T_SESSION_STATE, &row, &n->fault);
}

int session_need(struct node *n, struct op *op, const struct session *s)
{
    int members = n->member, need;
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        members += p->member && !p->left;
    need = members / 2;
    if (s->row.consistency && strcmp(s->row.consistency, "quorum") == 0 && op->acks < need + 1)
        op->acks = need + 1; /* a majority of the members, and no fewer if some are down */
    return s->fresh ? 1 : 0;
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
    return take(n, &s.claim, &to, "reaped", NULL);
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
        if (found == 1 && (owner_lives(n, &s) ? holds_claim(n, &s) : own_is_home(n, "", due[i].session)) &&
            !turns_unfinished(n, due[i].session))
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
    if (!node_open_now(n))
        return 0;
    int rc = unfinished(n, &s);
    for (size_t i = 0; rc == 0 && i < s.n; i++)
        rc = own_changed(n, "", s.ids[i]);
    eff_do(n, reap_from, s.n == REAP_SLICE ? mem_dup(s.ids[s.n - 1]) : NULL, free);
    return rc < 0 ? rc : expire(n);
}
