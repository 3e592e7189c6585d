/* channel: what a worker says on its channel, and what it is told.
 *
 * A worker's lines take effect in order. What it causes to leave the node (a reply, an ok) waits for the
 * copies of the checkpoints before it. A line that is refused changes nothing and, if it carried an `ack`, is
 * told so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/child.h"
#include "node/settings.h"
#include "wire/json.h"

void channel_send(struct node *n, struct child *c, struct str *line TAKES)
{
    child_touch(n, c);
    c->s.queued_bytes += line->n + 1;
    c->s.queued_lines++;
    eff_line(n, c->s.run, line);
}

int child_line(struct node *n, struct child *c, struct str *line TAKES, struct err *e)
{
    if (c->s.run == 0 || c->s.phase == PHASE_SPAWNING || c->s.is_asked) {
        str_fini(line);
        return err_set(e, SKEP_ENOTALIVE, "%s is not running at the moment; try again later", c->name);
    }
    if (c->s.queued_lines >= CHILD_LINES_MAX || c->s.queued_bytes + line->n > CHILD_BYTES_MAX) {
        str_fini(line);
        return err_set(e, SKEP_EQUEUEFULL, "%zu lines wait for %s already; send less, or make it read faster",
                       c->s.queued_lines, c->name);
    }
    channel_send(n, c, line);
    return 0;
}

int channel_start(struct node *n, struct child *c)
{
    AUTOSTR struct str state = STR_INIT;
    struct checkpoint_row checkpoint = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    struct metadata_row metadata = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    char ref[32];
    int waiting = handoff_waiting(n, c, &state, ref);
    int rc = waiting < 0 ? waiting : store_load(n->store, T_METADATA, &metadata, &n->fault);
    if (rc >= 0 && waiting == 0)
        rc = store_load(n->store, T_CHECKPOINT, &checkpoint, &n->fault);
    if (rc >= 0)
        rc = own_metadata_tagged(n, &metadata, c->s.epoch);
    if (rc >= 0) {
        struct str line = STR_INIT;
        struct span none = {NULL, 0};
        chan_start(&line, checkpoint.data.p ? (struct span){checkpoint.data.p, checkpoint.data.n} : none,
                   metadata.data ? (struct span){metadata.data, strlen(metadata.data)}
                                 : (struct span){"{}", 2},
                   true);
        channel_send(n, c, &line);
        if (waiting == 1) {
            line = STR_INIT;
            chan_end_handoff(&line, ref, (struct span){str_get(&state), state.n});
            channel_send(n, c, &line);
        }
    }
    row_fini(T_CHECKPOINT, &checkpoint);
    row_fini(T_METADATA, &metadata);
    return rc < 0 ? rc : 0;
}

/* ---- answers to lines ---- */

/* An ok that waits for its copies. Holds the run, not the child: that may be gone by then. */
struct pending_ok {
    uint64_t run;
    char *ack;
};

static void ok_free(void *arg)
{
    struct pending_ok *ok = arg;
    free(ok->ack);
    free(ok);
}

static void ok_send(struct node *n, void *arg, int copies)
{
    struct pending_ok *ok = arg;
    struct str line = STR_INIT;
    chan_ok(&line, ok->ack, copies < 0 ? 0 : copies);
    n->w.proc.line(n->w.proc.self, ok->run, line.p, line.n);
    ok_free(ok);
}

/* ok once the rows so far are durable: here, and where a checkpoint before this line waits, there too. */
void channel_ok(struct node *n, struct child *c, const char *ack, int64_t hlc)
{
    if (!ack)
        return;
    struct pending_ok *ok = mem_alloc(sizeof *ok);
    *ok = (struct pending_ok){c->s.run, mem_dup(ack)};
    int64_t upto = hlc > c->s.checkpoint_hlc ? hlc : c->s.checkpoint_hlc;
    cover_wait(n, upto, upto ? n->o.checkpoint_acks : 0, false, NULL, INT64_MAX, ok_send, ok, ok_free);
}

void channel_refuse(struct node *n, struct child *c, const char *ack, const struct err *e)
{
    struct str line = STR_INIT;
    chan_error(&line, ack, e);
    channel_send(n, c, &line);
}

static void fenced(struct node *n, struct child *c, const char *ack)
{
    struct err e;
    err_set(&e, SKEP_EFENCED, "this process no longer holds its name; write no more, and end");
    channel_refuse(n, c, ack, &e);
}

/* ---- calls ---- */

/* Those that nobody waits for any more: a worker may never answer. */
static void calls_purge(struct node *n, struct child *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->calls_n; i++)
        if (n->now_ms <= c->calls[i].until_ms)
            c->calls[kept++] = c->calls[i];
    c->calls_n = kept;
}

int child_call(struct node *n, struct child *c, struct op *op, const char *from, struct span data,
               struct err *e)
{
    char ref[32];
    struct str line = STR_INIT;
    uint64_t number = ++c->next_ref;
    snprintf(ref, sizeof ref, "c%llu", (unsigned long long)number);
    chan_call(&line, ref, from, data);
    int rc = child_line(n, c, &line, e);
    if (rc < 0)
        return rc;
    if (c->calls_n == c->calls_cap)
        calls_purge(n, c);
    ARRAY_GROW(c->calls, c->calls_n, c->calls_cap);
    c->calls[c->calls_n++] = (struct child_call){number, op->id, op->deadline_ms};
    return 0;
}

struct call_end {
    uint64_t run, ref;
};

/* Only now, for a line that was rolled back is read again. */
static void call_ended(struct node *n, void *arg)
{
    AUTOFREE struct call_end *end = arg;
    struct child *c = child_of_run(n, end->run);
    for (size_t i = 0; c && i < c->calls_n; i++)
        if (c->calls[i].ref == end->ref) {
            c->calls[i] = c->calls[--c->calls_n];
            return;
        }
}

/* The op of a call that the worker answers, or NULL: unknown, or its deadline has passed. */
static struct op *call_take(struct node *n, struct child *c, const char *ref)
{
    uint64_t number = ref && ref[0] == 'c' ? strtoull(ref + 1, NULL, 10) : 0;
    for (size_t i = 0; i < c->calls_n; i++)
        if (c->calls[i].ref == number) {
            struct call_end *end = mem_alloc(sizeof *end);
            *end = (struct call_end){c->s.run, number};
            eff_do(n, call_ended, end, free);
            return op_find(n, &c->calls[i].op);
        }
    return NULL;
}

static void reply(struct node *n, struct child *c, const struct chan_line *l)
{
    struct op *op = call_take(n, c, l->ref);
    if (!op || op->st.done)
        return;
    struct str body = STR_INIT;
    str_puts(&body, "{\"data\":");
    str_add(&body, l->data.p, l->data.n);
    str_putc(&body, '}');
    node_touch(n, &op->st, sizeof op->st);
    op_answer_covered(n, op, c->s.checkpoint_hlc, c->s.checkpoint_hlc ? n->o.checkpoint_acks : 0,
                      answer_json(200, &body));
}

static void call_failed(struct node *n, struct op *op, int code, const char *detail)
{
    struct err e;
    if (!op || op->st.done)
        return;
    err_set(&e, code, "%s", detail);
    node_touch(n, &op->st, sizeof op->st);
    op_fail(n, op, &e, (struct span){NULL, 0});
}

void channel_calls_fail(struct node *n, struct child *c)
{
    for (size_t i = 0; i < c->calls_n; i++)
        call_failed(n, op_find(n, &c->calls[i].op), SKEP_EWORKER, "the process ended before it answered");
    node_touch(n, &c->calls_n, sizeof c->calls_n);
    c->calls_n = 0;
}

/* ---- lines ---- */

static int checkpoint(struct node *n, struct child *c, const struct chan_line *l)
{
    int rc = child_is_current(n, c);
    if (rc <= 0) {
        if (rc == 0)
            fenced(n, c, l->ack);
        return rc;
    }
    struct checkpoint_row row = {.swarm = c->swarm,
                                 .name = c->name,
                                 .at = n->real_ms,
                                 .epoch = c->s.epoch,
                                 .data = {(char *)(uintptr_t)l->data.p, l->data.n}};
    rc = store_save(n->store, T_CHECKPOINT, &row, &n->fault);
    if (rc == SKEP_EFENCED) { /* its successor's has come before its claim */
        fenced(n, c, l->ack);
        return 0;
    }
    if (rc == 0)
        rc = handoff_forget(n, c->swarm, c->name); /* a later checkpoint outdates what was handed over */
    child_touch(n, c);
    c->s.checkpoint_hlc = store_written(n->store);
    channel_ok(n, c, l->ack, c->s.checkpoint_hlc);
    return rc;
}

static int refuse_request(struct node *n, struct child *c, const struct chan_line *l, const struct err *e)
{
    AUTOSTR struct str body = STR_INIT;
    struct str line = STR_INIT;
    json_problem(&body, e, (struct span){NULL, 0});
    chan_response(&line, l->ref, err_info(e->code)->http, body.p, body.n);
    channel_send(n, c, &line);
    return 0;
}

static int too_many(struct node *n, struct child *c, const struct chan_line *l)
{
    struct err e;
    err_set(&e, SKEP_EQUEUEFULL, "%d requests of this process wait already; send more when some are answered",
            CHILD_ASKS_MAX);
    return refuse_request(n, c, l, &e);
}

/* The lesser of what this node allows and what the swarm gives. */
static enum role worker_role(struct node *n, const struct child *c)
{
    static const enum role roles[] = {ROLE_NONE, ROLE_READ, ROLE_WRITE, ROLE_ADMIN};
    int of_swarm = node_settings(n, c->swarm)->worker_role;
    enum role of_node = ROLE_WRITE;
    for (int i = 0; n->o.worker_role && settings_role_words[i]; i++)
        if (strcmp(settings_role_words[i], n->o.worker_role) == 0)
            of_node = roles[i];
    return of_swarm >= 0 && roles[of_swarm] < of_node ? roles[of_swarm] : of_node;
}

/* The HTTP API over the channel, with the worker's role. */
static int request(struct node *n, struct child *c, const struct chan_line *l)
{
    static const struct {
        const char *word;
        enum req_method method;
    } methods[] = {{"GET", HTTP_M_GET},
                   {"PUT", HTTP_M_PUT},
                   {"POST", HTTP_M_POST},
                   {"PATCH", HTTP_M_PATCH},
                   {"DELETE", HTTP_M_DELETE}};
    enum role role = worker_role(n, c);
    struct err e;
    if (role == ROLE_NONE) {
        err_set(&e, SKEP_EFORBIDDEN, "worker_role of this node or swarm is none: processes ask for nothing");
        return refuse_request(n, c, l, &e);
    }
    if (c->asks >= CHILD_ASKS_MAX)
        return too_many(n, c, l);
    struct request *r = mem_alloc(sizeof *r);
    r->method = HTTP_M_OTHER;
    for (size_t i = 0; i < COUNT(methods); i++)
        if (strcmp(methods[i].word, l->method) == 0)
            r->method = methods[i].method;
    const char *query = strchr(l->path, '?');
    r->path = mem_copy(l->path, query ? (size_t)(query - l->path) : strlen(l->path));
    r->query = query ? mem_dup(query + 1) : NULL;
    r->body = mem_copy(l->body.p ? l->body.p : "", l->body.n);
    r->body_n = l->body.n;
    r->who.role = role;
    snprintf(r->who.name, sizeof r->who.name, "worker:%.24s/%.30s", c->swarm, c->name);
    text_whole(r->who.name);
    if (r->who.role != ROLE_ADMIN)
        r->who.swarm = mem_dup(c->swarm);
    struct op *op = op_new(n, OP_WORKER, r);
    op->run = c->s.run;
    op->ref = mem_dup(l->ref);
    return op_begin(n, op);
}

static int ready(struct node *n, struct child *c, const struct chan_line *l)
{
    int rc = c->s.phase == PHASE_STARTING ? child_up(n, c) : 0;
    channel_ok(n, c, l->ack, 0);
    return rc;
}

static int no_work(struct node *n, struct child *c, const struct chan_line *l)
{
    struct err e;
    err_set(&e, SKEP_ENOTFOUND, "no work item \"%s\" was given to this process", l->id);
    channel_refuse(n, c, l->ack, &e);
    return 0;
}

static int take_line(struct node *n, struct child *c, const struct chan_line *l)
{
    switch (l->type) {
    case CHAN_READY:
        return ready(n, c, l);
    case CHAN_STATE:
        return handoff_state(n, c, l->data);
    case CHAN_IGNORE:
        return handoff_state(n, c, (struct span){NULL, 0});
    case CHAN_RESTORED:
        return handoff_restored(n, c);
    case CHAN_CHECKPOINT:
        return checkpoint(n, c, l);
    case CHAN_REPLY:
        reply(n, c, l);
        return 0;
    case CHAN_FAIL_CALL:
        call_failed(n, call_take(n, c, l->ref), SKEP_EWORKER, l->detail ? l->detail : "the worker failed");
        return 0;
    case CHAN_APPEND:
    case CHAN_SAVE:
    case CHAN_PARK:
    case CHAN_DONE:
    case CHAN_FAIL_TURN:
        return session_line(n, c, l);
    case CHAN_REQUEST:
        return request(n, c, l);
    case CHAN_NEXT:
    case CHAN_DROP:
    case CHAN_FAIL_WORK:
        return no_work(n, c, l);
    }
    return 0;
}

int channel_line(struct node *n, struct child *c, const char *p, size_t bytes)
{
    CLEANUP(chan_line_fini) struct chan_line l = {0};
    AUTOFREE char *ack = NULL;
    struct err e;
    if (chan_decode(p, bytes, &l, &ack, &e) < 0) {
        channel_refuse(n, c, ack, &e);
        return 0;
    }
    return take_line(n, c, &l);
}
