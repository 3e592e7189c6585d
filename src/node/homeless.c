/* homeless: processes that no node may take. Their owner is gone, and every other node is full, does not
 * serve their swarm, or was not named.
 *
 * Known at their home, in memory; said once per claim, which the log remembers. What changes who may take
 * what looks at every name (own_scan); room that becomes free elsewhere is nobody's event, so a part of them
 * is looked at again each second. Decides nothing about them: own.c does.
 */
#include <string.h>

#include "node/brain.h"
#include "node/child.h"

#define LOOK_MS   1000
#define LOOKS_MIN 100 /* each time: all of them within ten seconds, unless they are very many */
#define LOOKS_MAX 500

#define EVENTS_BACK 100 /* of the name that are looked through */

struct homeless {
    char *key; /* "swarm\nname" */
    int64_t epoch;
    UT_hash_handle hh;
};

static struct homeless *find(struct node *n, const char *swarm, const char *name)
{
    struct homeless *h = NULL;
    if (!n->homeless)
        return NULL;
    AUTOFREE char *key = mem_printf("%s\n%s", swarm, name);
    HASH_FIND_STR(n->homeless, key, h);
    return h;
}

static void drop(struct node *n, struct homeless *h)
{
    HASH_DEL(n->homeless, h);
    free(h->key);
    free(h);
}

static int look(struct node *n, struct timer *t)
{
    struct homeless *h, *next;
    size_t looks = HASH_COUNT(n->homeless) / 10, i = 0;
    looks = looks < LOOKS_MIN ? LOOKS_MIN : looks > LOOKS_MAX ? LOOKS_MAX : looks;
    looks = looks < HASH_COUNT(n->homeless) ? looks : HASH_COUNT(n->homeless);
    HASH_ITER(hh, n->homeless, h, next)
    {
        if (i++ == looks)
            break;
        AUTOFREE char *swarm = mem_dup(h->key);
        char *name = strchr(swarm, '\n');
        *name++ = 0;
        own_later(n, swarm, name);
        HASH_DEL(n->homeless, h); /* to the end of the line */
        HASH_ADD_KEYPTR(hh, n->homeless, h->key, strlen(h->key), h);
    }
    timer_set(n, t, n->homeless ? n->now_ms + LOOK_MS : INT64_MAX);
    return 0;
}

static void add(struct node *n, void *arg)
{
    struct homeless *h = arg, *old;
    HASH_FIND_STR(n->homeless, h->key, old);
    if (old)
        drop(n, old);
    if (!n->homeless) {
        n->homeless_timer.fire = look;
        timer_set(n, &n->homeless_timer, n->now_ms + LOOK_MS);
    }
    HASH_ADD_KEYPTR(hh, n->homeless, h->key, strlen(h->key), h);
}

static void add_not(void *arg)
{
    struct homeless *h = arg;
    free(h->key);
    free(h);
}

/* By its home as it was, or by this one before it started again; and it has not run since. */
static bool was_said(struct node *n, const struct name_row *row)
{
    bool said = false, ran = false;
    struct stmt *q = store_ask(n->store, Q_LOG_LAST, "tti", row->swarm, row->name, (int64_t)EVENTS_BACK);
    while (!said && !ran && stmt_step(q, NULL) == 1) {
        const char *type = col_text(q, 2);
        said = strcmp(type, "child_unplaced") == 0 && col_i64(q, 6) == row->epoch;
        ran = strcmp(type, "child_registered") == 0 || strcmp(type, "child_pid_updated") == 0;
    }
    stmt_reset(q);
    return said;
}

/* No row of it changes: its owner has gone. */
static int say(struct node *n, const struct name_row *row)
{
    AUTOFREE char *reason =
        child_reason("no_node_available", -1, 0, "its node is gone, and no other may take it");
    struct log_entry l = {.type = "child_unplaced",
                          .swarm = row->swarm,
                          .name = row->name,
                          .node = node_name_of(n, row->owner),
                          .epoch = row->epoch,
                          .data = reason};
    int rc = node_log(n, l.type, l.swarm, l.name, l.node, l.epoch, NULL, l.data);
    return rc < 0 ? rc : told_carry(n, &l);
}

int homeless_found(struct node *n, const struct name_row *row)
{
    struct homeless *h = find(n, row->swarm, row->name);
    n->unplaced = true;
    if (h && h->epoch == row->epoch)
        return 0;
    h = mem_alloc(sizeof *h);
    *h = (struct homeless){.key = mem_printf("%s\n%s", row->swarm, row->name), .epoch = row->epoch};
    eff_do(n, add, h, add_not);
    node_wake(n, row->swarm, row->name);
    return was_said(n, row) ? 0 : say(n, row);
}

static void over(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    struct homeless *h;
    HASH_FIND_STR(n->homeless, key, h);
    if (h)
        drop(n, h);
}

void homeless_over(struct node *n, const char *swarm, const char *name)
{
    struct homeless *h = find(n, swarm, name);
    if (h)
        eff_do(n, over, mem_dup(h->key), free);
}

bool homeless_was(struct node *n, const char *swarm, const char *name)
{
    return find(n, swarm, name) != NULL;
}

bool homeless_is(struct node *n, const struct name_row *row)
{
    const struct homeless *h = find(n, row->swarm, row->name);
    return h && h->epoch == row->epoch;
}

void homeless_fini(struct node *n)
{
    struct homeless *h, *next;
    HASH_ITER(hh, n->homeless, h, next)
    drop(n, h);
}
