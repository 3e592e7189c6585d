/* session: where a session may be written, and what is written to it.
 *
 * Brings a write to the owner, lets the home claim what nobody alive owns, and keeps the entries' tree.
 * Making, claiming and ending are session_life.c's, turns turn.c's.
 *
 * Invariants
 *  1. Rows of a session are written in a transaction that saw this run's claim, under that claim's epoch.
 *  2. A new owner writes session, state and unfinished turns anew under its epoch before anything else: what
 * a former owner wrote unseen loses every merge. Its entries stay, as branches.
 *  3. The head moves in the transaction that writes its entry.
 */
#include "node/session.h"

#include <stdio.h>
#include <string.h>

#include "wire/digest.h"

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

bool session_holds_claim(const struct node *n, const struct session *s)
{
    return s->claim.owner && s->claim.owner_actor == n->actor && strcmp(s->claim.owner, n->self_text) == 0;
}

bool session_is_mine(const struct node *n, const struct session *s)
{
    return session_holds_claim(n, s) && s->row.epoch <= s->claim.epoch;
}

bool session_owner_lives(struct node *n, const struct session *s)
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

/* The head follows the entries that its owner appended. They may have come without the row that says so: a
 * row that is written again and again travels as its newest version only, which may not have left the owner
 * before it died. An entry behind the head was always written after it, for each one becomes the head. */
static int advance_head(struct node *n, struct session *s)
{
    int64_t seq = 0; /* rises: a peer's rows may form a ring */
    int rc;
    for (;;) {
        struct stmt *q =
            store_ask(n->store, Q_ENTRY_BEHIND, "ttii", s->row.session, s->row.head, s->row.epoch, seq);
        if ((rc = stmt_step(q, &n->fault)) < 1)
            return rc;
        mem_replace(&s->row.head, col_text(q, 0));
        seq = col_i64(q, 1);
        stmt_reset(q);
    }
}

/* New rows under the new epoch for all that only an owner writes. */
static int possess(struct node *n, struct session *s)
{
    struct session_state_row state = {.session = mem_dup(s->row.session)};
    int rc = advance_head(n, s);
    s->row.epoch = s->claim.epoch;
    if (rc == 0)
        rc = store_save(n->store, T_SESSION, &s->row, &n->fault);
    if (rc == 0 && (rc = store_load(n->store, T_SESSION_STATE, &state, &n->fault)) == 1) {
        state.epoch = s->claim.epoch;
        rc = store_save(n->store, T_SESSION_STATE, &state, &n->fault);
    }
    row_fini(T_SESSION_STATE, &state);
    return rc < 0 ? rc : turns_possess(n, s);
}

/* Writes a claim for `to`, and what follows from it here. */
int session_take(struct node *n, struct name_row *claim, const struct id *to, const char *why,
                 const char *who)
{
    AUTOFREE char *from = mem_dup(node_name_of(n, claim->owner));
    claim->since = 0;
    own_claim(n, claim, to, claim->epoch);
    AUTOSTR struct str data = STR_INIT;
    own_taken(from ? from : "", why, &data);
    mem_replace(&claim->cause, str_get(&data));
    int rc = store_save(n->store, T_NAME, claim, &n->fault);
    if (rc == 0)
        rc = node_log(n, "session_claimed", "", claim->name, node_name_of(n, claim->owner), claim->epoch, who,
                      str_get(&data));
    node_wake(n, "", claim->name);
    return rc < 0 ? rc : session_changed(n, claim->name);
}

/* The node that the client spoke to. */
struct id session_asked_node(const struct node *n, const struct op *op)
{
    return op->source == OP_PEER ? op->from : n->self;
}

bool session_can_own(struct node *n, const struct id *id)
{
    struct peer *p = peer_find(n, id);
    return p ? peer_placeable(n, p) : id_equal(id, &n->self) && !n->leaving && !n->draining && n->member;
}

int session_changed(struct node *n, const char *id)
{
    CLEANUP(session_fini) struct session s = {0};
    int rc = session_load(n, id, &s);
    if (rc == 0)
        rc = session_left(n, id);
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
void session_send_on(struct node *n, struct op *op, const char *to_text, const struct id *to_id)
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
int session_unknown(struct node *n, struct op *op, const char *id)
{
    struct id home = own_home(n, "", id);
    struct err e;
    if (id_equal(&home, &n->self)) {
        err_set(&e, SKEP_ENOSESSION, "there is no session %s; POST /v1/sessions makes one", id);
        fail(n, op, &e);
    } else {
        session_send_on(n, op, NULL, &home);
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
    struct id to = session_asked_node(n, op), home = own_home(n, "", s->claim.name);
    if (!id_equal(&home, &n->self)) {
        session_send_on(n, op, NULL, &home);
        return 0;
    }
    if (!session_can_own(n, &to) && !own_target(n, "", s->claim.name, NULL, NULL, &to)) {
        struct err e;
        err_set(&e, SKEP_ENONODE, "no node can take the session %s at the moment", s->claim.name);
        fail(n, op, &e);
        return 0;
    }
    int rc = session_take(n, &s->claim, &to, "request", op->request->who.name);
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
    if (!session_owner_lives(n, s)) {
        if (epoch && (epoch == s->claim.epoch || own_is_home(n, "", s->claim.name)))
            return fenced(n, op, s, epoch);
        return adopt(n, op, s);
    }
    if (!session_holds_claim(n, s)) {
        session_send_on(n, op, s->claim.owner, NULL);
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

int session_load_open(struct node *n, struct op *op, const char *id, struct session *ret)
{
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    int rc = session_load(n, id, ret);
    return rc == 0 ? session_unknown(n, op, id) : rc;
}

int session_here(struct node *n, struct op *op, const char *id, int64_t epoch, struct session *ret)
{
    int rc = session_load_open(n, op, id, ret);
    if (rc < 1)
        return rc;
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

/* ---- what is written ---- */

void session_op_name(const struct op *op, char ret[ID_TEXT])
{
    id_text(&op->id, ret);
}

int64_t session_life(struct node *n, const char *id)
{
    struct name_row claim = {.swarm = mem_dup(""), .name = mem_dup(id)};
    int64_t life = store_load(n->store, T_NAME, &claim, NULL) == 1 ? claim.incarnation : 0;
    row_fini(T_NAME, &claim);
    return life;
}

void session_op_id(const struct op *op, const char *session, int64_t life, const char *kind,
                   char ret[ID_TEXT])
{
    char own[ID_TEXT], lives[24];
    struct id id;
    const char *key = op->request->idempotency_key;
    session_op_name(op, own);
    snprintf(lives, sizeof lives, "%lld", (long long)life);
    const struct span parts[] = {{kind, strlen(kind)},
                                 {session, strlen(session)},
                                 {lives, life > 1 ? strlen(lives) : 0},
                                 {key ? "key" : "op", key ? 3 : 2},
                                 {key ? key : own, strlen(key ? key : own)}};
    digest16(parts, COUNT(parts), id.b);
    id_text(&id, ret);
}

int session_save(struct node *n, struct session *s)
{
    s->row.updated_at = n->real_ms;
    node_wake(n, "", s->row.session);
    return store_set(n->store, T_SESSION, &s->row, &n->fault);
}

/* The entry is there: fine if it is the same one. SESSION_SAID_AGAIN, or 0. */
static int append_again(struct entry_row *entry, struct entry_row *there, struct err *e)
{
    bool same = there->content && strcmp(there->content, entry->content) == 0 &&
                strcmp(there->role ? there->role : "", entry->role) == 0;
    if (same) {
        row_fini(T_ENTRY, entry);
        *entry = *there;
        *there = (struct entry_row){0};
        return SESSION_SAID_AGAIN;
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
    return store_set(n->store, T_SESSION_STATE, &row, &n->fault);
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
