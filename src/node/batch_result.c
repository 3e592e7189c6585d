/* batch_result: what became of each name of an operation.
 *
 * As long as it goes on, the coordinator asks here whether a name that was claimed, found or is to be undone
 * has its outcome (item_resolve). Whoever wants the result reads all parts (outcomes_read): after a split two
 * coordinators may have written about one name, each in parts of its own. Of what they say the best counts:
 * that it was started rather than that somebody could not know it; where all was rolled back, why. And what
 * still lives for the operation is listed as that, whatever the parts say: a home may have died with a claim
 * before anybody had heard of it, and come back.
 *
 * A view (v_operation_name) says the same in SQL.
 */
#include <string.h>

#include "node/batch.h"
#include "node/brain.h"
#include "node/children.h"

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* ---- what became of a name ---- */

struct seen {
    struct name_row name;
    struct child_row child;
    struct stamp version;
    bool found, dead, current, forgotten;
};

static void seen_fini(struct seen *s)
{
    row_fini(T_NAME, &s->name);
    row_fini(T_CHILD, &s->child);
}

/* What ended since it began may have been forgotten by now, and what took its place has come. */
bool batch_is_old(const struct node *n, const struct operation_row *op)
{
    return n->real_ms - op->at >= n->o.tombstone_min_ms;
}

static int seen_load(struct node *n, const struct operation_row *op, const char *name, struct seen *s)
{
    *s = (struct seen){.name = {.swarm = mem_dup(op->swarm), .name = mem_dup(name)},
                       .child = {.swarm = mem_dup(op->swarm), .name = mem_dup(name)}};
    int rc = store_load(n->store, T_NAME, &s->name, &n->fault);
    s->found = rc == 1;
    if (rc == 0)
        rc = store_version(n->store, T_NAME, &s->name, &s->version, &s->dead, &n->fault);
    if (rc >= 0)
        rc = store_load(n->store, T_CHILD, &s->child, &n->fault);
    s->current = s->found && rc == 1 && s->child.epoch == s->name.epoch;
    s->forgotten = !s->found && !s->dead && batch_is_old(n, op);
    return rc < 0 ? rc : 0;
}

void item_fail(struct batch_item *i, int code, const char *detail)
{
    i->is = IS_ERROR;
    mem_replace(&i->code, err_info(code)->word);
    mem_replace(&i->detail, detail);
}

static void start_failed(struct node *n, struct batch_item *i, const struct child_row *child)
{
    bool refused = child->reason && strstr(child->reason, "\"exec_not_allowed\"");
    bool full = child->reason && strstr(child->reason, "\"no_node_available\"");
    AUTOSTR struct str detail = STR_INIT;
    str_puts(&detail, "the process did not start: ");
    mem_replace(&i->reason_text, child->reason);
    if (i->reason_text && json_check(i->reason_text, strlen(i->reason_text), NULL) == 0)
        i->reason = (struct span){i->reason_text, strlen(i->reason_text)};
    mem_replace(&i->node, node_name_of(n, child->node));
    child_reason_words(child->reason, &detail);
    item_fail(i,
              refused ? SKEP_EEXEC
              : full  ? SKEP_ENONODE
                      : SKEP_ESTARTFAILED,
              refused ? "the node does not allow this program; add its path to allow_exec there"
              : full  ? "no node may take it: every one is full (max_children)"
                      : str_get(&detail));
}

static void started(struct node *n, struct batch_item *i, const struct child_row *child)
{
    i->is = IS_STARTED;
    i->epoch = child->epoch;
    i->pid = child->pid;
    mem_replace(&i->node, node_name_of(n, child->node));
}

static bool never_ran(const struct child_row *child)
{
    return child->started_at == 0 || (child->reason && strstr(child->reason, "\"start_failed\""));
}

/* Each says whether there is an outcome. */

static bool after_start(struct node *n, const struct operation_row *op, const struct seen *s,
                        struct batch_item *i)
{
    bool ours = s->found && is(s->name.op, op->operation);
    bool ended = !ours && s->child.epoch >= i->epoch && is(s->child.status, "gone");
    if (ours && s->current && is(s->child.status, "running"))
        started(n, i, &s->child);
    else if (ours && s->current && s->child.started_at &&
             (is(s->child.status, "backoff") || is(s->child.status, "failed")))
        started(n, i, &s->child); /* it ran: the start took place */
    else if ((ours && s->current && is(s->child.status, "failed")) || (ended && never_ran(&s->child)))
        start_failed(n, i, &s->child);
    else if (ended)
        started(n, i, &s->child);
    else if (s->found && !ours && s->name.incarnation > i->epoch)
        item_fail(i, SKEP_ESTARTED, "it has ended, and somebody else has started it since");
    else
        return false;
    return true;
}

/* Absence proves nothing at first: the row that took the place of the claim may be on its way here. */
static bool is_over(const struct seen *s, int64_t incarnation)
{
    if (s->forgotten)
        return true;
    return s->found ? s->name.incarnation > incarnation : s->dead && s->version.rank >= incarnation;
}

static bool after_stop(const struct seen *s, struct batch_item *i)
{
    if (!is_over(s, i->epoch))
        return false;
    i->is = IS_STOPPED;
    return true;
}

static bool after_undo(struct node *n, const struct operation_row *op, const struct seen *s,
                       struct batch_item *i)
{
    if ((s->found && is(s->name.op, op->operation)) || !is_over(s, i->epoch))
        return false;
    bool failed = s->child.reason && (strstr(s->child.reason, "\"start_failed\"") ||
                                      strstr(s->child.reason, "\"no_node_available\""));
    if (s->child.epoch >= i->epoch && is(s->child.status, "gone") && never_ran(&s->child) && failed)
        start_failed(n, i, &s->child);
    else
        i->is = IS_UNDONE;
    return true;
}

int item_resolve(struct node *n, const struct operation_row *op, bool undo, struct batch_item *i)
{
    CLEANUP(seen_fini) struct seen s;
    int rc = seen_load(n, op, i->name, &s);
    if (rc < 0)
        return rc;
    return undo                   ? after_undo(n, op, &s, i)
           : is(op->kind, "stop") ? after_stop(&s, i)
                                  : after_start(n, op, &s, i);
}

/* ---- the best of what is said ---- */

#define UNKNOWN 2

static int weight(const struct batch_item *i, bool undone)
{
    switch ((enum batch_is)i->is) {
    case IS_STARTED:
    case IS_STOPPED:
    case IS_UNDONE:
        return undone ? 4 : 7;
    case IS_EXISTING:
        return 6;
    case IS_ERROR:
        return undone || !is(i->code, err_info(SKEP_ETIMEOUT)->word) ? 5 : item_is_unknown(i) ? UNKNOWN : 3;
    case IS_CLAIMED:
    case IS_FOUND:
        return 3;
    case IS_ELSEWHERE:
    case IS_LATE:
    case IS_NONE:
    case IS_MOVED:
    case IS_TWICE:
        break;
    }
    return 1;
}

/* Takes the item. */
static void outcome_add(struct batch_outcomes *o, struct batch_item *i)
{
    struct batch_outcome *x;
    HASH_FIND_STR(o->list, i->name, x);
    int more = x ? weight(i, o->undone) - weight(&x->item, o->undone) : 1;
    if (more < 0 || (more == 0 && i->epoch <= x->item.epoch))
        return;
    if (i->reason.p) { /* the row will not live as long */
        i->reason_text = mem_copy(i->reason.p, i->reason.n);
        i->reason.p = i->reason_text;
    }
    if (!x) {
        x = mem_alloc(sizeof *x);
        x->item = *i;
        *i = (struct batch_item){0};
        HASH_ADD_KEYPTR(hh, o->list, x->item.name, strlen(x->item.name), x);
        return;
    }
    struct batch_item was = x->item;
    x->item = *i;
    *i = was;
    i->name = x->item.name; /* the key stays where it is */
    x->item.name = was.name;
}

/* Of two coordinators that both began it, each says so. */
static void twice_add(struct batch_outcomes *o, int64_t part, struct batch_item *i)
{
    if (o->twice_n && !part_is_of(part, o->twice_part))
        return;
    o->twice_part = part;
    ARRAY_GROW(o->twice, o->twice_n, o->twice_cap);
    o->twice[o->twice_n++] = *i;
    *i = (struct batch_item){0};
}

static void answered_read(struct batch_outcomes *o, const struct operation_part_row *part)
{
    struct json_iter it = json_iter_init((struct span){part->result, strlen(part->result)});
    struct batch_item item = {0};
    o->waiting |= is(part->state, "waiting");
    o->undone |= part->part == BATCH_UNDONE; /* the first of them */
    while (item_next(&it, &item)) {
        if (is(part->state, "running") && item_is_unknown(&item)) /* its coordinator has not said so yet */
            item.is = IS_NONE;
        if (item.is == IS_TWICE)
            twice_add(o, part->part, &item);
        else
            outcome_add(o, &item);
    }
    item_fini(&item);
}

/* What nobody has answered, and will not. */
static void asked_read(struct batch_outcomes *o, const struct operation_part_row *part)
{
    struct batch_head head;
    struct batch_want *wants;
    size_t count;
    part_read(part->body, &head, &wants, &count);
    for (size_t i = 0; i < count; i++) {
        struct batch_item item = {.name = mem_dup(wants[i].name), .is = IS_NONE};
        outcome_add(o, &item);
        item_fini(&item);
    }
    wants_free(wants, count);
    head_fini(&head);
}

int outcomes_said(struct node *n, const struct operation_row *op, struct batch_outcomes *ret)
{
    struct operation_part_row part = {0};
    int rc;
    *ret = (struct batch_outcomes){.undone = is(op->state, "rolling_back")};
    struct stmt *q =
        store_ask(n->store, op->ended_at ? Q_OPERATION_ALL : Q_OPERATION_RESULTS, "t", op->operation);
    while ((rc = store_next(q, T_OPERATION_PART, &part, &n->fault)) == 1)
        if (part.result)
            answered_read(ret, &part);
        else if (is(part.state, "running") && part.body)
            asked_read(ret, &part);
    row_fini(T_OPERATION_PART, &part);
    return rc;
}

bool outcomes_lack(const struct batch_outcomes *o, const char *name)
{
    struct batch_outcome *x;
    HASH_FIND_STR(o->list, name, x);
    return x && item_is_unknown(&x->item);
}

/* The best that is said of one. */
static int said_of(struct stmt *q, const char *name, int *ret_weight, struct err *e)
{
    struct operation_part_row part = {0};
    struct batch_item i = {0};
    int rc = 0;
    *ret_weight = 0;
    while ((rc = store_next(q, T_OPERATION_PART, &part, e)) == 1) {
        struct json_iter it =
            json_iter_init((struct span){part.result, part.result ? strlen(part.result) : 0});
        while (item_next(&it, &i))
            if (is(i.name, name) && weight(&i, false) > *ret_weight)
                *ret_weight = weight(&i, false);
    }
    stmt_reset(q);
    item_fini(&i);
    row_fini(T_OPERATION_PART, &part);
    return rc;
}

int batch_is_partly(struct node *n, const char *op)
{
    struct stmt *q = store_ask(n->store, Q_OPERATION_PARTLY, "t", op);
    int rc = stmt_step(q, &n->fault);
    stmt_reset(q);
    return rc;
}

/* It is asked for each process of the operation: first the few parts that do not know of some. */
int batch_is_unknown(struct node *n, const struct operation_row *op, const char *name)
{
    int w, rc = batch_is_partly(n, op->operation);
    if (rc <= 0)
        return rc;
    rc = said_of(store_ask(n->store, Q_OPERATION_ANSWERED, "tt", op->operation, "partly"), name, &w,
                 &n->fault);
    if (rc == 0 && w == UNKNOWN)
        rc = said_of(store_ask(n->store, Q_OPERATION_RESULTS, "t", op->operation), name, &w, &n->fault);
    return rc < 0 ? rc : w == UNKNOWN;
}

/* ---- what lives all the same ---- */

static void open_fail(const struct operation_row *op, struct batch_item *i)
{
    item_fail(i, SKEP_ETIMEOUT,
              is(op->kind, "stop") ? "no outcome in time; it may still happen"
              : i->node            ? "it has not got ready in time; it may still do so"
                                   : "no outcome in time");
}

static int settle(struct node *n, const struct operation_row *op, struct batch_item *i)
{
    CLEANUP(seen_fini) struct seen s;
    int rc = seen_load(n, op, i->name, &s);
    bool lives = rc == 0 && s.found && is(s.name.kind, "child") && is(s.name.op, op->operation);
    if (!lives || after_start(n, op, &s, i))
        return rc;
    mem_replace(&i->node, node_name_of(n, s.name.owner));
    open_fail(op, i);
    return 0;
}

/* What is taken back where it turns up does not live for long. */
static bool is_settled(const struct operation_row *op, const struct batch_item *i)
{
    return i->is == IS_STARTED || i->is == IS_STOPPED || is(op->kind, "stop") || item_is_unknown(i);
}

static int settle_all(struct node *n, const struct operation_row *op, struct batch_outcomes *o)
{
    struct batch_outcome *x, *next;
    bool some = false;
    int rc = 0;
    HASH_ITER(hh, o->list, x, next)
    {
        if (rc == 0 && !is_settled(op, &x->item))
            rc = settle(n, op, &x->item);
        if (weight(&x->item, false) == 1 || x->item.is == IS_CLAIMED || x->item.is == IS_FOUND)
            open_fail(op, &x->item);
        some |= x->item.is == IS_STARTED;
    }
    o->waiting &= !some;
    return rc;
}

int outcomes_read(struct node *n, const struct operation_row *op, struct batch_outcomes *ret)
{
    int rc = outcomes_said(n, op, ret);
    return rc == 0 && op->ended_at && !ret->undone ? settle_all(n, op, ret) : rc;
}

void outcomes_fini(struct batch_outcomes *o)
{
    struct batch_outcome *x, *next;
    HASH_ITER(hh, o->list, x, next)
    {
        HASH_DELETE(hh, o->list, x);
        item_fini(&x->item);
        free(x);
    }
    for (size_t i = 0; i < o->twice_n; i++)
        item_fini(&o->twice[i]);
    free(TAKE(o->twice));
}
