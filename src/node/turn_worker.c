/* turn_worker: the worker of a session: spawned when a turn waits, given one turn at a time, ended after a
 * time without one.
 *
 * A session has at most one, on its owner's node. A turn whose worker is lost goes back to the front of the
 * queue and is given out again as resumed; a worker that keeps ending on the same turn makes it fail.
 */
#include <string.h>

#include "node/template.h"
#include "node/turn.h"

#define CRASHES_MAX       3  /* ends of the worker on one turn, in a row, here */
#define ATTEMPTS_MAX      20 /* times a turn is given out, on all nodes */
#define BACKOFF_MIN_MS    100
#define BACKOFF_MAX_MS    5000
#define HISTORY_BYTES_MAX (4u << 20) /* older entries than fit are left out */

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

/* Above which seq the entries fit: what would be cut off again is not even read, for it may be any amount. */
static int history_begin(struct node *n, const struct session *s, int64_t above, int64_t *ret)
{
    int64_t bytes = 0;
    int rc;
    struct stmt *q = store_ask(n->store, Q_ENTRY_SIZES, "tti", s->row.session, s->row.head, above);
    *ret = above;
    while ((rc = stmt_step(q, &n->fault)) == 1 && bytes <= (int64_t)HISTORY_BYTES_MAX) {
        bytes += col_i64(q, 1);
        if (bytes > (int64_t)HISTORY_BYTES_MAX)
            *ret = col_i64(q, 0);
    }
    stmt_reset(q);
    return rc < 0 ? rc : 1;
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
    int64_t above = most && seq > most ? seq - most : 0;
    if (rc == 1)
        rc = history_begin(n, s, above, &above);
    if (rc == 1) {
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
        rc = turn_log(n, t, t->attempts > 1 ? "turn_resumed" : "turn_started", NULL);
    if (rc < 0) {
        str_fini(line);
        return rc;
    }
    channel_send(n, c, line);
    turn_work_on(n, c, t->turn);
    turn_due_in(n, c, turn_ms);
    return 0;
}

/* The worker is up and free: its next turn. */
static int send_turn(struct node *n, struct session *s, struct child *c, struct turn_row *t)
{
    struct str line = STR_INIT;
    struct template template;
    if (t->attempts >= ATTEMPTS_MAX)
        return turn_settle_failed(n, s, t,
                                  mem_printf("given to a worker %d times without an end", ATTEMPTS_MAX));
    int rc = turn_input_append(n, s, t);
    if (rc == 0 && (rc = template_load(n->store, s->row.template, &template, &n->fault)) >= 0) {
        rc = write_line(n, s, t, template.max_messages, &line);
        template_fini(&template);
    }
    if (rc == 0 && line.n <= CHAN_LINE_MAX)
        return give(n, s, c, t, &line);
    size_t bytes = line.n;
    str_fini(&line);
    return rc < 0 ? rc
                  : turn_settle_failed(
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
        c->spec.handoff_said = true;
        template.argv = (struct json_strings){0};
        template.env = (struct json_map){0};
    }
    template_fini(&template);
    return rc;
}

static int no_template(struct node *n, struct session *s, struct turn_row *t)
{
    if (!s->row.template)
        return turn_settle_failed(
            n, s, t, mem_dup("the session was made without a template, so nothing can run its turns"));
    return turn_settle_failed(
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
        turn_due_in(n, c, template.idle_ms);
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
    int rc = turn_next_row(n, s->row.session, &t);
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
    if (rc < 1 || !session_is_mine(n, &s) || (rc = turn_row_load(n, c->name, c->session_turn, &t)) < 1)
        return rc < 0 ? rc : session_changed(n, c->name);
    struct turn_next next = turn_step(turn_status_of(&t), TURN_EV_OVERDUE);
    if (next.action != TURN_REFUSE) /* else it was cancelled, and the worker has not said that it stopped */
        rc = turn_settle_failed(n, &s, &t, mem_dup("it had no end within the template's turn_ms"));
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
    int rc = turn_next_row(n, s->row.session, &t);
    if (rc == 1)
        rc = turn_settle_failed(n, s, &t, mem_printf("the worker could not be started: %s", why));
    row_fini(T_TURN, &t);
    return rc;
}

/* Its turn goes back to the front of the queue, or fails when the worker keeps ending on it. */
static int turn_lost(struct node *n, struct session *s, struct child *c, const char *turn, bool crashed,
                     const char *reason)
{
    struct turn_row t;
    int rc = turn_row_load(n, s->row.session, turn, &t);
    if (rc < 1)
        return rc;
    struct turn_next next = turn_step(turn_status_of(&t), TURN_EV_LOST);
    c->s.attempt += crashed;
    if (next.action == TURN_RESUME && crashed && c->s.attempt >= CRASHES_MAX) {
        AUTOFREE char *how = how_it_ended(reason);
        rc = turn_settle_failed(
            n, s, &t,
            mem_printf("the worker ended %d times in a row on this turn, the last time with %s", CRASHES_MAX,
                       how));
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
    turn_work_on(n, c, NULL);
    node_wake(n, "", c->name);
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
