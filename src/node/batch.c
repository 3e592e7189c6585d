/* batch: operations that this node looks at: as coordinator, as home of a part, as owner of a name, or as the
 * one that takes over where the coordinator is gone. batch.h says who writes what.
 *
 * It is level-triggered, as own.c is: each look decides by the rows as they are and the view as it is. A look
 * is due when a row of the operation was written or merged, when a name that the coordinator waits for
 * changed, when the view opened, and once a second while any operation is open.
 */
#include "node/batch.h"

#include <string.h>

#include "node/brain.h"

#define LOOKS_AT_ONCE 16
#define SCAN_AT_ONCE  1000
#define TICK_MS       1000

const char *const batch_mode_words[] = {"all_or_none", "missing", "each", NULL};
const char *const batch_failure_words[] = {"continue", "rollback", NULL};

/* ---- options ---- */

static const struct json_field option_fields[] = {
    JSON_FIELD(struct batch_options, mode, JSON_WORD, .words = batch_mode_words),
    JSON_FIELD(struct batch_options, on_failure, JSON_WORD, .words = batch_failure_words),
    JSON_FIELD(struct batch_options, total, JSON_INT), JSON_FIELD(struct batch_options, request, JSON_STRING),
    JSON_FIELD(struct batch_options, metadata, JSON_RAW_OBJECT)};
static const struct json_table option_table = JSON_TABLE(struct batch_options, option_fields);

void batch_options_fini(struct batch_options *o)
{
    json_release(&option_table, o);
}

void batch_options_read(const struct operation_row *op, struct batch_options *ret)
{
    *ret = (struct batch_options){0};
    if (op->options && json_read(op->options, strlen(op->options), &option_table, ret, NULL) < 0) {
        json_release(&option_table, ret);
        *ret = (struct batch_options){0};
    }
}

static void options_write(const struct batch_options *o, struct str *ret)
{
    struct jw j = jw_init(ret);
    jw_object(&j);
    jw_kv_string(&j, "mode", batch_mode_words[o->mode]);
    jw_kv_string(&j, "on_failure", batch_failure_words[o->on_failure]);
    jw_kv_i64(&j, "total", o->total);
    if (o->request)
        jw_kv_string(&j, "request", o->request);
    if (o->metadata.p)
        jw_kv_raw(&j, "metadata", o->metadata);
    jw_object_close(&j);
    jw_end(&j);
}

/* ---- what is known of them ---- */

static struct batch *batch_find(struct node *n, const char *id)
{
    struct batch *b;
    HASH_FIND_STR(n->operations, id, b);
    return b;
}

void batch_later(struct node *n, const char *id)
{
    struct batch *b = batch_find(n, id);
    if (!b) {
        b = mem_alloc(sizeof *b);
        b->id = mem_dup(id);
        HASH_ADD_KEYPTR(hh, n->operations, b->id, strlen(b->id), b);
    }
    b->dirty = true;
    n->operations_dirty = true;
}

static void batch_free(struct node *n, struct batch *b)
{
    HASH_DELETE(hh, n->operations, b);
    batch_lead_forget(b);
    free(b->id);
    free(b);
}

void batches_fini(struct node *n)
{
    struct batch *b, *next;
    HASH_ITER(hh, n->operations, b, next)
    batch_free(n, b);
}

void batches_scan(struct node *n)
{
    n->operations_scan = true;
}

static int tick(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + TICK_MS);
    batches_scan(n);
    return 0;
}

void batches_begin(struct node *n)
{
    n->batch_timer.fire = tick;
    timer_set(n, &n->batch_timer, n->now_ms + TICK_MS);
}

bool batches_have_work(const struct node *n)
{
    return n->operations_dirty || n->operations_scan;
}

void batches_wake(struct node *n, const char *swarm, const char *name)
{
    struct batch *b, *next;
    HASH_ITER(hh, n->operations, b, next)
    if (b->names && strcmp(b->swarm, swarm) == 0) {
        batch_lead_wake(b, name);
        n->operations_dirty |= b->woken_n > 0;
    }
}

/* ---- beginning ---- */

/* Names that stood in the batch before: the first was taken, these are answered already. */
static int twice_write(struct node *n, const struct batch_order *o, const struct operation_row *op,
                       int64_t *part)
{
    AUTOFREE struct batch_item *items = mem_array(o->twice_n, sizeof *items);
    for (size_t i = 0; i < o->twice_n; i++)
        items[i] = (struct batch_item){.name = (char *)(uintptr_t)o->twice[i], .is = IS_TWICE};
    return parts_answered(n, op, items, o->twice_n, part);
}

static int log_begun(struct node *n, const struct batch_order *o, int64_t epoch)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "operation", o->id);
    jw_kv_string(&j, "kind", o->kind);
    jw_kv_i64(&j, "total", o->options.total);
    jw_object_close(&j);
    jw_end(&j);
    return node_log(n, "operation_begun", o->swarm, NULL, n->name, epoch, o->who, str_get(&data));
}

static int begin(struct node *n, const struct batch_order *o, const struct operation_row *op,
                 const struct batch_plan *plan)
{
    bool check = strcmp(o->kind, "start") == 0 && o->options.mode == BATCH_ALL_OR_NONE;
    struct batch_head head = {.stamp = op->epoch};
    int64_t part = part_first(n);
    int rc = store_save(n->store, T_OPERATION, op, &n->fault);
    if (rc == 0)
        rc = twice_write(n, o, op, &part);
    if (rc == 0)
        rc = parts_write(n, op, o->wants, o->wants_n, plan, &head, check ? "waiting" : "running", &part);
    if (rc == 0)
        rc = log_begun(n, o, op->epoch);
    batch_later(n, o->id);
    return rc;
}

static int refuse(const struct batch_plan *plan, struct str *ret_names, struct err *ret_why)
{
    struct jw j = jw_init(ret_names);
    jw_array(&j);
    for (size_t i = 0; i < plan->refused_n; i++)
        jw_string(&j, plan->refused[i].name);
    jw_array_close(&j);
    err_set(ret_why, SKEP_ENONODE, "none was started; of %s: %s", plan->refused[0].name,
            plan->refused[0].detail);
    return 1;
}

int batch_begin(struct node *n, const struct batch_order *o, struct str *ret_refused, struct err *ret_why)
{
    AUTOSTR struct str options = STR_INIT;
    CLEANUP(plan_fini) struct batch_plan plan = {0};
    options_write(&o->options, &options);
    struct operation_row op = {.operation = (char *)(uintptr_t)o->id,
                               .kind = (char *)(uintptr_t)o->kind,
                               .node = n->self_text,
                               .options = (char *)(uintptr_t)str_get(&options),
                               .state = (char[]){"running"},
                               .swarm = (char *)(uintptr_t)o->swarm,
                               .who = (char *)(uintptr_t)o->who,
                               .at = n->real_ms,
                               .deadline = n->real_ms + BATCH_LIFE_MS,
                               .epoch = store_stamp(n->store)};
    int rc = plan_make(n, &op, o->wants, o->wants_n, &plan);
    if (rc == 0 && plan.refused_n && !plan.taken && o->options.mode == BATCH_ALL_OR_NONE)
        return refuse(&plan, ret_refused, ret_why);
    return rc < 0 ? rc : begin(n, o, &op, &plan);
}

/* ---- looking ---- */

/* The coordinator is gone: the operation's home goes on in its place. 1: it does. */
static int take_over(struct node *n, struct operation_row *op, int64_t actor)
{
    int64_t since;
    if (!op->node || owner_state(n, op->node, actor, &since) == OWNER_ALIVE || !node_open_now(n) ||
        !own_is_home(n, "", op->operation))
        return 0;
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "operation", op->operation);
    jw_kv_string(&j, "from", node_name_of(n, op->node));
    jw_object_close(&j);
    jw_end(&j);
    mem_replace(&op->node, n->self_text);
    op->epoch = part_epoch(n, op, op->epoch);
    int rc = store_save(n->store, T_OPERATION, op, &n->fault);
    if (rc == 0)
        rc = node_log(n, "operation_taken", op->swarm, NULL, n->name, op->epoch, NULL, str_get(&data));
    return rc < 0 ? rc : 1;
}

static int look_at(struct node *n, struct batch *b, struct operation_row *op)
{
    struct stamp v = {0};
    bool more;
    int rc = store_version(n->store, T_OPERATION, op, &v, NULL, &n->fault);
    if (rc >= 0)
        rc = batch_end_mine(n, op);
    bool leads = op->node && strcmp(op->node, n->self_text) == 0 && v.actor == n->actor;
    if (rc >= 0 && leads && op->ended_at && strcmp(op->state, "rolling_back") != 0) {
        int marked = batch_is_marked(n, op);
        rc = marked == 1 ? batch_undo(n, b, op) : marked;
    }
    if (rc < 0 || op->ended_at)
        return rc;
    if (!leads)
        rc = take_over(n, op, v.actor);
    if (rc < 0)
        return rc;
    if (leads || rc == 1)
        rc = batch_lead(n, b, op);
    else
        batch_lead_forget(b);
    if (rc == 0 && !op->ended_at)
        rc = batch_answer(n, op, &more);
    if (rc == 0 && !op->ended_at && more)
        batch_later(n, op->operation);
    return rc;
}

struct looking {
    struct batch *batch;
    bool over;
};

static int look(struct node *n, void *arg)
{
    struct looking *l = arg;
    struct operation_row op = {.operation = mem_dup(l->batch->id)};
    int rc = store_load(n->store, T_OPERATION, &op, &n->fault);
    l->over = rc == 0;
    if (rc == 1) {
        rc = look_at(n, l->batch, &op);
        l->over = rc == 0 && op.ended_at;
    }
    row_fini(T_OPERATION, &op);
    return rc == SKEP_EFENCED ? 0 : rc; /* somebody else coordinates it by now */
}

static int scan_open(struct node *n)
{
    AUTOFREE char *after = mem_dup("");
    struct stmt *q = store_ask(n->store, Q_OPERATION_OPEN, "ti", after, (int64_t)SCAN_AT_ONCE);
    int rc;
    while ((rc = stmt_step(q, &n->fault)) == 1)
        batch_later(n, col_text(q, 0));
    return rc;
}

/* While nothing may be stamped, nothing is decided: the next tick looks again. */
int batches_work(struct node *n, void *unused UNUSED)
{
    struct batch *b, *next;
    int rc = 0, looked = 0;
    if (n->operations_scan)
        rc = scan_open(n);
    n->operations_scan = n->operations_dirty = false;
    HASH_ITER(hh, n->operations, b, next)
    {
        if (rc < 0 || !(b->dirty || b->woken_n) || watch_frozen(n))
            continue;
        if (looked++ == LOOKS_AT_ONCE) {
            n->operations_dirty = true;
            break;
        }
        struct looking l = {.batch = b};
        b->dirty = false;
        rc = node_try(n, look, &l, "a look at an operation");
        if (rc < 0)
            b->dirty = n->operations_dirty = true;
        else if (l.over && !b->dirty)
            batch_free(n, b);
    }
    return rc;
}
