/* batch_lead: the coordinator of an operation. It asks the homes, watches what becomes of each name, and says
 * the outcome.
 *
 * What it keeps in memory is made from rows, and made anew by whoever takes over: the names that were claimed
 * and have no outcome yet. Nothing here waits for a node that is gone: its part is asked of the new homes,
 * with a word that it may have been carried out.
 *
 * Invariants
 *  1. It acts only while its view is open, so that it knows what was written before somebody else took its
 * place.
 *  2. A part is asked again only under a higher epoch.
 *  3. An operation ends when every part has; one that rolls back, when nothing of it is left.
 *  4. Who does not know what became of a part says so just above the question: what another coordinator, on
 * the other side of a split, has seen become of it stays.
 */
#include <stdio.h>
#include <string.h>

#include "node/batch.h"
#include "node/brain.h"

#define NAMES_AT_ONCE 2000

struct batch_name {
    struct batch_item item;
    struct batch_part *part;
    bool waits, woken;
    UT_hash_handle hh;
};

struct batch_part {
    int64_t number;
    struct batch_name *list;
    size_t n, left;
    bool written; /* as its row says */
    struct batch_part *next;
};

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static void forget_name(struct batch *b, struct batch_name *x)
{
    struct batch_name *there;
    HASH_FIND_STR(b->names, x->item.name, there);
    if (there == x)
        HASH_DELETE(hh, b->names, x);
}

void batch_lead_forget(struct batch *b)
{
    while (b->parts) {
        struct batch_part *p = b->parts;
        b->parts = p->next;
        for (size_t i = 0; i < p->n; i++) {
            forget_name(b, &p->list[i]);
            item_fini(&p->list[i].item);
        }
        free(p->list);
        free(p);
    }
    free(TAKE(b->woken));
    b->woken_n = b->woken_cap = 0;
    free(TAKE(b->swarm));
    b->names = NULL;
}

static void wake(struct batch *b, struct batch_name *x)
{
    if (x->woken || !x->waits)
        return;
    x->woken = true;
    ARRAY_GROW(b->woken, b->woken_n, b->woken_cap);
    b->woken[b->woken_n++] = x;
}

void batch_lead_wake(struct batch *b, const char *name)
{
    struct batch_name *x;
    HASH_FIND_STR(b->names, name, x);
    if (x)
        wake(b, x);
}

/* ---- the names as they stand ---- */

static int resolve(struct node *n, struct batch *b, const struct operation_row *op, struct batch_name *x)
{
    int rc = item_resolve(n, op, b->undo, &x->item);
    if (rc == 1) {
        x->waits = false;
        x->part->left--;
    }
    return rc < 0 ? rc : 0;
}

/* ---- parts that were answered ---- */

static struct batch_part *collected(const struct batch *b, int64_t number)
{
    struct batch_part *p = b->parts;
    while (p && p->number != number)
        p = p->next;
    return p;
}

static bool must_wait(const struct batch *b, int what)
{
    return what == IS_CLAIMED || what == IS_FOUND || (b->undo && what == IS_STARTED);
}

static int part_load(struct node *n, const struct operation_row *op, int64_t number,
                     struct operation_part_row *ret)
{
    *ret = (struct operation_part_row){.operation = mem_dup(op->operation), .part = number};
    int rc = store_load(n->store, T_OPERATION_PART, ret, &n->fault);
    return rc < 0 ? rc : 0;
}

static void collect(struct batch *b, const struct operation_row *op, const struct operation_part_row *row)
{
    struct batch_part *p = mem_alloc(sizeof *p);
    struct json_iter it = json_iter_init((struct span){row->result, strlen(row->result)});
    struct batch_item item = {0};
    size_t cap = 0;
    if (!b->swarm)
        b->swarm = mem_dup(op->swarm);
    p->number = row->part;
    while (item_next(&it, &item)) {
        ARRAY_GROW(p->list, p->n, cap);
        if (item.reason.p) { /* the row will not live as long */
            item.reason_text = mem_copy(item.reason.p, item.reason.n);
            item.reason.p = item.reason_text;
        }
        p->list[p->n++] = (struct batch_name){.item = item, .waits = must_wait(b, item.is)};
        item = (struct batch_item){0};
    }
    p->next = b->parts;
    b->parts = p;
    for (size_t i = 0; i < p->n; i++) { /* where they are now they stay */
        struct batch_name *x = &p->list[i], *there;
        x->part = p;
        p->left += x->waits;
        HASH_FIND_STR(b->names, x->item.name, there);
        if (x->waits && !there)
            HASH_ADD_KEYPTR(hh, b->names, x->item.name, strlen(x->item.name), x);
        wake(b, x);
    }
}

/* What its home could not answer is asked once more: of the right home, or under a new stamp. */
static int ask_again(struct node *n, const struct operation_row *op, struct operation_part_row *row,
                     int64_t *next)
{
    struct batch_head head, fresh;
    struct batch_want *wants, *some[2];
    size_t count, some_n[2] = {0, 0};
    struct batch_item item = {0};
    AUTOSTR struct str result = STR_INIT;
    struct jw j = jw_init(&result);
    part_read(row->body, &head, &wants, &count);
    for (size_t i = 0; i < COUNT(some); i++)
        some[i] = mem_array(count + 1, sizeof *some[i]);
    struct json_iter it = json_iter_init((struct span){row->result, strlen(row->result)});
    jw_array(&j);
    for (size_t at = 0; item_next(&it, &item);) {
        bool again = item.is == IS_ELSEWHERE || item.is == IS_LATE;
        while (again && at < count && strcmp(wants[at].name, item.name) != 0)
            at++;
        if (again && at < count) {
            int which = item.is == IS_LATE;
            some[which][some_n[which]++] = wants[at];
            item.is = IS_MOVED;
        } else if (again) {
            item_fail(&item, SKEP_EINTERNAL, "the answer names a child that was not asked for");
        }
        item_write(&j, &item);
    }
    jw_array_close(&j);
    item_fini(&item);
    fresh = (struct batch_head){.stamp = store_stamp(n->store)};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < COUNT(some); i++)
        rc = parts_plan(n, op, some[i], some_n[i], i ? &fresh : &head, row->state, next);
    mem_replace(&row->result, str_get(&result));
    row->epoch = part_epoch(n, op, row->epoch);
    if (rc == 0)
        rc = store_save(n->store, T_OPERATION_PART, row, &n->fault);
    for (size_t i = 0; i < COUNT(some); i++)
        free(some[i]);
    wants_free(wants, count);
    head_fini(&head);
    return rc;
}

/* Its home is gone. */
static int ask_others(struct node *n, const struct operation_row *op, struct operation_part_row *row,
                      int64_t *next)
{
    struct batch_head head;
    struct batch_want *wants;
    size_t count;
    part_read(row->body, &head, &wants, &count);
    head.unsure |= is(row->state, "running") && is(op->kind, "start");
    int rc = parts_plan(n, op, wants, count, &head, row->state, next);
    wants_free(wants, count);
    head_fini(&head);
    mem_replace(&row->state, is(op->state, "rolling_back") ? "undone" : "done");
    mem_replace(&row->body, "[]");
    mem_replace(&row->result, "[]");
    row->epoch++; /* invariant 4 */
    return rc < 0 ? rc : store_save(n->store, T_OPERATION_PART, row, &n->fault);
}

static bool has_unasked(const struct operation_part_row *row)
{
    struct json_iter it = json_iter_init((struct span){row->result, strlen(row->result)});
    struct batch_item item = {0};
    bool some = false;
    while (!some && item_next(&it, &item))
        some = item.is == IS_ELSEWHERE || item.is == IS_LATE;
    item_fini(&item);
    return some;
}

/* ---- the parts as they stand ---- */

struct line {
    int64_t number, epoch;
    char node[ID_TEXT];
    bool waiting, running, answered, undone;
};

struct lines {
    struct line *list;
    size_t n;
    int64_t next; /* number of a new part */
    size_t waiting, unanswered, running, open, partly;
};

static int lines_read(struct node *n, const struct operation_row *op, struct lines *ret)
{
    size_t cap = 0;
    int rc;
    *ret = (struct lines){.next = part_first(n)};
    struct stmt *q = store_ask(n->store, Q_OPERATION_PARTS, "t", op->operation);
    while ((rc = stmt_step(q, &n->fault)) == 1) {
        ARRAY_GROW(ret->list, ret->n, cap);
        struct line *l = &ret->list[ret->n++];
        *l = (struct line){.number = col_i64(q, 0),
                           .waiting = is(col_text(q, 2), "waiting"),
                           .running = is(col_text(q, 2), "running"),
                           .undone = is(col_text(q, 2), "undone"),
                           .answered = col_i64(q, 3),
                           .epoch = col_i64(q, 4)};
        snprintf(l->node, sizeof l->node, "%s", col_text(q, 1) ? col_text(q, 1) : "");
        if (part_is_of(l->number, ret->next))
            ret->next = l->number + 1;
        ret->waiting += l->waiting;
        ret->running += l->running;
        ret->unanswered += (l->waiting || l->running) && !l->answered;
        ret->open += l->waiting || l->running;
        ret->partly += is(col_text(q, 2), "partly");
    }
    return rc;
}

/* Whether it may still be home of anything; one whose clock is off answers nothing. */
static bool is_there(struct node *n, const char *node)
{
    CLEANUP(places_fini) struct places homes;
    struct id id;
    bool there = false;
    own_homes(n, &homes);
    for (size_t i = 0; i < homes.n && id_parse(node, &id); i++)
        there |= homes.list[i].eligible && id_equal(&homes.list[i].id, &id);
    return there;
}

/* Its time is up: nobody has answered it, or it was never more than a question. */
static int part_give_up(struct node *n, const struct operation_row *op, struct operation_part_row *row)
{
    struct batch_head head;
    struct batch_want *wants;
    size_t count;
    AUTOSTR struct str result = STR_INIT;
    struct jw j = jw_init(&result);
    part_read(row->body, &head, &wants, &count);
    jw_array(&j);
    for (size_t i = 0; i < count; i++) {
        struct batch_item item = {.name = mem_dup(wants[i].name)};
        item_fail(&item, SKEP_ETIMEOUT,
                  is(op->kind, "stop") ? "no outcome in time; it may still happen"
                                       : "no outcome in time; if it was started, that is taken back");
        item_write(&j, &item);
        item_fini(&item);
    }
    jw_array_close(&j);
    wants_free(wants, count);
    head_fini(&head);
    mem_replace(&row->state, is(op->kind, "stop") ? "done" : "partly");
    mem_replace(&row->body, "[]");
    mem_replace(&row->result, str_get(&result));
    row->epoch++; /* invariant 4 */
    return store_save(n->store, T_OPERATION_PART, row, &n->fault);
}

static bool is_overdue(const struct node *n, const struct batch *b, const struct operation_row *op)
{
    return !b->undo && n->real_ms >= op->deadline;
}

/* What is over matters only where it may undo the others. */
static bool wants_closed(const struct batch *b, const struct operation_row *op)
{
    struct batch_options o;
    batch_options_read(op, &o);
    bool some = b->undo || o.on_failure || o.mode == BATCH_ALL_OR_NONE;
    batch_options_fini(&o);
    return some;
}

static int one_line(struct node *n, struct batch *b, const struct operation_row *op, const struct line *l,
                    int64_t *next)
{
    struct operation_part_row row;
    struct batch_part *p = collected(b, l->number);
    bool open = l->waiting || l->running, asked = open && !l->answered;
    bool over = (asked || l->waiting) && is_overdue(n, b, op);
    if (p)
        p->written = b->undo ? l->undone : !open;
    if (p || (!over && (asked ? is_there(n, l->node) : l->waiting)))
        return 0;
    if (!open && (l->undone || !wants_closed(b, op)))
        return 0;
    int rc = part_load(n, op, l->number, &row);
    if (rc == 0 && over) {
        rc = part_give_up(n, op, &row);
        batch_later(n, op->operation);
    } else if (rc == 0 && open && !row.result) {
        rc = ask_others(n, op, &row, next);
        batch_later(n, op->operation);
    } else if (rc == 0 && open && has_unasked(&row)) {
        rc = ask_again(n, op, &row, next);
        batch_later(n, op->operation);
    } else if (rc == 0 && row.result) {
        collect(b, op, &row);
        b->parts->written = !b->undo && !open;
    }
    row_fini(T_OPERATION_PART, &row);
    return rc;
}

/* ---- the check of all_or_none ---- */

static int waiting_part(struct node *n, const struct operation_row *op, const struct line *l, bool *ret_some,
                        int64_t *next)
{
    struct operation_part_row row;
    int rc = part_load(n, op, l->number, &row);
    if (rc == 0 && row.result && has_unasked(&row)) { /* nothing was claimed: the whole part anew */
        rc = ask_others(n, op, &row, next);
        *ret_some = true;
        batch_later(n, op->operation);
    }
    row_fini(T_OPERATION_PART, &row);
    return rc;
}

static int go_on(struct node *n, const struct operation_row *op, const struct line *l)
{
    struct operation_part_row row;
    int rc = part_load(n, op, l->number, &row);
    if (rc == 0) {
        mem_replace(&row.state, "running");
        free(TAKE(row.result));
        row.epoch = part_epoch(n, op, row.epoch);
        rc = store_save(n->store, T_OPERATION_PART, &row, &n->fault);
    }
    row_fini(T_OPERATION_PART, &row);
    return rc;
}

static int end(struct node *n, struct operation_row *op, bool partly)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "operation", op->operation);
    jw_kv_bool(&j, "rollback", is(op->state, "rolling_back"));
    jw_object_close(&j);
    jw_end(&j);
    op->ended_at = n->real_ms;
    if (is(op->state, "running"))
        mem_replace(&op->state, partly ? "partly" : "done");
    int rc = store_save(n->store, T_OPERATION, op, &n->fault);
    node_wake(n, BATCH_KEY, op->operation);
    return rc < 0
               ? rc
               : node_log(n, "operation_ended", op->swarm, NULL, n->name, op->epoch, op->who, str_get(&data));
}

static int is_taken(struct node *n, const struct operation_row *op, const struct lines *lines, bool *ret)
{
    for (size_t i = 0; i < lines->n && !*ret; i++) {
        struct operation_part_row row = {0};
        int rc = lines->list[i].waiting ? part_load(n, op, lines->list[i].number, &row) : 0;
        *ret = row.result && strlen(row.result) > 2;
        row_fini(T_OPERATION_PART, &row);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int decide_waiting(struct node *n, struct operation_row *op, struct lines *lines)
{
    bool again = false, taken = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < lines->n; i++)
        if (lines->list[i].waiting)
            rc = waiting_part(n, op, &lines->list[i], &again, &lines->next);
    if (rc < 0 || again)
        return rc;
    if (lines->running == 0)
        rc = is_taken(n, op, lines, &taken);
    if (rc == 0 && taken)
        return end(n, op, false);
    for (size_t i = 0; rc == 0 && i < lines->n; i++)
        if (lines->list[i].waiting)
            rc = go_on(n, op, &lines->list[i]);
    batch_later(n, op->operation);
    return rc;
}

/* ---- outcomes ---- */

/* In all_or_none a name that was taken in between, or finds no node, or of which nobody knows whether it was
 * claimed, and with rollback any error, undoes everything. */
static bool is_bad(const struct batch_item *i, const struct batch_options *o)
{
    bool taken = i->is == IS_EXISTING, error = i->is == IS_ERROR;
    bool nowhere = error && is(i->code, err_info(SKEP_ENONODE)->word);
    if (o->mode == BATCH_ALL_OR_NONE && (taken || nowhere || item_is_unknown(i)))
        return true;
    if (i->is == IS_TWICE)
        return o->on_failure && o->mode != BATCH_MISSING;
    return o->on_failure && (error || (taken && o->mode == BATCH_EACH));
}

static bool wants_undo(const struct batch *b, const struct operation_row *op)
{
    struct batch_options o;
    bool bad = false;
    if (is(op->kind, "stop") || !is(op->state, "running"))
        return false;
    batch_options_read(op, &o);
    for (const struct batch_part *p = b->parts; p && !bad; p = p->next)
        for (size_t i = 0; i < p->n && !bad; i++)
            bad = is_bad(&p->list[i].item, &o);
    batch_options_fini(&o);
    return bad;
}

int batch_undo(struct node *n, struct batch *b, struct operation_row *op)
{
    struct operation_part_row mark = {.operation = op->operation,
                                      .part = BATCH_UNDONE,
                                      .body = (char[]){"[]"},
                                      .node = n->self_text,
                                      .result = (char[]){"[]"},
                                      .state = (char[]){"undone"}};
    if (op->ended_at)
        op->epoch = part_epoch(n, op, op->epoch);
    op->ended_at = 0;
    mem_replace(&op->state, "rolling_back");
    mark.epoch = part_epoch(n, op, 0);
    int rc = store_save(n->store, T_OPERATION, op, &n->fault);
    if (rc == 0)
        rc = store_save(n->store, T_OPERATION_PART, &mark, &n->fault);
    batch_lead_forget(b);
    batch_later(n, op->operation);
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "operation", op->operation);
    jw_object_close(&j);
    jw_end(&j);
    return rc < 0 ? rc
                  : node_log(n, "operation_rolled_back", op->swarm, NULL, n->name, op->epoch, op->who,
                             str_get(&data));
}

static int part_finish(struct node *n, struct batch *b, const struct operation_row *op, struct batch_part *p)
{
    struct operation_part_row row;
    AUTOSTR struct str result = STR_INIT;
    struct jw j = jw_init(&result);
    bool partly = false;
    jw_array(&j);
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].item.is != IS_MOVED && p->list[i].item.is != IS_NONE)
            item_write(&j, &p->list[i].item);
        partly |= item_is_unknown(&p->list[i].item);
    }
    jw_array_close(&j);
    int rc = part_load(n, op, p->number, &row);
    if (rc == 0) {
        mem_replace(&row.state, b->undo ? "undone" : partly ? "partly" : "done");
        mem_replace(&row.body, "[]");
        mem_replace(&row.result, str_get(&result));
        row.epoch = part_epoch(n, op, row.epoch);
        rc = store_save(n->store, T_OPERATION_PART, &row, &n->fault);
    }
    row_fini(T_OPERATION_PART, &row);
    batch_later(n, op->operation);
    return rc;
}

/* Its time is up: what has no outcome may still happen. */
static void give_up(struct node *n, struct batch *b, const struct operation_row *op)
{
    if (!is_overdue(n, b, op))
        return;
    for (struct batch_part *p = b->parts; p; p = p->next)
        for (size_t i = 0; i < p->n; i++)
            if (p->list[i].waits) {
                p->list[i].waits = false;
                p->left--;
                item_fail(&p->list[i].item, SKEP_ETIMEOUT,
                          is(op->kind, "stop") ? "no outcome in time; it may still happen"
                                               : "it has not got ready in time; it may still do so");
            }
}

static int watch_names(struct node *n, struct batch *b, const struct operation_row *op)
{
    size_t done = b->woken_n < NAMES_AT_ONCE ? b->woken_n : NAMES_AT_ONCE;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < done; i++)
        if (b->woken[i]->waits)
            rc = resolve(n, b, op, b->woken[i]);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < done; i++)
        b->woken[i]->woken = false;
    b->woken_n -= done;
    if (b->woken_n)
        memmove(b->woken, b->woken + done, b->woken_n * sizeof *b->woken);
    n->operations_dirty |= b->woken_n > 0;
    return 0;
}

static int watch_parts(struct node *n, struct batch *b, struct operation_row *op)
{
    for (struct batch_part *p = batch_is_old(n, op) ? b->parts : NULL; p; p = p->next)
        for (size_t i = 0; i < p->n; i++)
            wake(b, &p->list[i]);
    int rc = watch_names(n, b, op);
    give_up(n, b, op);
    int marked = rc == 0 && !b->undo ? batch_is_marked(n, op) : 0;
    if (marked < 0)
        return marked;
    if (rc == 0 && (marked || wants_undo(b, op)))
        return batch_undo(n, b, op);
    for (struct batch_part *p = b->parts; rc == 0 && p; p = p->next)
        if (p->left == 0 && !p->written)
            rc = part_finish(n, b, op, p);
    return rc;
}

int batch_lead(struct node *n, struct batch *b, struct operation_row *op)
{
    struct lines lines;
    bool undo_now = is(op->state, "rolling_back");
    if (!node_open_now(n))
        return 0;
    if (b->undo != undo_now) {
        batch_lead_forget(b);
        b->undo = undo_now;
    }
    int rc = lines_read(n, op, &lines);
    for (size_t i = 0; rc == 0 && i < lines.n; i++)
        rc = one_line(n, b, op, &lines.list[i], &lines.next);
    if (rc == 0 && lines.waiting && is_overdue(n, b, op))
        batch_later(n, op->operation);
    else if (rc == 0 && lines.waiting && (lines.unanswered == 0 || lines.running > 0))
        rc = decide_waiting(n, op, &lines);
    else if (rc == 0 && lines.waiting == 0)
        rc = watch_parts(n, b, op);
    bool all = lines.open == 0;
    for (struct batch_part *p = b->parts; p; p = p->next)
        all &= p->written;
    if (rc == 0 && all && !op->ended_at && is(op->state, undo_now ? "rolling_back" : "running"))
        rc = end(n, op, lines.partly > 0);
    free(lines.list);
    return rc;
}
