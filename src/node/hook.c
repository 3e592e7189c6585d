/* hook: which events become calls, in which order those begin, and what is let go. How a call is made is
 * hook_call.c's.
 */
#include "node/hook.h"

#include <string.h>

#include "base/when.h"
#include "wire/json.h"

#define SAY_AGAIN_MS 60000 /* between two rows of the log about events that one hook lost */
#define TRIM_ROWS    500

/* ---- the hooks ---- */

static void hook_free(struct hook *h)
{
    free(h->event);
    free(h->id);
    free(h->why);
    hook_spec_fini(&h->spec);
    hook_queue_fini(&h->queue);
    free(h);
}

void hooks_init(struct node *n)
{
    n->hooks = mem_alloc(sizeof *n->hooks);
    n->hooks->stale = true;
    n->hooks->timer.due_ms = INT64_MAX;
}

void hooks_fini(struct node *n)
{
    struct hooks *all = n->hooks;
    if (!all)
        return;
    timer_set(n, &all->timer, INT64_MAX);
    hook_alters_fini(n);
    hook_runs_fini(n);
    for (size_t i = 0; i < all->n; i++)
        hook_free(all->list[i]);
    for (size_t i = 0; i < all->ends_n; i++)
        free(all->ends[i].text);
    free(all->list);
    free(all->ends);
    free(TAKE(n->hooks));
}

struct hook *hook_find(struct node *n, const char *event, const char *id)
{
    for (size_t i = 0; i < n->hooks->n; i++)
        if (strcmp(n->hooks->list[i]->id, id) == 0 && strcmp(n->hooks->list[i]->event, event) == 0)
            return n->hooks->list[i];
    return NULL;
}

static int by_order(const void *a, const void *b)
{
    const struct hook *x = *(struct hook *const *)a, *y = *(struct hook *const *)b;
    return hook_order(&(struct hook_rank){x->spec.priority, x->id, x->event},
                      &(struct hook_rank){y->spec.priority, y->id, y->event});
}

/* A hook that this program cannot read (a newer one wrote it) is not run here. */
static void take_row(struct node *n, const struct hook_row *row)
{
    struct hooks *all = n->hooks;
    struct hook_spec spec = {0};
    struct err e;
    if (hook_spec_parse(row->spec, &spec, &e) < 0 || hook_spec_check(&spec, row->event, row->hook, &e) < 0) {
        log_warn(n->w.log, "the hook %s of %s cannot be read and is not run here: %s", row->hook, row->event,
                 e.text);
        hook_spec_fini(&spec);
        return;
    }
    struct hook *h = hook_find(n, row->event, row->hook);
    if (!h) {
        h = mem_alloc(sizeof *h);
        h->event = mem_dup(row->event);
        h->id = mem_dup(row->hook);
        ARRAY_GROW(all->list, all->n, all->cap);
        all->list[all->n++] = h;
    }
    hook_spec_fini(&h->spec);
    h->spec = spec;
    h->gone = false;
    h->look_ms = h->gate.paused_until_ms = 0; /* it may have been mended */
}

/* The table as it is. Outside of handlers. */
static void read_table(struct node *n)
{
    struct hooks *all = n->hooks;
    struct hook_row row = {0};
    int rc;
    for (size_t i = 0; i < all->n; i++)
        all->list[i]->gone = true;
    struct stmt *q = store_ask(n->store, Q_HOOKS, "");
    while ((rc = store_next(q, T_HOOK, &row, &n->fault)) == 1)
        take_row(n, &row);
    row_fini(T_HOOK, &row);
    stmt_reset(q);
    for (size_t i = 0; rc < 0 && i < all->n; i++)
        all->list[i]->gone = false;
    all->stale = rc < 0;
    if (all->n)
        qsort(all->list, all->n, sizeof *all->list, by_order);
}

static void table_changed(struct node *n, void *arg UNUSED)
{
    n->hooks->stale = true;
}

void hooks_changed(struct node *n)
{
    eff_do(n, table_changed, NULL, NULL);
}

/* ---- what happened ---- */

char *hook_event_json(struct node *n, const struct log_entry *l, int64_t seq)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    AUTOFREE char *id = mem_printf("%s:%lld", n->name, (long long)seq);
    jw_object(&j);
    jw_kv_string(&j, "id", id);
    jw_kv_string(&j, "type", l->type);
    jw_kv_time(&j, "at", n->real_ms);
    jw_kv_string(&j, "node", l->node ? l->node : n->name);
    jw_kv_string(&j, "swarm", l->swarm);
    jw_kv_string(&j, "name", l->name);
    if (l->epoch)
        jw_kv_i64_text(&j, "epoch", l->epoch);
    if (l->who)
        jw_kv_string(&j, "who", l->who);
    jw_kv_raw(&j, "data", (struct span){l->data, l->data ? strlen(l->data) : 0});
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

struct added {
    int64_t id, first;
    char *event, *hook;
};

static void added_free(void *arg)
{
    struct added *a = arg;
    free(a->event);
    free(a->hook);
    free(a);
}

static void add_now(struct node *n, void *arg)
{
    struct added *a = arg;
    struct hook *h = hook_find(n, a->event, a->hook);
    if (h) {
        hook_queue_add(&h->queue, (struct hook_item){.id = a->id, .first = a->first, .due_ms = n->now_ms});
        h->look_ms = 0;
        n->hooks->waiting++;
    }
    added_free(a);
}

static int put_out(struct node *n, const struct hook *h, int64_t first, const char *body)
{
    struct added *a = mem_alloc(sizeof *a);
    *a = (struct added){++n->hooks->next_id, first, mem_dup(h->event), mem_dup(h->id)};
    eff_do(n, add_now, a, added_free);
    return store_do(n->store, Q_OUTBOX_ADD, &n->fault, "iittt", a->id, n->real_ms, h->event, h->id, body);
}

static bool wants(struct node *n, const struct hook *h, const struct log_entry *l, bool origin)
{
    struct hook_filter f = {h->event, h->spec.swarm, h->spec.name, (const char *const *)h->spec.nodes.list,
                            (enum hook_where)h->spec.where};
    return !h->gone && hook_wants(&f, &(struct hook_fact){l->type, l->swarm, l->name, n->name, origin});
}

int hooks_fact(struct node *n, const struct log_entry *l, bool origin)
{
    AUTOFREE char *body = NULL;
    int64_t first = n->hooks ? n->hooks->next_id + 1 : 0;
    int rc = 0;
    if (!n->hooks || !n->hooks->begun || n->hooks->n == 0 || text_starts(l->type, "hook_"))
        return 0;
    for (size_t i = 0; rc == 0 && i < n->hooks->n; i++) {
        if (!wants(n, n->hooks->list[i], l, origin))
            continue;
        if (!body)
            body = hook_event_json(n, l, store_number(n->store, Q_LOG_NEWEST, 0, ""));
        rc = put_out(n, n->hooks->list[i], first, body);
    }
    return rc;
}

/* ---- what goes ---- */

static struct jw say_begin(const struct hook *h, struct str *data)
{
    struct jw j = jw_init(data);
    jw_object(&j);
    jw_kv_string(&j, "event", h->event);
    jw_kv_string(&j, "hook", h->id);
    return j;
}

static int say_end(struct node *n, struct jw *j, const char *type, struct str *data)
{
    jw_object_close(j);
    jw_end(j);
    return node_log(n, type, NULL, NULL, n->name, 0, NULL, str_get(data));
}

static bool has_to_say_dropped(const struct node *n, const struct hook *h)
{
    return h->dropped && (h->said_ms == 0 || n->now_ms >= h->said_ms + SAY_AGAIN_MS);
}

static int say_dropped(struct node *n, struct hook *h)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = say_begin(h, &data);
    jw_kv_i64(&j, "count", h->dropped);
    jw_kv_string(&j, "why", h->dropped_why);
    node_touch(n, &h->dropped, sizeof h->dropped);
    node_touch(n, &h->said_ms, sizeof h->said_ms);
    h->dropped = 0;
    h->said_ms = n->now_ms;
    return say_end(n, &j, "hook_dropped", &data);
}

/* A row when it begins to fail, and one when it works again: not one for each call. */
static int say_failing(struct node *n, struct hook *h)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = say_begin(h, &data);
    if (h->failing)
        jw_kv_string(&j, "detail", h->why);
    node_touch(n, &h->said_failing, sizeof h->said_failing);
    h->said_failing = h->failing;
    return say_end(n, &j, h->failing ? "hook_failed" : "hook_recovered", &data);
}

static bool has_to_say(const struct node *n, const struct hook *h)
{
    return (h->failing != h->said_failing || has_to_say_dropped(n, h)) && !watch_frozen(n);
}

/* Beside the calls: what keeps the log from being written must not keep an answer from being taken. */
static int say(struct node *n, void *arg)
{
    struct hook *h = arg;
    int rc = h->failing != h->said_failing ? say_failing(n, h) : 0;
    return rc == 0 && has_to_say_dropped(n, h) ? say_dropped(n, h) : rc;
}

struct let_go {
    struct hook *h;
    int64_t id;
};

static void let_go_now(struct node *n, void *arg)
{
    struct let_go *l = arg;
    hook_queue_drop(&l->h->queue, l->id);
    l->h->dropped++;
    l->h->dropped_why = "queue_full";
    n->hooks->waiting--;
    n->counters.hooks_dropped++;
    free(l);
}

/* The oldest ones beyond its bound. */
static int trim(struct node *n, void *arg)
{
    struct hook *h = arg;
    size_t over = h->queue.n - (size_t)h->spec.queue;
    int rc = 0;
    for (size_t i = 0; rc == 0 && over && i < h->queue.n; i++) {
        if (h->queue.list[i].running)
            continue;
        struct let_go *l = mem_alloc(sizeof *l);
        *l = (struct let_go){h, h->queue.list[i].id};
        eff_do(n, let_go_now, l, free);
        rc = store_do(n->store, Q_OUTBOX_DROP, &n->fault, "i", h->queue.list[i].id);
        over = over > 1 && i < TRIM_ROWS ? over - 1 : 0;
    }
    return rc;
}

static int forget_rows(struct node *n, void *arg)
{
    struct hook *h = arg;
    return store_do(n->store, Q_OUTBOX_FORGET, &n->fault, "tt", h->event, h->id);
}

static void forget_gone(struct node *n)
{
    struct hooks *all = n->hooks;
    size_t kept = 0;
    for (size_t i = 0; i < all->n; i++) {
        struct hook *h = all->list[i];
        if (h->gone && node_transact(n, forget_rows, h) == 0) {
            all->waiting -= (int64_t)h->queue.n;
            hook_free(h);
        } else {
            all->list[kept++] = h;
        }
    }
    all->n = kept;
}

/* ---- what an earlier run left ---- */

struct orphans {
    int64_t *ids;
    size_t n, cap;
};

static int forget_orphans(struct node *n, void *arg)
{
    struct orphans *o = arg;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < o->n; i++)
        rc = store_do(n->store, Q_OUTBOX_DROP, &n->fault, "i", o->ids[i]);
    return rc;
}

/* Its moments are of a clock that may have jumped since: none lies further ahead than any pause. */
static int64_t due_of(const struct node *n, int64_t due_real_ms)
{
    int64_t in_ms = due_real_ms - n->real_ms;
    return n->now_ms + (in_ms < 0 ? 0 : in_ms > HOOK_AGAIN_MAX_MS ? HOOK_AGAIN_MAX_MS : in_ms);
}

static void read_outbox(struct node *n)
{
    struct hooks *all = n->hooks;
    struct orphans o = {0};
    struct stmt *q = store_ask(n->store, Q_OUTBOX_ALL, "");
    int rc;
    while ((rc = stmt_step(q, &n->fault)) == 1) {
        int64_t id = col_i64(q, 0);
        struct hook *h = hook_find(n, col_text(q, 3), col_text(q, 4));
        all->next_id = id;
        if (h) {
            hook_queue_add(&h->queue, (struct hook_item){.id = id,
                                                         .due_ms = due_of(n, col_i64(q, 1)),
                                                         .attempts = (unsigned)col_i64(q, 2)});
            all->waiting++;
        } else {
            ARRAY_GROW(o.ids, o.n, o.cap);
            o.ids[o.n++] = id;
        }
    }
    if (rc < 0) { /* again at the next tick, from the start */
        for (size_t i = 0; i < all->n; i++)
            all->list[i]->queue.n = 0;
        all->waiting = 0;
    } else {
        all->begun = true;
        if (o.n)
            node_transact(n, forget_orphans, &o);
    }
    free(o.ids);
}

/* ---- the tick ---- */

/* Hooks of a higher priority hear of an event first: until when this one waits for them. Not for those that
 * fail, and never for longer than a call of theirs may take. 0: it does not. */
static int64_t waits_until(struct node *n, const struct hook *h, const struct hook_item *it)
{
    int64_t until = 0;
    for (size_t i = 0; it->attempts == 0 && i < n->hooks->n; i++) {
        const struct hook *other = n->hooks->list[i];
        if (other->spec.priority <= h->spec.priority)
            break;
        int64_t last = it->due_ms + other->spec.timeout_ms;
        if (!other->failing && !other->gone && last > n->now_ms && last > until &&
            hook_queue_before(&other->queue, it))
            until = last;
    }
    return until;
}

static void begin_some(struct node *n, struct hook *h)
{
    struct hook_item *it;
    int64_t until;
    while (n->hooks->running < HOOKS_RUNNING_MAX && hook_may(&h->gate, h->spec.concurrency, n->now_ms)) {
        it = hook_queue_next(&h->queue, n->now_ms);
        if (!it) {
            h->look_ms = hook_queue_due_ms(&h->queue);
            return;
        }
        if ((until = waits_until(n, h, it)) > 0) {
            h->look_ms = until;
            return;
        }
        struct stmt *q = store_ask(n->store, Q_OUTBOX_GET, "i", it->id);
        char *body = stmt_step(q, &n->fault) == 1 ? mem_copy(col_text(q, 0), col_bytes(q, 0)) : NULL;
        size_t bytes = body ? col_bytes(q, 0) : 0;
        stmt_reset(q);
        if (!body) {
            h->look_ms = n->now_ms + 1000;
            return;
        }
        AUTOSTR struct str event_id = STR_INIT;
        json_unquote(json_raw_member(body, bytes, "id"), &event_id);
        it->running = true;
        hook_began(&h->gate);
        n->hooks->running++;
        hook_call_begin(n, h, it->id, it->attempts + 1, str_get(&event_id), body, bytes);
    }
}

static int end_one(struct node *n, void *arg)
{
    return hook_ended_call(n, arg);
}

static void take_ends(struct node *n)
{
    struct hooks *all = n->hooks;
    struct hook_end *ends = TAKE(all->ends);
    size_t count = all->ends_n;
    all->ends_n = all->ends_cap = 0;
    for (size_t i = 0; i < count; i++) {
        if (node_transact(n, end_one, &ends[i]) < 0) /* the store is busy: at the next tick */
            hook_end_later(n, ends[i].run, ends[i].ok, TAKE(ends[i].text));
        free(ends[i].text);
    }
    free(ends);
}

/* When something will be due that no event announces. */
static void set_timer(struct node *n)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < n->hooks->n; i++) {
        const struct hook *h = n->hooks->list[i];
        int64_t at = h->look_ms > h->gate.paused_until_ms ? h->look_ms : h->gate.paused_until_ms;
        if (h->queue.n && at > n->now_ms && at < due)
            due = at;
    }
    timer_set(n, &n->hooks->timer, due);
}

static int nothing_to_do(struct node *n UNUSED, struct timer *t UNUSED)
{
    return 0; /* the turn ends with a tick */
}

bool hooks_have_work(const struct node *n)
{
    return n->hooks && n->hooks->ends_n > 0;
}

void hooks_begin(struct node *n)
{
    if (n->hooks->stale)
        read_table(n);
    if (!n->hooks->begun)
        read_outbox(n);
}

void hooks_tick(struct node *n)
{
    struct hooks *all = n->hooks;
    all->timer.fire = nothing_to_do;
    if (all->stale) {
        read_table(n);
        forget_gone(n);
    }
    if (!all->begun)
        read_outbox(n);
    if (all->ends_n)
        take_ends(n);
    hook_alters_tick(n);
    for (size_t i = 0; all->begun && i < all->n; i++) {
        struct hook *h = all->list[i];
        if (h->queue.n > (size_t)h->spec.queue)
            node_transact(n, trim, h);
        if (has_to_say(n, h))
            node_transact(n, say, h);
        if (h->queue.n && n->now_ms >= h->look_ms && !h->gone)
            begin_some(n, h);
    }
    n->counters.hooks_waiting = all->waiting;
    if (all->n)
        set_timer(n);
}
