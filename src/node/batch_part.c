/* batch_part: what the parts of an operation say, as JSON and as structs; and how names are put into parts.
 *
 *   body   [{"view","stamp","unsure","seating","targets"}, {"name","spec","metadata","to"}, …]
 *          spec: not said = as of the one before; to: which of the targets
 *   result [{"name","is", …}, …]
 *
 * Names of one home go into one part, up to its limits: so each part is answered by one node in one
 * transaction. Rows of peers may say anything: what cannot be read counts as not there.
 */
#include <string.h>

#include "node/batch.h"
#include "node/brain.h"

static const char *const is_words[] = {"claimed", "started",   "found", "stopped", "existing",
                                       "error",   "elsewhere", "late",  "none",    "moved",
                                       "undone",  "twice",     NULL};

static const struct json_field item_fields[] = {
    JSON_FIELD(struct batch_item, name, JSON_STRING, .required = true),
    JSON_FIELD(struct batch_item, is, JSON_WORD, .required = true, .words = is_words),
    JSON_FIELD(struct batch_item, node, JSON_STRING),
    JSON_FIELD(struct batch_item, epoch, JSON_I64_TEXT),
    JSON_FIELD(struct batch_item, pid, JSON_INT),
    JSON_FIELD(struct batch_item, code, JSON_STRING),
    JSON_FIELD(struct batch_item, detail, JSON_STRING, .may_be_empty = true),
    JSON_FIELD(struct batch_item, reason, JSON_RAW)};
static const struct json_table item_table = JSON_TABLE(struct batch_item, item_fields);

void item_fini(struct batch_item *i)
{
    json_release(&item_table, i);
    free(TAKE(i->reason_text));
}

bool item_is_unknown(const struct batch_item *i)
{
    return i->is == IS_ERROR && !i->node && i->code && strcmp(i->code, err_info(SKEP_ETIMEOUT)->word) == 0;
}

void item_write(struct jw *j, const struct batch_item *i)
{
    jw_object(j);
    jw_kv_string(j, "name", i->name);
    jw_kv_string(j, "is", is_words[i->is]);
    if (i->node)
        jw_kv_string(j, "node", i->node);
    if (i->epoch)
        jw_kv_i64_text(j, "epoch", i->epoch);
    if (i->pid)
        jw_kv_i64(j, "pid", i->pid);
    if (i->code)
        jw_kv_string(j, "code", i->code);
    if (i->detail)
        jw_kv_string(j, "detail", i->detail);
    if (i->reason.p)
        jw_kv_raw(j, "reason", i->reason);
    jw_object_close(j);
}

bool item_next(struct json_iter *it, struct batch_item *ret)
{
    struct span one;
    item_fini(ret);
    *ret = (struct batch_item){0};
    while (json_iter_next(it, NULL, &one)) {
        if (json_read_checked(one, NULL, &item_table, ret, NULL) == 0)
            return true;
        item_fini(ret);
        *ret = (struct batch_item){0};
    }
    return false;
}

/* ---- bodies ---- */

static const struct json_field head_fields[] = {
    JSON_FIELD(struct batch_head, view, JSON_STRING), JSON_FIELD(struct batch_head, stamp, JSON_I64_TEXT),
    JSON_FIELD(struct batch_head, seating, JSON_STRING),
    JSON_FIELD(struct batch_head, targets, JSON_STRINGS, .bytes_max = ID_TEXT),
    JSON_FIELD(struct batch_head, unsure, JSON_BOOL)};
static const struct json_table head_table = JSON_TABLE(struct batch_head, head_fields);

static const struct json_field want_fields[] = {
    JSON_FIELD(struct batch_want, name, JSON_NAME, .required = true),
    JSON_FIELD(struct batch_want, spec, JSON_RAW_OBJECT),
    JSON_FIELD(struct batch_want, metadata, JSON_RAW_OBJECT),
    JSON_FIELD(struct batch_want, to, JSON_INT, .min = 0, .max = INT16_MAX)};
static const struct json_table want_table = JSON_TABLE(struct batch_want, want_fields);

void head_fini(struct batch_head *h)
{
    json_release(&head_table, h);
}

void wants_free(struct batch_want *wants, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_release(&want_table, &wants[i]);
    free(wants);
}

int part_read(const char *body, struct batch_head *ret_head, struct batch_want **ret_wants, size_t *ret_n)
{
    struct json_iter it = json_iter_init((struct span){body, strlen(body)});
    struct span one, spec = {NULL, 0};
    size_t cap = 0;
    *ret_head = (struct batch_head){0};
    *ret_wants = NULL;
    *ret_n = 0;
    int rc = json_iter_next(&it, NULL, &one) ? json_read_checked(one, NULL, &head_table, ret_head, NULL) : 0;
    while (rc == 0 && json_iter_next(&it, NULL, &one)) {
        ARRAY_GROW(*ret_wants, *ret_n, cap);
        struct batch_want *w = &(*ret_wants)[*ret_n];
        *w = (struct batch_want){.to = PLAN_OPEN};
        if (json_read_checked(one, NULL, &want_table, w, NULL) < 0) {
            json_release(&want_table, w);
            continue;
        }
        if (w->spec.p)
            spec = w->spec;
        w->spec = spec;
        ++*ret_n;
    }
    return 0;
}

/* ---- placing ---- */

void want_nodes(const struct batch_want *w, struct json_strings *ret)
{
    struct span nodes = json_raw_member(w->spec.p, w->spec.n, "nodes"), one;
    struct json_iter it = json_iter_init(nodes);
    size_t cap = 0;
    *ret = (struct json_strings){0};
    while (nodes.p && json_iter_next(&it, NULL, &one)) {
        struct str text = STR_INIT;
        json_unquote(one, &text);
        ARRAY_GROW(ret->list, ret->n, cap);
        ret->list[ret->n++] = str_take(&text);
    }
    ARRAY_GROW(ret->list, ret->n, cap);
    ret->list[ret->n] = NULL;
}

static void refuse(struct batch_plan *p, const struct places *from, const char *name)
{
    struct err e;
    ARRAY_GROW(p->refused, p->refused_n, p->refused_cap);
    places_none(p->seating.n, from, &e);
    p->refused[p->refused_n++] = (struct batch_item){.name = (char *)(uintptr_t)name,
                                                     .is = IS_ERROR,
                                                     .code = (char *)(uintptr_t)err_info(e.code)->word,
                                                     .detail = mem_dup(e.text)};
}

/* What runs already needs no room: it is looked for where that matters. */
static int place(struct batch_plan *p, const struct batch_want *w, int *ret_to)
{
    struct seating *s = &p->seating;
    struct json_strings nodes;
    int free = 1;
    want_nodes(w, &nodes);
    struct places *from = seating_places(s, nodes.list);
    int to = s->limited ? -1 : seating_pick(s, from, w->name);
    if (to < 0)
        free = batch_is_free(s->n, s->swarm, w->name);
    p->taken |= free == 0;
    if (to < 0 && free == 1 && (to = seating_pick(s, from, w->name)) < 0) {
        refuse(p, from, w->name);
        to = PLAN_REFUSED;
    }
    json_strings_fini(&nodes);
    *ret_to = to;
    return free < 0 ? free : 0;
}

/* Those that name their nodes come first: the others have more to choose from. */
static int place_all(struct batch_plan *p, const struct batch_want *wants, size_t count, bool named)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        if ((json_raw_member(wants[i].spec.p, wants[i].spec.n, "nodes").n > 2) == named)
            rc = place(p, &wants[i], &p->to[i]);
    return rc;
}

int plan_make(struct node *n, const struct operation_row *op, const struct batch_want *wants, size_t count,
              struct batch_plan *ret)
{
    *ret = (struct batch_plan){.to = mem_array(count, sizeof *ret->to)};
    for (size_t i = 0; i < count; i++)
        ret->to[i] = PLAN_OPEN;
    if (strcmp(op->kind, "start") != 0 || strcmp(op->state, "running") != 0)
        return 0;
    ret->seated = true;
    seating_init(n, op->swarm, count, false, &ret->seating);
    int rc = place_all(ret, wants, count, true);
    return rc < 0 ? rc : place_all(ret, wants, count, false);
}

void plan_fini(struct batch_plan *p)
{
    if (p->seated)
        seating_fini(&p->seating);
    for (size_t i = 0; i < p->refused_n; i++)
        free(p->refused[i].detail);
    free(TAKE(p->refused));
    free(TAKE(p->to));
}

/* ---- parts ---- */

/* 53 bits in all: others read it as a number of JSON. */
int64_t part_first(const struct node *n)
{
    return ((n->actor >> 1) & ((INT64_C(1) << 37) - 1)) << BATCH_PART_BITS;
}

bool part_is_of(int64_t part, int64_t first)
{
    return part >> BATCH_PART_BITS == first >> BATCH_PART_BITS;
}

static int answered_save(struct node *n, const struct operation_row *op, const struct batch_item *items,
                         size_t count, int64_t part)
{
    AUTOSTR struct str result = STR_INIT;
    struct jw j = jw_init(&result);
    jw_array(&j);
    for (size_t i = 0; i < count; i++)
        item_write(&j, &items[i]);
    jw_array_close(&j);
    struct operation_part_row row = {.operation = op->operation,
                                     .part = part,
                                     .body = (char[]){"[]"},
                                     .epoch = part_epoch(n, op, 0),
                                     .node = n->self_text,
                                     .result = (char *)(uintptr_t)str_get(&result),
                                     .state = (char[]){"done"}};
    return store_save(n->store, T_OPERATION_PART, &row, &n->fault);
}

int parts_answered(struct node *n, const struct operation_row *op, const struct batch_item *items,
                   size_t count, int64_t *part)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i += BATCH_NAMES_MAX)
        rc = answered_save(n, op, items + i, count - i < BATCH_NAMES_MAX ? count - i : BATCH_NAMES_MAX,
                           (*part)++);
    return rc;
}

struct draft {
    struct str body;
    struct jw j;
    size_t names;
    struct span spec; /* of the last one in it */
};

struct planning {
    struct node *n;
    const struct operation_row *op;
    const struct batch_head *head;
    const struct batch_plan *plan;
    const char *state;
    int64_t *part; /* number of the next */
    struct places homes;
    struct draft *drafts; /* one a home */
};

int64_t part_epoch(struct node *n, const struct operation_row *op, int64_t old)
{
    int64_t stamp = store_stamp(n->store), least = (old > op->epoch ? old : op->epoch) + 1;
    return stamp > least ? stamp : least;
}

static int draft_end(struct planning *p, size_t home)
{
    struct draft *d = &p->drafts[home];
    char node[ID_TEXT];
    if (d->names == 0)
        return 0;
    jw_array_close(&d->j);
    jw_end(&d->j);
    struct operation_part_row row = {.operation = p->op->operation,
                                     .part = (*p->part)++,
                                     .body = (char *)(uintptr_t)str_get(&d->body),
                                     .epoch = part_epoch(p->n, p->op, 0),
                                     .node = (char *)(uintptr_t)id_text(&p->homes.list[home].id, node),
                                     .state = (char *)(uintptr_t)p->state};
    int rc = store_save(p->n->store, T_OPERATION_PART, &row, &p->n->fault);
    str_clear(&d->body);
    d->names = 0;
    return rc;
}

static void targets_write(struct jw *j, const struct seating *s)
{
    char text[17], id[ID_TEXT];
    seating_text(s, text);
    jw_kv_string(j, "seating", text);
    jw_kv_array(j, "targets");
    for (size_t i = 0; i < s->all.n; i++)
        jw_string(j, id_text(&s->all.list[i].id, id));
    jw_array_close(j);
}

static void draft_begin(struct planning *p, struct draft *d)
{
    char view[17];
    own_signature(p->n, view);
    d->j = jw_init(&d->body);
    d->spec = (struct span){NULL, 0};
    jw_array(&d->j);
    jw_object(&d->j);
    jw_kv_string(&d->j, "view", view);
    jw_kv_i64_text(&d->j, "stamp", p->head->stamp);
    if (p->head->unsure)
        jw_kv_bool(&d->j, "unsure", true);
    if (p->plan->seated)
        targets_write(&d->j, &p->plan->seating);
    jw_object_close(&d->j);
}

static bool same(struct span a, struct span b)
{
    return a.n == b.n && a.n && (a.p == b.p || memcmp(a.p, b.p, a.n) == 0);
}

static int draft_add(struct planning *p, size_t home, const struct batch_want *w, int to)
{
    struct draft *d = &p->drafts[home];
    if (d->names == 0)
        draft_begin(p, d);
    jw_object(&d->j);
    jw_kv_string(&d->j, "name", w->name);
    if (w->spec.p && !same(w->spec, d->spec))
        jw_kv_raw(&d->j, "spec", w->spec);
    if (w->metadata.p)
        jw_kv_raw(&d->j, "metadata", w->metadata);
    if (to >= 0)
        jw_kv_i64(&d->j, "to", to);
    jw_object_close(&d->j);
    d->spec = w->spec;
    return ++d->names == BATCH_NAMES_MAX || d->body.n >= BATCH_BODY_BYTES ? draft_end(p, home) : 0;
}

int parts_write(struct node *n, const struct operation_row *op, const struct batch_want *wants, size_t count,
                const struct batch_plan *plan, const struct batch_head *head, const char *state,
                int64_t *part)
{
    struct planning p = {.n = n, .op = op, .plan = plan, .head = head, .state = state, .part = part};
    int rc = 0;
    own_homes(n, &p.homes);
    p.drafts = mem_array(p.homes.n, sizeof *p.drafts);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int home = place_pick(p.homes.list, p.homes.n, place_hash(op->swarm, wants[i].name));
        rc = plan->to[i] == PLAN_REFUSED ? 0 : draft_add(&p, (size_t)home, &wants[i], plan->to[i]);
    }
    for (size_t i = 0; i < p.homes.n; i++) {
        if (rc == 0)
            rc = draft_end(&p, i);
        str_fini(&p.drafts[i].body);
    }
    free(p.drafts);
    places_fini(&p.homes);
    return rc < 0 ? rc : parts_answered(n, op, plan->refused, plan->refused_n, part);
}

int parts_plan(struct node *n, const struct operation_row *op, const struct batch_want *wants, size_t count,
               const struct batch_head *head, const char *state, int64_t *part)
{
    CLEANUP(plan_fini) struct batch_plan plan = {0};
    int rc = plan_make(n, op, wants, count, &plan);
    return rc < 0 ? rc : parts_write(n, op, wants, count, &plan, head, state, part);
}
