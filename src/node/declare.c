/* declare: asks for declared children until each has an answer that stays. */
#include "node/declare.h"

#include <stdio.h>
#include <string.h>

#include "core/place.h"
#include "node/brain.h"
#include "node/swarm.h"
#include "wire/uri.h"

#define META_DECLARED "declared" /* the life, then "swarm\tname" of each that was made in it, one a line */
#define AT_ONCE       32
#define PAUSE_MIN_MS  500
#define PAUSE_MAX_MS  10000

enum state { WANTED, ASKED, MADE };

struct item {
    char *key, *body; /* key: "swarm\tname" */
    enum state state;
    int64_t again_ms, pause_ms;
    int missing; /* how often there was no such swarm, which is an answer that is kept */
};

struct declare {
    struct item *items;
    size_t n, asked;
    bool unsaid; /* the list on disk is not what is true */
    char *made;  /* lines of the list on disk that are none of ours now: of a configuration before */
};

/* ---- the life ---- */

/* The oldest that a member of the view knows; 0: none knows one. */
static int64_t heard(struct node *n)
{
    int64_t oldest = 0;
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link) {
        const struct view_node *v = view_find(&n->view, &p->id);
        bool counts = v && v->member && v->in_view && p->life > 0;
        if (counts && (oldest == 0 || p->life < oldest))
            oldest = p->life;
    }
    return oldest;
}

/* ---- the list ---- */

static struct item *item_find(struct declare *d, const char *key)
{
    for (size_t i = 0; d && i < d->n; i++)
        if (strcmp(d->items[i].key, key) == 0)
            return &d->items[i];
    return NULL;
}

static void items_free(struct declare *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->items[i].key);
        free(d->items[i].body);
    }
    free(d->items);
    free(d->made);
    free(d);
}

void declare_fini(struct node *n)
{
    if (n->declare)
        items_free(n->declare);
    n->declare = NULL;
}

/* What was made or asked for stays so; what the list on disk says is read when the life is known. */
void declare_load(struct node *n)
{
    struct declare *old = n->declare, *d = mem_alloc(sizeof *d);
    for (const struct declared *c = n->o.declared; c && c->swarm; c++)
        d->n++;
    d->items = mem_array(d->n + 1, sizeof *d->items);
    for (size_t i = 0; i < d->n; i++) {
        const struct declared *c = &n->o.declared[i];
        d->items[i] = (struct item){.key = mem_printf("%s\t%s", c->swarm, c->name), .body = mem_dup(c->body)};
        const struct item *was = item_find(old, d->items[i].key);
        d->items[i].state = was ? was->state : WANTED;
        d->asked += d->items[i].state == ASKED;
    }
    n->declare = d;
    if (old)
        items_free(old);
    n->declare_read = false;
}

static int list_read(struct node *n)
{
    AUTOFREE char *text = store_meta(n->store, META_DECLARED);
    char *rest = text, *life = strsep(&rest, "\n"), *line;
    int64_t of = 0;
    AUTOSTR struct str others = STR_INIT;
    bool same = life && text_i64(life, 1, INT64_MAX, &of) && of == n->life;
    while (same && (line = strsep(&rest, "\n"))) {
        struct item *item = item_find(n->declare, line);
        if (item && item->state == WANTED)
            item->state = MADE;
        else if (!item && *line)
            str_printf(&others, "%s\n", line);
    }
    mem_replace(&n->declare->made, str_get(&others));
    n->declare->unsaid = !same;
    n->declare_read = true;
    return 0;
}

static void said(struct node *n, void *arg UNUSED)
{
    n->declare->unsaid = false;
}

static int list_write(struct node *n)
{
    struct declare *d = n->declare;
    AUTOSTR struct str text = STR_INIT;
    str_printf(&text, "%lld\n%s", (long long)n->life, d->made ? d->made : "");
    for (size_t i = 0; i < d->n; i++)
        if (d->items[i].state == MADE)
            str_printf(&text, "%s\n", d->items[i].key);
    eff_do(n, said, NULL, NULL);
    return store_meta_set(n->store, META_DECLARED, str_get(&text), &n->fault);
}

/* ---- asking ---- */

static struct request *request_of(struct node *n, const struct item *item)
{
    struct request *r = mem_alloc(sizeof *r);
    struct str path = STR_INIT;
    const char *tab = strchr(item->key, '\t');
    AUTOFREE char *swarm = mem_copy(item->key, (size_t)(tab - item->key));
    str_puts(&path, "/v1/swarms/");
    uri_encode(&path, swarm, strlen(swarm));
    str_puts(&path, "/children/");
    uri_encode(&path, tab + 1, strlen(tab + 1));
    *r = (struct request){.method = HTTP_M_PUT,
                          .path = str_take(&path),
                          .query = mem_dup("if_exists=return"),
                          .body = mem_dup(item->body),
                          .body_n = strlen(item->body),
                          .who = {.role = ROLE_ADMIN, .name = "config"},
                          .arrived_boot_ms = n->now_ms};
    r->idempotency_key = mem_printf("declared-%llx-%016llx-%d", (unsigned long long)n->life,
                                    (unsigned long long)place_hash(swarm, tab + 1), item->missing);
    return r;
}

static bool is_due(const struct node *n, const struct item *item)
{
    return item->state == WANTED && n->now_ms >= item->again_ms;
}

static void asked(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    struct item *item = item_find(n->declare, key);
    if (item && item->state == WANTED) {
        item->state = ASKED;
        n->declare->asked++;
    }
}

static void pause_longer(const struct node *n, struct item *item)
{
    item->pause_ms = item->pause_ms ? item->pause_ms * 2 : PAUSE_MIN_MS;
    if (item->pause_ms > PAUSE_MAX_MS)
        item->pause_ms = PAUSE_MAX_MS;
    item->again_ms = n->now_ms + item->pause_ms;
}

static int ask(struct node *n, struct item *item)
{
    AUTOFREE char *swarm = mem_copy(item->key, strcspn(item->key, "\t"));
    if (!swarm_exists(n, swarm)) {
        pause_longer(n, item);
        return 0;
    }
    struct op *op = op_new(n, OP_DECLARED, request_of(n, item));
    op->ref = mem_dup(item->key);
    eff_do(n, asked, mem_dup(item->key), free);
    return op_begin(n, op);
}

/* A refusal is for good, but where it may pass: no node, no view, no swarm. */
void declare_answered(struct node *n, const struct op *op, const struct answer *a)
{
    struct item *item = item_find(n->declare, op->ref);
    if (!item || item->state != ASKED)
        return;
    n->declare->asked--;
    bool passes = a->status >= 500 || a->status == 404 || a->status == 429;
    if (passes) {
        item->state = WANTED;
        item->missing += a->status == 404;
        pause_longer(n, item);
        return;
    }
    item->state = MADE;
    n->declare->unsaid = true;
    if (a->status >= 300)
        log_error(n->w.log, "a process that the configuration declares was refused: %s: %.*s",
                  op->request->path, (int)a->body_n, a->body ? a->body : "");
}

/* ---- work ---- */

static bool may_begin(struct node *n)
{
    return n->born && node_open_now(n) && !n->leaving && !watch_frozen(n);
}

bool declare_has_work(struct node *n)
{
    struct declare *d = n->declare;
    if (!d || !may_begin(n))
        return false;
    int64_t oldest = heard(n);
    if (n->life == 0 || !n->declare_read || d->unsaid || (oldest && oldest < n->life))
        return true;
    for (size_t i = 0; i < d->n && d->asked < AT_ONCE; i++)
        if (is_due(n, &d->items[i]))
            return true;
    return false;
}

/* An older life that is heard of later is a meeting, no start: what was made in ours was made in it. */
static void live(struct node *n)
{
    int64_t oldest = heard(n), life = n->life;
    if (life == 0)
        life = oldest ? oldest : n->born;
    else if (oldest && oldest < life)
        life = oldest;
    if (life == n->life)
        return;
    node_touch(n, &n->life, sizeof n->life);
    n->declare->unsaid |= n->life != 0;
    n->life = life;
    n->frozen_dirty = true;
}

int declare_work(struct node *n)
{
    size_t begun = 0;
    int rc = 0;
    if (!declare_has_work(n))
        return 0;
    live(n);
    struct declare *d = n->declare;
    if (!n->declare_read)
        rc = list_read(n);
    if (rc == 0 && d->unsaid)
        rc = list_write(n);
    for (size_t i = 0; rc == 0 && i < d->n && d->asked + begun < AT_ONCE; i++)
        if (is_due(n, &d->items[i])) {
            rc = ask(n, &d->items[i]);
            begun++;
        }
    return rc;
}
