/* operation: GET /v1/operations: how far starts and stops of many have come, and what became of them. Read
 * from rows that every node has; readable again and again until 10 minutes after the end.
 */
#include "api/operation.h"

#include <string.h>

#include "api/api.h"
#include "node/batch.h"

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* ---- results ---- */

enum list { L_STARTED, L_STOPPED, L_EXISTING, L_ERRORS, L_UNDONE, L_TAKEN, L_HOMELESS, L_N };

struct lists {
    struct str text[L_N];
    struct jw j[L_N];
    size_t n[L_N];
    bool undone, waiting; /* as struct batch_outcomes has them */
};

static void lists_init(struct lists *l, const struct batch_outcomes *of)
{
    *l = (struct lists){.undone = of->undone, .waiting = of->waiting};
    for (int i = 0; i < L_N; i++) {
        l->j[i] = jw_init(&l->text[i]);
        jw_array(&l->j[i]);
    }
}

static void lists_fini(struct lists *l)
{
    for (int i = 0; i < L_N; i++)
        str_fini(&l->text[i]);
}

static void write_item(struct jw *j, enum list to, const struct batch_item *i)
{
    jw_object(j);
    jw_kv_string(j, "name", i->name);
    if (to == L_ERRORS) {
        jw_kv_string(j, "code", i->code ? i->code : err_info(SKEP_EINTERNAL)->word);
        jw_kv_string(j, "detail", i->detail ? i->detail : "");
    }
    if (i->node || to != L_ERRORS)
        jw_kv_string(j, "node", i->node);
    if (to == L_STARTED || to == L_EXISTING) {
        jw_key(j, "pid");
        if (i->pid)
            jw_i64(j, i->pid);
        else
            jw_null(j);
        jw_key(j, "epoch");
        if (i->epoch)
            jw_i64_text(j, i->epoch);
        else
            jw_null(j);
    }
    if (i->reason.p && to == L_ERRORS)
        jw_kv_raw(j, "reason", i->reason);
    jw_object_close(j);
}

static void add(struct lists *l, enum list to, const struct batch_item *i)
{
    l->n[to]++;
    if (to == L_TAKEN || to == L_HOMELESS)
        jw_string(&l->j[to], i->name);
    else
        write_item(&l->j[to], to, i);
}

/* One that runs already is an error unless only the missing were asked for. */
static void add_existing(struct lists *l, const struct batch_options *o, const struct batch_item *i)
{
    struct batch_item error = *i;
    if (o->mode == BATCH_MISSING) {
        add(l, L_EXISTING, i);
        return;
    }
    error.code = (char *)(uintptr_t)err_info(SKEP_ESTARTED)->word;
    error.detail = (char[]){"it runs already"};
    add(l, L_ERRORS, &error);
    add(l, L_TAKEN, i);
}

static void add_twice(struct lists *l, const struct batch_options *o, const struct batch_item *i)
{
    struct batch_item error = *i;
    error.code = (char *)(uintptr_t)err_info(SKEP_ESTARTED)->word;
    error.detail = (char[]){"it stands in the batch twice; the first was taken"};
    add(l, o->mode == BATCH_MISSING ? L_EXISTING : L_ERRORS, &error);
}

static void sort_item(struct lists *l, const struct batch_options *o, const struct batch_item *i)
{
    switch ((enum batch_is)i->is) {
    case IS_STARTED:
        add(l, l->undone ? L_UNDONE : L_STARTED, i);
        break;
    case IS_STOPPED:
        add(l, L_STOPPED, i);
        break;
    case IS_EXISTING:
        add_existing(l, o, i);
        break;
    case IS_ERROR:
        add(l, L_ERRORS, i);
        if (is(i->code, err_info(SKEP_ENONODE)->word))
            add(l, L_HOMELESS, i);
        break;
    case IS_UNDONE:
        add(l, L_UNDONE, i);
        break;
    case IS_TWICE:
        add_twice(l, o, i);
        break;
    case IS_CLAIMED:
    case IS_FOUND:
    case IS_ELSEWHERE:
    case IS_LATE:
    case IS_NONE:
    case IS_MOVED:
        break;
    }
}

static void lists_fill(struct lists *l, const struct batch_options *o, const struct batch_outcomes *of)
{
    for (size_t i = 0; i < of->twice_n; i++)
        sort_item(l, o, &of->twice[i]);
    for (const struct batch_outcome *x = of->list; x; x = x->hh.next)
        sort_item(l, o, &x->item);
    for (int i = 0; i < L_N; i++)
        jw_array_close(&l->j[i]);
}

static void kv_list(struct jw *j, const char *key, const struct lists *l, enum list from)
{
    jw_kv_raw(j, key, (struct span){str_get(&l->text[from]), l->text[from].n});
}

static void result_write(struct jw *j, const struct operation_row *op, const struct lists *l)
{
    bool stop = is(op->kind, "stop"), undone = l->undone;
    jw_object(j);
    jw_kv_string(j, "status", l->n[L_ERRORS] || undone ? "error" : "ok");
    jw_kv_string(j, "operation", op->operation);
    kv_list(j, stop ? "stopped" : "started", l, stop ? L_STOPPED : L_STARTED);
    if (!stop)
        kv_list(j, "existing", l, L_EXISTING);
    kv_list(j, "errors", l, L_ERRORS);
    if (!stop)
        jw_kv_bool(j, "rollback", undone);
    if (undone)
        kv_list(j, "undone", l, L_UNDONE);
    jw_object_close(j);
}

/* The list for which all were refused where all or none were wanted; L_N: they were not. */
static enum list refused_for(const struct operation_row *op, const struct batch_options *o,
                             const struct lists *l)
{
    if (!is(op->kind, "start") || o->mode != BATCH_ALL_OR_NONE || !(l->waiting || l->undone))
        return L_N;
    if (l->n[L_TAKEN])
        return L_TAKEN;
    return l->n[L_HOMELESS] && l->n[L_HOMELESS] == l->n[L_ERRORS] ? L_HOMELESS : L_N;
}

int operation_result(struct node *n, const struct operation_row *op, struct str *ret_body,
                     struct str *ret_names, int *ret_refused)
{
    struct batch_options o;
    CLEANUP(lists_fini) struct lists l;
    CLEANUP(outcomes_fini) struct batch_outcomes of;
    int rc = outcomes_read(n, op, &of);
    batch_options_read(op, &o);
    lists_init(&l, &of);
    lists_fill(&l, &o, &of);
    enum list why = refused_for(op, &o, &l);
    *ret_refused = why == L_TAKEN ? SKEP_ESTARTED : why == L_HOMELESS ? SKEP_ENONODE : 0;
    if (why != L_N)
        str_add(ret_names, str_get(&l.text[why]), l.text[why].n);
    struct jw j = jw_init(ret_body);
    result_write(&j, op, &l);
    batch_options_fini(&o);
    return rc;
}

/* ---- progress ---- */

struct progress {
    int64_t claimed, done, failed;
};

static bool runs(struct store *s, const struct operation_row *op, const struct batch_item *i)
{
    struct child_row row = {.swarm = mem_dup(op->swarm), .name = mem_dup(i->name)};
    bool yes = store_load(s, T_CHILD, &row, NULL) == 1 && row.epoch >= i->epoch && is(row.status, "running");
    row_fini(T_CHILD, &row);
    return yes;
}

static bool is_gone(struct store *s, const struct operation_row *op, const struct batch_item *i)
{
    struct name_row row = {.swarm = mem_dup(op->swarm), .name = mem_dup(i->name)};
    bool gone = store_load(s, T_NAME, &row, NULL) != 1 || row.incarnation > i->epoch;
    row_fini(T_NAME, &row);
    return gone;
}

static int progress_read(struct node *n, const struct operation_row *op, const struct batch_options *o,
                         struct progress *ret)
{
    CLEANUP(outcomes_fini) struct batch_outcomes of;
    int rc = outcomes_read(n, op, &of);
    bool missing = o->mode == BATCH_MISSING;
    int64_t twice = (int64_t)of.twice_n;
    *ret = (struct progress){.done = missing ? twice : 0, .failed = missing ? 0 : twice};
    for (const struct batch_outcome *x = of.list; x; x = x->hh.next) {
        const struct batch_item *i = &x->item;
        ret->claimed += i->is == IS_CLAIMED || i->is == IS_FOUND;
        ret->failed += i->is == IS_ERROR;
        ret->done += i->is == IS_STARTED || i->is == IS_STOPPED || i->is == IS_EXISTING ||
                     i->is == IS_UNDONE || (i->is == IS_CLAIMED && runs(n->store, op, i)) ||
                     (i->is == IS_FOUND && is_gone(n->store, op, i));
    }
    return rc;
}

/* ---- the resource ---- */

static void write_head(struct jw *j, const struct frozen *f, const struct operation_row *op,
                       const struct batch_options *o)
{
    jw_kv_string(j, "operation", op->operation);
    jw_kv_string(j, "swarm", op->swarm);
    jw_kv_string(j, "kind", op->kind);
    jw_kv_string(j, "state", op->ended_at ? "done" : op->state);
    if (is(op->kind, "start")) {
        jw_kv_string(j, "mode", batch_mode_words[o->mode]);
        jw_kv_string(j, "on_failure", batch_failure_words[o->on_failure]);
    }
    jw_kv_string(j, "coordinator", frozen_name_of(f, op->node));
    jw_kv_i64(j, "total", o->total);
    jw_kv_string(j, "who", op->who);
    jw_kv_time(j, "at", op->at);
    jw_kv_time(j, "deadline", op->deadline);
    jw_kv_time(j, "ended_at", op->ended_at);
}

static int write_result(struct jw *j, struct node *n, const struct operation_row *op)
{
    AUTOSTR struct str body = STR_INIT, names = STR_INIT;
    int refused = 0;
    if (!op->ended_at) {
        jw_kv_null(j, "result");
        return 0;
    }
    int rc = operation_result(n, op, &body, &names, &refused);
    if (rc == 0 && refused) {
        jw_kv_object(j, "result");
        jw_kv_string(j, "status", "error");
        jw_kv_string(j, "code", err_info(refused)->word);
        jw_kv_raw(j, "names", (struct span){str_get(&names), names.n});
        jw_object_close(j);
    } else if (rc == 0) {
        jw_kv_raw(j, "result", (struct span){str_get(&body), body.n});
    }
    return rc;
}

static int write_operation(struct jw *j, struct node *n, const struct frozen *f,
                           const struct operation_row *op)
{
    struct batch_options o;
    struct progress p;
    batch_options_read(op, &o);
    int rc = progress_read(n, op, &o, &p);
    jw_object(j);
    write_head(j, f, op, &o);
    jw_kv_object(j, "progress");
    jw_kv_i64(j, "claimed", p.claimed);
    jw_kv_i64(j, "done", p.done);
    jw_kv_i64(j, "failed", p.failed);
    jw_object_close(j);
    rc = rc < 0 ? rc : write_result(j, n, op);
    jw_object_close(j);
    batch_options_fini(&o);
    return rc;
}

struct get_query {
    bool wait;
};
static const struct uri_param get_params[] = {
    {.name = "wait", .kind = URI_BOOL, .offset = offsetof(struct get_query, wait)}};

static int answer_get(struct node *n, struct op *op, const struct operation_row *row)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    const struct frozen *f = node_frozen(n);
    int rc = write_operation(&j, n, f, row);
    frozen_unref(f);
    if (rc == 0)
        op_answer(n, op, answer_json(200, &body));
    str_fini(&body);
    return rc;
}

/* With ?wait=true it waits for the end; when the time is up, the answer says how far it is. */
static int get_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct get_query *q = c->query;
    struct operation_row row = {.operation = mem_dup(c->param[0])};
    int rc = store_load(n->store, T_OPERATION, &row, &n->fault);
    bool wait = q->wait && !op->late;
    if (rc < 0 || (rc == 1 && (row.ended_at || !wait))) {
        rc = rc < 0 ? rc : answer_get(n, op, &row);
    } else if (rc == 0 && !wait) {
        struct err e;
        err_set(&e, SKEP_ENOTFOUND, "there is no operation %s, or its results were kept for their 10 minutes",
                c->param[0]);
        rc = api_fail(n, op, &e);
    } else {
        op_wait_until(n, op, BATCH_KEY, c->param[0]);
        rc = 0;
    }
    row_fini(T_OPERATION, &row);
    return rc;
}

struct list_query {
    char *after;
    int64_t limit;
};
static const struct uri_param list_params[] = {
    {.name = "limit",
     .kind = URI_INT,
     .offset = offsetof(struct list_query, limit),
     .min = 1,
     .max = API_LIST_MAX},
    {.name = "after", .kind = URI_NAME, .offset = offsetof(struct list_query, after)}};

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct list_query *q = c->query;
    struct operation_row row = {0};
    struct batch_options o;
    AUTOFREE char *last = NULL;
    int64_t limit = q->limit ? q->limit : API_LIST_LIMIT, count = 0;
    bool more = false;
    int rc;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "operations");
    struct stmt *s = store_ask(r->store, Q_OPERATION_LIST, "ti", q->after ? q->after : "", limit + 1);
    while ((rc = store_next(s, T_OPERATION, &row, e)) == 1 && !(more = count == limit)) {
        batch_options_read(&row, &o);
        jw_object(&j);
        write_head(&j, r->frozen, &row, &o);
        jw_object_close(&j);
        batch_options_fini(&o);
        mem_replace(&last, row.operation);
        count++;
    }
    stmt_reset(s);
    row_fini(T_OPERATION, &row);
    jw_array_close(&j);
    jw_kv_string(&j, "next", more ? last : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

const struct route operation_routes[] = {
    {HTTP_M_GET, "/v1/operations", ROLE_READ, API_READER, .query = list_params, .query_n = COUNT(list_params),
     .query_bytes = sizeof(struct list_query), .read = list_read,
     .about = "Starts and stops of many, by their ids."},
    {HTTP_M_GET, "/v1/operations/{operation}", ROLE_READ, API_BRAIN, .query = get_params,
     .query_n = COUNT(get_params), .query_bytes = sizeof(struct get_query), .serve = get_serve,
     .about = "How far one has come, and what became of each name; ?wait=true waits for its end."},
    {0},
};
