/* turn: turns of a session, and the worker that runs them.
 *
 * A session has at most one worker, on its owner's node, spawned from its template when a turn waits and
 * ended after a time without one. Turns run one at a time in the order they were accepted. What an event does
 * to a turn is core/turn.h's table; this file writes the rows and speaks to the worker.
 *
 * Invariants
 *  1. A turn is on disk, with its input, before it is acknowledged; it ends exactly once: the end is written,
 * or it goes on, whoever owns the session then.
 *  2. A worker is heard only while it runs under the current claim, and only about the turn it was given.
 *  3. A turn whose worker or owner is lost goes back to the front of the queue and is given out again as
 * resumed; a worker that keeps ending on the same turn makes it fail.
 */
#include <stdio.h>
#include <string.h>

#include "core/turn.h"
#include "node/effect.h"
#include "node/session.h"
#include "node/template.h"
#include "wire/digest.h"

#define CRASHES_MAX       3    /* ends of the worker on one turn, in a row, here */
#define ATTEMPTS_MAX      20   /* times a turn is given out, on all nodes */
#define CANCEL_MS         2000 /* for the worker to end a cancelled turn; then the worker is ended */
#define BACKOFF_MIN_MS    100
#define BACKOFF_MAX_MS    5000
#define HISTORY_BYTES_MAX (4u << 20) /* older entries than fit are left out */

/* ---- rows ---- */

static enum turn_status status_of(const struct turn_row *t)
{
    enum turn_status status = TURN_QUEUED;
    if (t->status)
        turn_status_parse(t->status, &status);
    return status;
}

static int turn_save(struct node *n, const struct session *s, struct turn_row *t, enum turn_status status)
{
    mem_replace(&t->status, turn_status_word(status));
    t->epoch = s->claim.epoch;
    node_wake(n, "", t->session);
    return store_save(n->store, T_TURN, t, &n->fault);
}

static int turn_load(struct node *n, const char *session, const char *turn, struct turn_row *ret)
{
    *ret = (struct turn_row){.session = mem_dup(session), .turn = mem_dup(turn)};
    int rc = store_load(n->store, T_TURN, ret, &n->fault);
    if (rc < 1)
        row_fini(T_TURN, ret);
    return rc;
}

/* The turn that runs, or is to run next. 1 found. */
static int next_turn(struct node *n, const char *session, struct turn_row *ret)
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
    bool some = next_turn(n, session, &row) == 1;
    row_fini(T_TURN, &row);
    return some;
}

static int log_turn(struct node *n, const struct turn_row *t, const char *type, const char *who)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "turn", t->turn);
    if (t->detail)
        jw_kv_string(&j, "detail", t->detail);
    jw_object_close(&j);
    jw_end(&j);
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
            rc = turn_save(n, s, t, turn_step(status_of(t), TURN_EV_LOST).status);
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
static int input_append(struct node *n, struct session *s, const struct turn_row *t)
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

static void work_on(struct node *n, struct child *c, const char *turn)
{
    node_touch(n, &c->session_turn, sizeof c->session_turn);
    eff_do(n, free_old, c->session_turn, NULL);
    c->session_turn = mem_dup(turn);
    eff_do(n, keep_new, c->session_turn, free);
    child_touch(n, c);
    c->s.session_due_ms = 0;
}

static void due_in(struct node *n, struct child *c, int64_t ms)
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
    work_on(n, c, NULL);
    child_end(n, c, asked, why);
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
        work_on(n, c, NULL);
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
    return rc < 0 ? rc : log_turn(n, t, end_word(status), who);
}

static int settle_failed(struct node *n, struct session *s, struct turn_row *t, char *detail TAKES)
{
    free(t->detail);
    t->detail = detail;
    return settle(n, s, t, TURN_FAILED, NULL);
}

/* ---- giving a turn to the worker ---- */

static void write_entry(struct stmt *q, struct jw *j)
{
    jw_object(j);
    jw_kv_string(j, "id", col_text(q, 0));
    jw_kv_string(j, "parent", col_text(q, 1));
    jw_kv_string(j, "turn", col_text(q, 2));
    jw_kv_string(j, "role", col_text(q, 3));
    jw_kv_raw(j, "content", (struct span){col_text(q, 4), col_bytes(q, 4)});
    jw_kv_i64(j, "seq", col_i64(q, 5));
    jw_kv_time(j, "at", col_i64(q, 6));
    jw_object_close(j);
}

static int head_seq(struct node *n, const struct session *s, int64_t *ret)
{
    struct entry_row row = {.session = mem_dup(s->row.session), .entry = mem_dup(s->row.head)};
    int rc = store_load(n->store, T_ENTRY, &row, &n->fault);
    *ret = row.seq;
    row_fini(T_ENTRY, &row);
    return rc;
}

/* Leaves out the oldest entries until the rest fits. starts: where each begins in text. */
static void cut_history(struct str *text, const size_t *starts, size_t count)
{
    size_t first = 0;
    while (first < count && text->n - starts[first] > HISTORY_BYTES_MAX)
        first++;
    if (first == 0)
        return;
    struct str rest = STR_INIT;
    str_putc(&rest, '[');
    if (first < count)
        str_add(&rest, text->p + starts[first], text->n - starts[first]);
    else
        str_putc(&rest, ']');
    str_fini(text);
    *text = rest;
}

/* The conversation up to the head, as an array; the newest `most` entries of it, 0 = all. */
static int write_history(struct node *n, const struct session *s, int64_t most, struct str *ret)
{
    AUTOFREE size_t *starts = NULL;
    size_t count = 0, cap = 0;
    int64_t seq = 0;
    int rc = s->row.head ? head_seq(n, s, &seq) : 0;
    struct jw j = jw_init(ret);
    jw_array(&j);
    if (rc == 1) {
        int64_t above = most && seq > most ? seq - most : 0;
        struct stmt *q =
            store_ask(n->store, Q_ENTRY_PATH, "ttii", s->row.session, s->row.head, above, INT64_MAX);
        while ((rc = stmt_step(q, &n->fault)) == 1) {
            ARRAY_GROW(starts, count, cap);
            starts[count] = ret->n + (count > 0); /* behind the comma */
            count++;
            write_entry(q, &j);
        }
    }
    jw_array_close(&j);
    jw_end(&j);
    cut_history(ret, starts, count);
    return rc;
}

static int write_line(struct node *n, const struct session *s, const struct turn_row *t, int64_t most,
                      struct str *ret)
{
    AUTOSTR struct str history = STR_INIT;
    struct session_state_row state = {.session = mem_dup(s->row.session)};
    int rc = write_history(n, s, most, &history);
    if (rc >= 0)
        rc = store_load(n->store, T_SESSION_STATE, &state, &n->fault);
    const struct span none = {NULL, 0};
    struct chan_turn line = {.session = s->row.session,
                             .turn = t->turn,
                             .epoch = s->claim.epoch,
                             .input = t->input ? (struct span){t->input, strlen(t->input)} : none,
                             .history = {str_get(&history), history.n},
                             .state = state.state ? (struct span){state.state, strlen(state.state)} : none,
                             .resumed = t->attempts > 0};
    if (rc >= 0)
        chan_turn(ret, &line);
    row_fini(T_SESSION_STATE, &state);
    return rc < 0 ? rc : 0;
}

static int give(struct node *n, struct session *s, struct child *c, struct turn_row *t,
                struct str *line TAKES)
{
    struct template template;
    int rc = template_load(n->store, s->row.template, &template, &n->fault);
    int64_t turn_ms = template.turn_ms;
    template_fini(&template);
    t->attempts++;
    mem_replace(&t->node, n->self_text);
    if (rc >= 0)
        rc = turn_save(n, s, t, TURN_RUNNING);
    if (rc >= 0)
        rc = log_turn(n, t, t->attempts > 1 ? "turn_resumed" : "turn_started", NULL);
    if (rc < 0) {
        str_fini(line);
        return rc;
    }
    channel_send(n, c, line);
    work_on(n, c, t->turn);
    due_in(n, c, turn_ms);
    return 0;
}

/* The worker is up and free: its next turn. */
static int send_turn(struct node *n, struct session *s, struct child *c, struct turn_row *t)
{
    struct str line = STR_INIT;
    struct template template;
    if (t->attempts >= ATTEMPTS_MAX)
        return settle_failed(n, s, t, mem_printf("given to a worker %d times without an end", ATTEMPTS_MAX));
    int rc = input_append(n, s, t);
    if (rc == 0 && (rc = template_load(n->store, s->row.template, &template, &n->fault)) >= 0) {
        rc = write_line(n, s, t, template.max_messages, &line);
        template_fini(&template);
    }
    if (rc == 0 && line.n <= CHAN_LINE_MAX)
        return give(n, s, c, t, &line);
    size_t bytes = line.n;
    str_fini(&line);
    return rc < 0 ? rc
                  : settle_failed(
                        n, s, t,
                        mem_printf("input, history and state have %zu bytes, more than a worker's line "
                                   "holds; keep less in the state, or set max_messages",
                                   bytes));
}

/* ---- the worker's life ---- */

static int take_spec(struct node *n, struct session *s, struct child *c)
{
    struct template template;
    int rc = template_load(n->store, s->row.template, &template, &n->fault);
    if (rc == 1) {
        spec_fini(&c->spec);
        spec_defaults(&c->spec);
        c->spec.argv = template.argv;
        c->spec.env = template.env;
        c->spec.handoff = false;
        template.argv = (struct json_strings){0};
        template.env = (struct json_map){0};
    }
    template_fini(&template);
    return rc;
}

static int no_template(struct node *n, struct session *s, struct turn_row *t)
{
    if (!s->row.template)
        return settle_failed(
            n, s, t, mem_dup("the session was made without a template, so nothing can run its turns"));
    return settle_failed(
        n, s, t, mem_printf("there is no template %s; PUT /v1/templates/… makes it", s->row.template));
}

/* A spawn needs what rule 2 of child.c says; whatever is missing comes back to session_changed. */
static int spawn_worker(struct node *n, struct session *s, struct turn_row *t)
{
    bool covered;
    struct child *c = child_find(n, "", s->row.session);
    if (n->leaving || !node_open_now(n))
        return 0;
    int rc = claim_covered(n, &s->claim, &covered);
    if (rc < 0 || !covered)
        return rc;
    if (!c)
        c = child_new(n, "", s->row.session);
    child_touch(n, c);
    c->s.session = true;
    if (n->now_ms < c->s.backoff_until_ms) {
        timer_set(n, &c->timer, c->s.backoff_until_ms);
        return 0;
    }
    if ((rc = take_spec(n, s, c)) < 0)
        return rc;
    if (rc == 0)
        return no_template(n, s, t);
    c->s.epoch = s->claim.epoch;
    c->s.published = false;
    c->s.session_due_ms = 0;
    return child_spawn(n, c);
}

/* No turn waits: the worker may go after a while. */
static int idle(struct node *n, struct session *s, struct child *c)
{
    struct template template;
    if (!c || c->s.given_up)
        return 0;
    if (c->s.run == 0) {
        child_forget(n, c);
        return 0;
    }
    if (c->s.phase != PHASE_RUNNING || c->s.is_asked || c->session_turn || c->s.session_due_ms)
        return 0;
    int rc = template_load(n->store, s->row.template, &template, &n->fault);
    if (rc >= 0)
        due_in(n, c, template.idle_ms);
    template_fini(&template);
    return rc < 0 ? rc : 0;
}

static int kick(struct node *n, struct session *s, struct child *c, struct turn_row *t)
{
    if (c && c->s.given_up) { /* leaves memory with this batch: look again then */
        session_later(n, s->row.session);
        return 0;
    }
    if (!c || c->s.run == 0)
        return spawn_worker(n, s, t);
    if (c->s.phase != PHASE_RUNNING || c->s.is_asked || c->session_turn || n->leaving)
        return 0;
    return send_turn(n, s, c, t);
}

int turn_kick(struct node *n, struct session *s)
{
    struct turn_row t;
    struct child *c = child_find(n, "", s->row.session);
    int rc = next_turn(n, s->row.session, &t);
    if (rc == 1)
        rc = kick(n, s, c, &t);
    else if (rc == 0)
        rc = idle(n, s, c);
    row_fini(T_TURN, &t);
    return rc;
}

int session_ready(struct node *n, struct child *c)
{
    return session_changed(n, c->name);
}

/* Its time is up: of the turn, or of waiting for one. */
int session_due(struct node *n, struct child *c)
{
    CLEANUP(session_fini) struct session s = {0};
    struct turn_row t;
    if (c->s.is_asked || c->s.session_due_ms == 0)
        return 0;
    if (n->now_ms < c->s.session_due_ms) {
        timer_set(n, &c->timer, c->s.session_due_ms);
        return 0;
    }
    if (!c->session_turn) {
        if (!turns_unfinished(n, c->name))
            turn_worker_end(n, c->name, EXIT_ASKED_STOP, CHAN_SHUTDOWN);
        return 0;
    }
    int rc = session_load(n, c->name, &s);
    if (rc < 1 || !session_is_mine(n, &s) || (rc = turn_load(n, c->name, c->session_turn, &t)) < 1)
        return rc < 0 ? rc : session_changed(n, c->name);
    struct turn_next next = turn_step(status_of(&t), TURN_EV_OVERDUE);
    if (next.action != TURN_REFUSE) /* else it was cancelled, and the worker has not said that it stopped */
        rc = settle_failed(n, &s, &t, mem_dup("it had no end within the template's turn_ms"));
    row_fini(T_TURN, &t);
    turn_worker_end(n, c->name, EXIT_ASKED_STOP, CHAN_RESTART);
    return rc < 0 ? rc : 0;
}

/* ---- its end ---- */

static char *member_text(const char *json, const char *name)
{
    struct str text = STR_INIT;
    struct span raw = json ? json_raw_member(json, strlen(json), name) : (struct span){NULL, 0};
    if (raw.p && !json_unquote(raw, &text))
        str_add(&text, raw.p, raw.n);
    return str_take(&text);
}

/* "status 1", "signal KILL" */
static char *how_it_ended(const char *reason)
{
    AUTOFREE char *status = member_text(reason, "exit_status");
    char *sig = member_text(reason, "signal");
    if (*sig) {
        char *text = mem_printf("signal %s", sig);
        free(sig);
        return text;
    }
    free(sig);
    return mem_printf("status %s", *status ? status : "unknown");
}

static int start_failed(struct node *n, struct session *s, const char *reason)
{
    struct turn_row t;
    AUTOFREE char *why = member_text(reason, "detail");
    int rc = next_turn(n, s->row.session, &t);
    if (rc == 1)
        rc = settle_failed(n, s, &t, mem_printf("the worker could not be started: %s", why));
    row_fini(T_TURN, &t);
    return rc;
}

/* Its turn goes back to the front of the queue, or fails when the worker keeps ending on it. */
static int turn_lost(struct node *n, struct session *s, struct child *c, const char *turn, bool crashed,
                     const char *reason)
{
    struct turn_row t;
    int rc = turn_load(n, s->row.session, turn, &t);
    if (rc < 1)
        return rc;
    struct turn_next next = turn_step(status_of(&t), TURN_EV_LOST);
    c->s.attempt += crashed;
    if (next.action == TURN_RESUME && crashed && c->s.attempt >= CRASHES_MAX) {
        AUTOFREE char *how = how_it_ended(reason);
        rc =
            settle_failed(n, s, &t,
                          mem_printf("the worker ended %d times in a row on this turn, the last time with %s",
                                     CRASHES_MAX, how));
    } else if (next.action == TURN_RESUME) {
        rc = turn_save(n, s, &t, next.status);
        if (crashed)
            c->s.backoff_until_ms = n->now_ms + restart_delay_ms(c->s.attempt - 1, BACKOFF_MIN_MS,
                                                                 BACKOFF_MAX_MS, node_random(n));
    }
    row_fini(T_TURN, &t);
    return rc < 0 ? rc : 0;
}

int session_child_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason)
{
    CLEANUP(session_fini) struct session s = {0};
    AUTOFREE char *turn = mem_dup(c->session_turn);
    bool crashed = kind == EXIT_CLEAN || kind == EXIT_FAILED;
    work_on(n, c, NULL);
    int rc = session_load(n, c->name, &s);
    bool mine = rc == 1 && session_is_mine(n, &s);
    if (mine && c->s.epoch == s.claim.epoch) {
        if (kind == EXIT_UNSTARTED || kind == EXIT_UNREADY)
            rc = start_failed(n, &s, reason);
        else if (turn)
            rc = turn_lost(n, &s, c, turn, crashed, reason);
    }
    if (rc < 0)
        return rc;
    if (!c->s.given_up && !(mine && turns_unfinished(n, c->name)))
        child_forget(n, c);
    session_later(n, c->name);
    return 0;
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
        return settle_failed(n, s, t, mem_dup(l->detail ? l->detail : "the worker gave no reason"));
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
    work_on(n, c, NULL);
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
    struct turn_next next = turn_step(status_of(t), event);
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
    if ((rc = turn_load(n, c->name, l->turn, &t)) == 1)
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
        rc = input_append(n, s, t);
    return rc < 0 ? rc : log_turn(n, t, "turn_queued", who);
}

int turn_accept(struct node *n, struct session *s, const char *turn, struct span input, const char *who)
{
    struct turn_row t;
    int rc = turn_load(n, s->row.session, turn, &t);
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
    int rc = turn_load(n, s->row.session, turn, &t);
    if (rc < 1)
        return rc;
    struct turn_next next = turn_step(status_of(&t), TURN_EV_CANCELLED);
    bool here = c && c->s.run && c->session_turn && strcmp(c->session_turn, turn) == 0;
    if (here && next.action == TURN_CANCEL) {
        struct str line = STR_INIT;
        chan_cancel(&line, turn);
        channel_send(n, c, &line);
    }
    rc = next.action == TURN_REFUSE ? 0 : settle(n, s, &t, next.status, who);
    if (here && next.action == TURN_CANCEL) { /* busy until it says otherwise, or its time is up */
        work_on(n, c, turn);
        due_in(n, c, CANCEL_MS);
    }
    row_fini(T_TURN, &t);
    return rc < 0 ? rc : next.action != TURN_REFUSE;
}
