/* turn: turns of a session: their rows, what their worker says of them, and what clients ask.
 *
 * What an event does to a turn is core/turn.h's table; this file writes the rows. The worker itself is
 * turn_worker.c's.
 *
 * Invariants
 *  1. A turn is on disk, with its input, before it is acknowledged; it ends exactly once: the end is written,
 * or it goes on, whoever owns the session then.
 *  2. A worker is heard only while it runs under the current claim, and only about the turn it was given.
 */
#include "node/turn.h"

#include <string.h>

#include "wire/digest.h"

#define CLAIM_MS  1000 /* for the claim that a worker made room for */
#define CANCEL_MS 2000 /* for the worker to end a cancelled turn; then the worker is ended */

/* ---- rows ---- */

enum turn_status turn_status_of(const struct turn_row *t)
{
    enum turn_status status = TURN_QUEUED;
    if (t->status)
        turn_status_parse(t->status, &status);
    return status;
}

int turn_save(struct node *n, const struct session *s, struct turn_row *t, enum turn_status status)
{
    mem_replace(&t->status, turn_status_word(status));
    t->epoch = s->claim.epoch;
    node_wake(n, "", t->session);
    return store_save(n->store, T_TURN, t, &n->fault);
}

int turn_row_load(struct node *n, const char *session, const char *turn, struct turn_row *ret)
{
    *ret = (struct turn_row){.session = mem_dup(session), .turn = mem_dup(turn)};
    int rc = store_load(n->store, T_TURN, ret, &n->fault);
    if (rc < 1)
        row_fini(T_TURN, ret);
    return rc;
}

/* The turn that runs, or is to run next. 1 found. */
int turn_next_row(struct node *n, const char *session, struct turn_row *ret)
{
    *ret = (struct turn_row){0};
    struct stmt *q = store_ask(n->store, Q_TURN_NEXT, "t", session);
    int rc = store_next(q, T_TURN, ret, &n->fault);
    stmt_reset(q);
    return rc;
}

bool turns_unfinished(struct node *n, const char *session)
{
    struct turn_row row;
    bool some = turn_next_row(n, session, &row) == 1;
    row_fini(T_TURN, &row);
    return some;
}

void turn_data(const struct turn_row *t, struct str *ret)
{
    struct jw j = jw_init(ret);
    jw_object(&j);
    jw_kv_string(&j, "turn", t->turn);
    if (t->detail)
        jw_kv_string(&j, "detail", t->detail);
    jw_object_close(&j);
    jw_end(&j);
}

int turn_log(struct node *n, const struct turn_row *t, const char *type, const char *who)
{
    AUTOSTR struct str data = STR_INIT;
    turn_data(t, &data);
    return node_log(n, type, "", t->session, n->name, t->epoch, who, str_get(&data));
}

struct turns {
    struct turn_row *list;
    size_t n, cap;
};

static void turns_fini(struct turns *t)
{
    for (size_t i = 0; i < t->n; i++)
        row_fini(T_TURN, &t->list[i]);
    free(t->list);
}

static int open_turns(struct node *n, const char *session, struct turns *ret)
{
    struct turn_row row = {0};
    int rc;
    struct stmt *q = store_ask(n->store, Q_TURN_OPEN, "t", session);
    while ((rc = store_next(q, T_TURN, &row, &n->fault)) == 1) {
        ARRAY_GROW(ret->list, ret->n, ret->cap);
        ret->list[ret->n++] = row;
        row = (struct turn_row){0};
    }
    return rc;
}

int turns_possess(struct node *n, struct session *s)
{
    CLEANUP(turns_fini) struct turns open = {0};
    int rc = open_turns(n, s->row.session, &open);
    for (size_t i = 0; rc == 0 && i < open.n; i++) {
        struct turn_row *t = &open.list[i];
        if (t->epoch < s->claim.epoch)
            rc = turn_save(n, s, t, turn_step(turn_status_of(t), TURN_EV_LOST).status);
    }
    return rc;
}

/* ---- a turn's input as an entry ---- */

static void input_id(const struct turn_row *t, int64_t epoch, char ret[ID_TEXT])
{
    struct id id;
    const struct span parts[] = {{"input", 5},
                                 {t->session, strlen(t->session)},
                                 {t->turn, strlen(t->turn)},
                                 {(const char *)&epoch, sizeof epoch}};
    digest16(parts, COUNT(parts), id.b);
    id_text(&id, ret);
}

/* 1: the entry is a part of the conversation; 0: it is not, and *ret_there says whether it exists. */
static int on_path(struct node *n, const struct session *s, const char *entry, bool *ret_there)
{
    struct entry_row row = {.session = mem_dup(s->row.session), .entry = mem_dup(entry)};
    int rc = store_load(n->store, T_ENTRY, &row, &n->fault);
    *ret_there = rc == 1;
    if (rc == 1 && (!s->row.head || strcmp(s->row.head, entry) != 0))
        rc = store_number(n->store, Q_ENTRY_ON_PATH, 0, "ttti", s->row.session, s->row.head, entry, row.seq) >
             0;
    row_fini(T_ENTRY, &row);
    return rc;
}

/* Puts the input into the conversation, once. If a former owner did so where nobody follows (its entry is a
 * branch now), it is said again. */
int turn_input_append(struct node *n, struct session *s, const struct turn_row *t)
{
    char id[ID_TEXT];
    bool there;
    struct err e;
    if (!t->input)
        return 0;
    input_id(t, 0, id);
    int rc = on_path(n, s, id, &there);
    if (rc == 0 && there) {
        input_id(t, s->claim.epoch, id);
        rc = on_path(n, s, id, &there);
    }
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct entry_row entry = {.entry = mem_dup(id),
                              .role = mem_dup("user"),
                              .content = mem_dup(t->input),
                              .turn = mem_dup(t->turn)};
    rc = session_append(n, s, &entry, &e);
    row_fini(T_ENTRY, &entry);
    return rc < 0 ? rc : 0;
}

/* ---- what the worker works on ---- */

static void free_old(struct node *n UNUSED, void *arg)
{
    free(arg);
}

static void keep_new(struct node *n UNUSED, void *arg UNUSED)
{
}

void turn_work_on(struct node *n, struct child *c, const char *turn)
{
    node_touch(n, &c->session_turn, sizeof c->session_turn);
    eff_do(n, free_old, c->session_turn, NULL);
    c->session_turn = mem_dup(turn);
    eff_do(n, keep_new, c->session_turn, free);
    child_touch(n, c);
    c->s.session_due_ms = 0;
}

void turn_due_in(struct node *n, struct child *c, int64_t ms)
{
    child_touch(n, c);
    c->s.session_due_ms = n->now_ms + ms;
    timer_set(n, &c->timer, c->s.session_due_ms);
}

void turn_worker_end(struct node *n, const char *session, enum exit_kind asked, enum chan_stop why)
{
    struct child *c = child_find(n, "", session);
    if (!c || c->s.run == 0 || c->s.is_asked)
        return;
    turn_work_on(n, c, NULL);
    child_end(n, c, asked, why);
}

bool turn_worker_leaves(struct node *n, const char *session)
{
    struct child *c = child_find(n, "", session);
    if (!c || c->s.run == 0)
        return false;
    child_touch(n, c);
    c->s.backoff_until_ms = n->now_ms + c->spec.shutdown_ms + CLAIM_MS;
    turn_worker_end(n, session, EXIT_ASKED_MOVE, CHAN_MOVED);
    return true;
}

static const char *end_word(enum turn_status status)
{
    return status == TURN_DONE ? "turn_done" : status == TURN_CANCELLED ? "turn_cancelled" : "turn_failed";
}

/* The end of a turn: its row, the session's status, word to who waits; the next one follows behind this
 * batch. */
static int settle(struct node *n, struct session *s, struct turn_row *t, enum turn_status status,
                  const char *who)
{
    struct child *c = child_find(n, "", t->session);
    if (c && c->session_turn && strcmp(c->session_turn, t->turn) == 0)
        turn_work_on(n, c, NULL);
    if (c) {
        child_touch(n, c);
        c->s.attempt = 0;
    }
    t->ended_at = n->real_ms;
    int rc = turn_save(n, s, t, status);
    if (rc == 0 && !turns_unfinished(n, t->session))
        mem_replace(&s->row.status, "idle");
    if (rc == 0)
        rc = session_save(n, s);
    session_later(n, t->session);
    return rc < 0 ? rc : turn_log(n, t, end_word(status), who);
}

int turn_settle_failed(struct node *n, struct session *s, struct turn_row *t, char *detail TAKES)
{
    free(t->detail);
    t->detail = detail;
    return settle(n, s, t, TURN_FAILED, NULL);
}
/* ---- what the worker says ---- */

static int refuse(struct node *n, struct child *c, const struct chan_line *l, int code, const char *text)
{
    struct err e;
    err_set(&e, code, "%s", text);
    channel_refuse(n, c, l->ack, &e);
    return 0;
}

static int append_line(struct node *n, struct session *s, const struct chan_line *l, struct err *e)
{
    char id[ID_TEXT];
    struct id random;
    node_random_id(n, &random);
    struct entry_row entry = {.entry = mem_dup(id_text(&random, id)),
                              .role = mem_dup(l->role),
                              .content = mem_copy(l->content.p, l->content.n),
                              .turn = mem_dup(l->turn)};
    int rc = session_append(n, s, &entry, e);
    row_fini(T_ENTRY, &entry);
    return rc;
}

static int end_line(struct node *n, struct session *s, struct turn_row *t, const struct chan_line *l,
                    enum turn_status status)
{
    if (status == TURN_FAILED)
        return turn_settle_failed(n, s, t, mem_dup(l->detail ? l->detail : "the worker gave no reason"));
    free(t->result);
    t->result = l->result.p ? mem_copy(l->result.p, l->result.n) : NULL;
    return settle(n, s, t, status, NULL);
}

static bool event_of(enum chan_type type, enum turn_event *ret)
{
    static const struct {
        enum chan_type type;
        enum turn_event event;
    } events[] = {{CHAN_APPEND, TURN_EV_APPENDED},
                  {CHAN_SAVE, TURN_EV_SAVED},
                  {CHAN_DONE, TURN_EV_DONE},
                  {CHAN_FAIL_TURN, TURN_EV_FAILED}};
    for (size_t i = 0; i < COUNT(events); i++)
        if (events[i].type == type) {
            *ret = events[i].event;
            return true;
        }
    return false;
}

/* A line about a turn that was cancelled: done or fail says that the worker is free again. */
static int late_line(struct node *n, struct child *c, const struct turn_row *t, const struct chan_line *l,
                     enum turn_event event)
{
    if (event != TURN_EV_DONE && event != TURN_EV_FAILED)
        return refuse(n, c, l, SKEP_ECONFLICT, "the turn was cancelled; end it with done or fail");
    turn_work_on(n, c, NULL);
    session_later(n, t->session);
    channel_ok(n, c, l->ack, 0);
    return 0;
}

/* A line about the turn that this worker was given. */
static int turn_line(struct node *n, struct session *s, struct child *c, struct turn_row *t,
                     const struct chan_line *l)
{
    enum turn_event event;
    struct err e;
    if (!event_of(l->type, &event))
        return refuse(n, c, l, SKEP_EARG, "this skep takes no approvals; decide without, or fail the turn");
    struct turn_next next = turn_step(turn_status_of(t), event);
    if (next.action == TURN_REFUSE)
        return late_line(n, c, t, l, event);
    int rc = 1;
    if (event == TURN_EV_APPENDED)
        rc = append_line(n, s, l, &e);
    else if (event == TURN_EV_SAVED)
        rc = session_put_state(n, s, l->state);
    else
        rc = end_line(n, s, t, l, next.status);
    if (rc < 0)
        return rc;
    if (rc == 0 && event == TURN_EV_APPENDED)
        channel_refuse(n, c, l->ack, &e);
    else
        channel_ok(n, c, l->ack, store_written(n->store));
    return 0;
}

int session_line(struct node *n, struct child *c, const struct chan_line *l)
{
    CLEANUP(session_fini) struct session s = {0};
    struct turn_row t;
    int rc = c->s.session ? session_load(n, c->name, &s) : 0;
    if (rc < 0)
        return rc;
    if (!c->s.session)
        return refuse(n, c, l, SKEP_EARG, "this process was not started for a session");
    if (rc == 0 || !session_is_mine(n, &s) || s.claim.epoch != c->s.epoch) {
        refuse(n, c, l, SKEP_EFENCED, "the session was claimed under a newer epoch; write no more, and end");
        turn_worker_end(n, c->name, EXIT_FENCED, CHAN_FENCED);
        return 0;
    }
    if (!c->session_turn || strcmp(c->session_turn, l->turn) != 0)
        return refuse(n, c, l, SKEP_ECONFLICT, "this process does not run that turn, or does no longer");
    if ((rc = turn_row_load(n, c->name, l->turn, &t)) == 1)
        rc = turn_line(n, &s, c, &t, l);
    row_fini(T_TURN, &t);
    return rc < 0 ? rc : 0;
}

/* ---- asked by clients ---- */

/* Later than all that wait: in the order of acceptance, whatever the clock does. */
static int64_t order_behind(struct node *n, const struct turns *open)
{
    int64_t last = open->n ? open->list[open->n - 1].created_at : 0;
    return n->real_ms > last ? n->real_ms : last + 1;
}

static int accept_new(struct node *n, struct session *s, struct turn_row *t, const char *who)
{
    CLEANUP(turns_fini) struct turns open = {0};
    int rc = open_turns(n, t->session, &open);
    t->created_at = order_behind(n, &open);
    if (rc == 0)
        rc = turn_save(n, s, t, TURN_QUEUED);
    mem_replace(&s->row.status, "running");
    if (rc == 0)
        rc = session_save(n, s);
    if (rc == 0 && open.n == 0)
        rc = turn_input_append(n, s, t);
    return rc < 0 ? rc : turn_log(n, t, "turn_queued", who);
}

int turn_accept(struct node *n, struct session *s, const char *turn, struct span input, const char *who)
{
    struct turn_row t;
    int rc = turn_row_load(n, s->row.session, turn, &t);
    if (rc == 0) {
        t = (struct turn_row){.session = mem_dup(s->row.session),
                              .turn = mem_dup(turn),
                              .input = input.p ? mem_copy(input.p, input.n) : NULL};
        rc = accept_new(n, s, &t, who);
    }
    row_fini(T_TURN, &t);
    return rc < 0 ? rc : turn_kick(n, s);
}

int turn_cancel(struct node *n, struct session *s, const char *turn, const char *who)
{
    struct turn_row t;
    struct child *c = child_find(n, "", s->row.session);
    int rc = turn_row_load(n, s->row.session, turn, &t);
    if (rc < 1)
        return rc;
    struct turn_next next = turn_step(turn_status_of(&t), TURN_EV_CANCELLED);
    bool here = c && c->s.run && c->session_turn && strcmp(c->session_turn, turn) == 0;
    if (here && next.action == TURN_CANCEL) {
        struct str line = STR_INIT;
        chan_cancel(&line, turn);
        channel_send(n, c, &line);
    }
    rc = next.action == TURN_REFUSE ? 0 : settle(n, s, &t, next.status, who);
    if (here && next.action == TURN_CANCEL) { /* busy until it says otherwise, or its time is up */
        turn_work_on(n, c, turn);
        turn_due_in(n, c, CANCEL_MS);
    }
    row_fini(T_TURN, &t);
    return rc < 0 ? rc : next.action != TURN_REFUSE;
}
