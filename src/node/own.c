/* own: who owns a name, and what follows from a claim (the nine rules; docs/names.md tells them).
 *
 * Decides as home (claim, take over, confirm) and hands what this node owns to child.c and session.c. It is
 * level-triggered: every decision is taken from the rows as they are and the view as it is, so a missed or
 * doubled occasion does no harm; own_scan looks at every name again.
 *
 * Invariants
 *  1. Only an OPEN home claims, and only names that do not run.
 *  2. A claim counts once a second node of the view has it; alone in the view, at once.
 *  3. Only the owner ends or moves a claim that it runs.
 */
#include <stdio.h>
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
#include "node/settings.h"
#include "node/spec.h"
#include "node/swarm.h"
#include "wire/json.h"

#define SCAN_NAMES      500
#define ORPHAN_DELAY_MS 15000
#define LEASES_AT_ONCE  500

static struct lease *lease_find(struct node *n, const char *swarm, const char *name);

/* ---- placing ---- */

/* Rule 9: a node whose clock is off is no home, unless all are. */
static bool may_be_home(const struct node *n, const struct id *id)
{
    const struct view_node *v = view_find((struct view *)(uintptr_t)&n->view, id);
    return v ? v->weight > 0 : n->view.self.weight > 0;
}

static size_t candidates(struct node *n, struct place_node **ret)
{
    struct place_node *list = mem_array(n->view.n + 1, sizeof *list);
    size_t count = 0;
    list[count++] = (struct place_node){n->self, 1.0, true};
    for (size_t i = 0; i < n->view.n; i++)
        if (n->view.peers[i].member && n->view.peers[i].in_view)
            list[count++] = (struct place_node){n->view.peers[i].id, 1.0, true};
    *ret = list;
    return count;
}

void own_homes(struct node *n, struct places *ret)
{
    size_t homes = 0;
    *ret = (struct places){0};
    ret->n = candidates(n, &ret->list);
    for (size_t i = 0; i < ret->n; i++)
        homes += ret->list[i].eligible = may_be_home(n, &ret->list[i].id);
    for (size_t i = 0; i < ret->n && homes == 0; i++)
        ret->list[i].eligible = true;
}

struct id own_home(struct node *n, const char *swarm, const char *name)
{
    CLEANUP(places_fini) struct places homes;
    own_homes(n, &homes);
    return homes.list[place_pick(homes.list, homes.n, place_hash(swarm, name))].id;
}

bool own_is_home(struct node *n, const char *swarm, const char *name)
{
    struct id home = own_home(n, swarm, name);
    return id_equal(&home, &n->self);
}

bool places_pick(struct node *n, struct places *p, const char *swarm, const char *name, struct id *ret)
{
    int best = choice_pick(n, &p->choice, p->list, p->n, swarm, name);
    if (best < 0)
        return false;
    *ret = p->list[best].id;
    return true;
}

void places_fini(struct places *p)
{
    free(p->list);
    free(p->why);
    choice_fini(&p->choice);
    *p = (struct places){0};
}

int64_t own_actor_of(struct node *n, const struct id *node)
{
    struct peer *p = peer_find(n, node);
    return p ? p->actor : n->actor;
}

void own_signature(const struct node *n, char ret[17])
{
    snprintf(ret, 17, "%016llx", (unsigned long long)n->view.signature);
}

void own_claim(struct node *n, struct name_row *row, const struct id *owner, int64_t over)
{
    char text[ID_TEXT], view[17];
    int64_t stamp = store_stamp(n->store);
    own_signature(n, view);
    mem_replace(&row->cause, NULL);
    row->epoch = stamp > over ? stamp : over + 1;
    mem_replace(&row->view, view);
    mem_replace(&row->owner, owner ? id_text(owner, text) : NULL);
    row->owner_actor = owner ? own_actor_of(n, owner) : 0;
    if (row->since == 0)
        row->since = row->epoch;
    if (row->incarnation == 0)
        row->incarnation = row->epoch;
    if (owner) {
        swarm_taken(n, row->swarm, row->owner_actor);
        poke_node(n, owner);
    }
}

/* ---- what this node owns ---- */

struct again {
    char *swarm, *name;
};

static void again_free(void *arg)
{
    struct again *a = arg;
    free(a->swarm);
    free(a->name);
    free(a);
}

static int look_at(struct node *n, void *arg)
{
    const struct again *a = arg;
    return own_changed(n, a->swarm, a->name);
}

/* A store that cannot write at the moment stops the work, to be done again; what only this name has, does
 * not, and leaves nothing half done. */
static int look(struct node *n, struct again *a)
{
    AUTOFREE char *what = mem_printf("a look at %s", a->name);
    return node_try(n, look_at, a, what);
}

/* A second copy is there: look again, in a transaction of its own. */
static void covered(struct node *n, void *arg, int copies)
{
    if (copies >= 0)
        own_later(n, ((struct again *)arg)->swarm, ((struct again *)arg)->name);
    again_free(arg);
}

/* Rule 2. Whether the claim has its second copy; if not, own_changed runs again once it has. */
int claim_covered(struct node *n, const struct name_row *row, bool *ret)
{
    struct stamp stamp;
    int rc = store_version(n->store, T_NAME, row, &stamp, NULL, &n->fault);
    if (rc < 0)
        return rc;
    *ret = rc == 0 || stamp.actor != n->actor || view_others(&n->view) == 0 || cover_count(n, stamp.hlc) > 0;
    if (*ret)
        return 0;
    struct again *a = mem_alloc(sizeof *a);
    *a = (struct again){mem_dup(row->swarm), mem_dup(row->name)};
    cover_wait(n, stamp.hlc, 1, false, NULL, INT64_MAX, covered, a, again_free);
    return 0;
}

static bool is_mine(const struct node *n, const struct name_row *row)
{
    return row->owner && row->owner_actor == n->actor && strcmp(row->owner, n->self_text) == 0;
}

static bool is_session(const struct name_row *row)
{
    return strcmp(row->kind, "session") == 0;
}

static int owner_side(struct node *n, const struct name_row *row)
{
    bool has_copy;
    if (strcmp(row->kind, "address") == 0)
        return child_disowned(n, row->swarm, row->name, row);
    if (is_session(row))
        return session_changed(n, row->name);
    if (!is_mine(n, row))
        return child_disowned(n, row->swarm, row->name, row);
    int rc = child_wants_copy(n, row) ? claim_covered(n, row, &has_copy) : (has_copy = true, 0);
    return rc < 0 ? rc : child_owned(n, row, has_copy);
}

/* ---- what this node is home of ---- */

/* What the owner said of the claim as it stands. */
static int observed(struct node *n, const struct name_row *row, struct child_row *ret)
{
    *ret = (struct child_row){.swarm = mem_dup(row->swarm), .name = mem_dup(row->name)};
    int rc = store_load(n->store, T_CHILD, ret, &n->fault);
    if (rc == 1 && ret->epoch < row->epoch)
        mem_replace(&ret->status, NULL);
    return rc < 0 ? rc : 0;
}

void own_taken(const char *from, const char *why, struct str *ret_json)
{
    struct jw j = jw_init(ret_json);
    jw_object(&j);
    jw_kv_string(&j, "from", from);
    jw_kv_string(&j, "why", why);
    jw_object_close(&j);
    jw_end(&j);
}

/* An owner that is alive says itself that it may run it no more. It is full with what it has, this one too.
 */
static bool stays(struct node *n, const struct name_row *row, struct id *ret)
{
    int64_t since_ms;
    struct id id;
    if (owner_state(n, row->owner, row->owner_actor, &since_ms) != OWNER_ALIVE || !id_parse(row->owner, &id))
        return false;
    const struct peer *p = peer_find(n, &id);
    if (p ? p->draining : n->draining || n->leaving) /* it starts nothing */
        return false;
    *ret = id;
    return true;
}

static int take_over(struct node *n, struct name_row *row, const char *why)
{
    CLEANUP(places_fini) struct places takers;
    struct id to;
    own_takers(n, row, &takers);
    if (!places_pick(n, &takers, row->swarm, row->name, &to) && !stays(n, row, &to))
        return homeless_found(n, row);
    homeless_over(n, row->swarm, row->name);
    AUTOFREE char *from = mem_dup(row->owner ? node_name_of(n, row->owner) : "");
    row->since = 0;
    own_claim(n, row, &to, row->epoch);
    AUTOSTR struct str data = STR_INIT;
    own_taken(from, why, &data);
    mem_replace(&row->cause, str_get(&data));
    int rc = store_save(n->store, T_NAME, row, &n->fault);
    if (rc == 0)
        rc = node_log(n, "child_claimed", row->swarm, row->name, node_name_of(n, row->owner), row->epoch,
                      NULL, str_get(&data));
    if (rc == 0)
        facts_taken(n, NULL, row->swarm, row->name, from, node_name_of(n, row->owner));
    if (rc == 0)
        node_wake(n, row->swarm, row->name);
    return rc < 0 ? rc : owner_side(n, row);
}

/* Whether what the owner wrote before it agreed to our view has been pulled: so much an OPEN view says of its
 * nodes. An owner that is silent, and not down yet, may run what it had no time to tell. */
static bool owner_agrees(struct node *n, const struct name_row *row)
{
    struct id id;
    if (!row->owner || !id_parse(row->owner, &id))
        return false;
    const struct view_node *v = view_find(&n->view, &id);
    return id_equal(&id, &n->self) || (v && v->member && v->in_view);
}

/* The owner is alive, but the claim was made under another view and nothing runs: rule 6's "asks the home".
 */
static int confirm(struct node *n, struct name_row *row, const struct child_row *seen)
{
    char view[17];
    own_signature(n, view);
    bool idle = !seen->status || strcmp(seen->status, "backoff") == 0;
    if (!idle || (row->view && strcmp(row->view, view) == 0) || !owner_agrees(n, row))
        return 0;
    if (is_mine(n, row) && child_running(n, row->swarm, row->name))
        return 0;
    if (row->incarnation == row->epoch && !seen->status)
        row->incarnation = 0; /* never ran: the new claim is the first one still */
    return take_over(n, row, "confirmed");
}

/* Its owner is gone and had it running: that was its end, if it is never to be started again. What had not
 * begun to run, or was on its way, goes on elsewhere like any other. */
static bool ended_with_owner(struct node *n, const struct name_row *row, const struct child_row *seen)
{
    static const char *const ran[] = {"running", "stopping", "moving", NULL};
    struct spec spec;
    size_t i = 0;
    while (seen->status && ran[i] && strcmp(ran[i], seen->status) != 0)
        i++;
    if (!seen->status || !ran[i])
        return false;
    spec_defaults(&spec);
    bool read = row->spec && spec_parse(row->spec, &spec, NULL) == 0;
    int restart = read && spec.restart_said ? spec.restart : node_settings(n, row->swarm)->restart;
    spec_fini(&spec);
    return restart == RESTART_TEMPORARY;
}

static int home_side(struct node *n, struct name_row *row)
{
    int64_t down_since_ms;
    if (!row->owner || !node_open_now(n))
        return 0;
    bool home = own_is_home(n, row->swarm, row->name);
    enum owner_state state = owner_state(n, row->owner, row->owner_actor, &down_since_ms);
    if (!home || state == OWNER_ALIVE)
        homeless_over(n, row->swarm, row->name);
    if (!home)
        return 0;
    if (is_session(row))
        return state == OWNER_ALIVE ? 0 : session_orphaned(n, row, state, down_since_ms);
    struct child_row seen;
    int rc = observed(n, row, &seen);
    if (rc == 0 && state == OWNER_ALIVE)
        rc = confirm(n, row, &seen);
    else if (rc == 0 && state == OWNER_DOWN_SILENT &&
             (brake_held(&n->brake, n->now_ms) || n->now_ms < down_since_ms + ORPHAN_DELAY_MS))
        own_scan_at(n, n->now_ms + 1000);
    else if (rc == 0 && ended_with_owner(n, row, &seen))
        rc = child_end_homeless(n, row, EXIT_LOST);
    else if (rc == 0)
        rc = take_over(n, row,
                       state == OWNER_NEWER_ACTOR ? "restarted"
                       : state == OWNER_LEFT      ? "left"
                                                  : "down");
    row_fini(T_CHILD, &seen);
    return rc;
}

static void lease_gone(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    char *name = strchr(key, '\n');
    *name++ = 0;
    lease_forget(n, key, name);
}

/* While nothing may be stamped, only what must end does: a thaw looks at every name again. */
static int decide(struct node *n, struct name_row *row)
{
    if (watch_frozen(n))
        return is_mine(n, row) ? 0 : owner_side(n, row);
    int rc = owner_side(n, row);
    return rc == 0 ? home_side(n, row) : rc;
}

int own_changed(struct node *n, const char *swarm, const char *name)
{
    struct name_row row = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (rc == 0 && lease_find(n, swarm, name))
        eff_do(n, lease_gone, mem_printf("%s\n%s", swarm, name), free);
    if (rc == 0)
        homeless_over(n, swarm, name);
    if (rc == 0)
        rc = *swarm ? child_disowned(n, swarm, name, NULL) : session_changed(n, name);
    else if (rc == 1 && is_session(&row) == (*swarm == 0))
        rc = decide(n, &row);
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : 0;
}

/* ---- looking at every name ---- */

void own_later(struct node *n, const char *swarm, const char *name)
{
    struct again *a = mem_alloc(sizeof *a);
    *a = (struct again){mem_dup(swarm), mem_dup(name)};
    ARRAY_GROW(n->again, n->again_n, n->again_cap);
    n->again[n->again_n++] = a;
}

void own_scan(struct node *n)
{
    batches_scan(n);
    n->scanning = true;
    n->scan_actor = INT64_MIN;
    n->scan_rowid = 0;
}

void own_scan_at(struct node *n, int64_t at_ms)
{
    if (at_ms < n->scan_at_ms)
        n->scan_at_ms = at_ms;
}

bool own_has_work(const struct node *n)
{
    return n->again_n > 0 || n->scanning || n->unsettled || n->now_ms >= n->scan_at_ms;
}

struct slice {
    struct again *names[SCAN_NAMES];
    size_t n;
    int64_t actor, rowid;
    bool end;
};

/* The next names that have an owner, a few hundred at a time. */
static int slice_read(struct node *n, struct slice *s)
{
    *s = (struct slice){.actor = n->scan_actor, .rowid = n->scan_rowid};
    while (s->n < SCAN_NAMES) {
        struct stmt *q =
            store_ask(n->store, Q_NAME_OWNED, "iii", s->actor, s->rowid, (int64_t)(SCAN_NAMES - s->n));
        int rc;
        while ((rc = stmt_step(q, &n->fault)) == 1) {
            struct again *a = mem_alloc(sizeof *a);
            *a = (struct again){mem_dup(col_text(q, 0)), mem_dup(col_text(q, 1))};
            s->rowid = col_i64(q, 2);
            s->names[s->n++] = a;
        }
        if (rc < 0)
            return rc;
        if (s->n == SCAN_NAMES)
            return 0;
        s->rowid = 0;
        s->actor = store_number(n->store, Q_NAME_OWNERS, INT64_MIN, "i", s->actor);
        if (s->actor == INT64_MIN) {
            s->end = true;
            return 0;
        }
    }
    return 0;
}

static int scan_slice(struct node *n)
{
    struct slice s;
    bool anew;
    int rc = facts_redistribution_begins(n, &anew);
    if (rc == 0 && anew) {
        node_touch(n, &n->scan_actor, sizeof n->scan_actor);
        node_touch(n, &n->scan_rowid, sizeof n->scan_rowid);
        n->scan_actor = INT64_MIN;
        n->scan_rowid = 0;
    }
    if (rc < 0)
        return rc;
    rc = slice_read(n, &s);
    for (size_t i = 0; i < s.n; i++) {
        if (rc == 0)
            rc = look(n, s.names[i]);
        again_free(s.names[i]);
    }
    node_touch(n, &n->scanning, sizeof n->scanning);
    node_touch(n, &n->scan_actor, sizeof n->scan_actor);
    node_touch(n, &n->scan_rowid, sizeof n->scan_rowid);
    n->scan_actor = s.actor;
    n->scan_rowid = s.rowid;
    n->scanning = !s.end;
    return rc == 0 && s.end ? facts_redistribution_ends(n) : rc;
}

static void again_done(struct node *n, void *arg)
{
    size_t done = (size_t)(uintptr_t)arg;
    for (size_t i = 0; i < done; i++)
        again_free(n->again[i]);
    n->again_n -= done;
    if (n->again_n)
        memmove(n->again, n->again + done, n->again_n * sizeof *n->again);
}

int own_work(struct node *n)
{
    int rc = swarm_settle(n);
    size_t count = n->again_n < SCAN_NAMES ? n->again_n : SCAN_NAMES;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = look(n, n->again[i]);
    if (count)
        eff_do(n, again_done, (void *)(uintptr_t)count, NULL);
    if (n->now_ms >= n->scan_at_ms) {
        n->scan_at_ms = INT64_MAX;
        own_scan(n);
    }
    if (rc == 0 && n->scanning)
        rc = scan_slice(n);
    return rc;
}

void own_fini(struct node *n)
{
    for (size_t i = 0; i < n->again_n; i++)
        again_free(n->again[i]);
    free(TAKE(n->again));
    n->again_n = 0;
}

/* ---- leases of external names ----
 *
 * Only the home expires one. A renewal stays in the home's memory and is written when half of its time is
 * gone; so after a change of the view, when the home may be new, every lease gets one whole period before it
 * may end. */

struct lease {
    char *key;
    int64_t expires_ms; /* real */
    UT_hash_handle hh;
};

static struct lease *lease_find(struct node *n, const char *swarm, const char *name)
{
    AUTOFREE char *key = mem_printf("%s\n%s", swarm, name);
    struct lease *l;
    HASH_FIND_STR(n->leases, key, l);
    return l;
}

int64_t lease_expires(struct node *n, const struct name_row *row)
{
    struct lease *l = lease_find(n, row->swarm, row->name);
    return l && l->expires_ms > row->expires_at ? l->expires_ms : row->expires_at;
}

void lease_renew(struct node *n, const struct name_row *row, int64_t expires_ms)
{
    struct lease *l = lease_find(n, row->swarm, row->name);
    if (!l) {
        l = mem_alloc(sizeof *l);
        l->key = mem_printf("%s\n%s", row->swarm, row->name);
        HASH_ADD_KEYPTR(hh, n->leases, l->key, strlen(l->key), l);
    }
    l->expires_ms = expires_ms;
}

void lease_forget(struct node *n, const char *swarm, const char *name)
{
    struct lease *l = lease_find(n, swarm, name);
    if (!l)
        return;
    HASH_DEL(n->leases, l);
    free(l->key);
    free(l);
}

void leases_fini(struct node *n)
{
    struct lease *l, *next;
    HASH_ITER(hh, n->leases, l, next)
    {
        HASH_DEL(n->leases, l);
        free(l->key);
        free(l);
    }
}

int own_end_address(struct node *n, const struct name_row *row, int64_t rank, const char *type,
                    const char *who)
{
    int rc = group_forget(n, row->swarm, row->name);
    if (rc == 0)
        rc = store_kill(n->store, T_NAME, row, rank, &n->fault);
    if (rc == 0)
        rc = node_log(n, type, row->swarm, row->name, NULL, row->epoch, who, NULL);
    node_wake(n, row->swarm, row->name);
    return rc;
}

int own_expire(struct node *n)
{
    struct name_row row = {0};
    if (!node_open_now(n) || watch_frozen(n))
        return 0;
    struct stmt *q = store_ask(n->store, Q_NAME_EXPIRED, "ii", n->real_ms, (int64_t)LEASES_AT_ONCE);
    struct name_row *due = mem_array(LEASES_AT_ONCE, sizeof *due);
    size_t count = 0;
    int rc;
    while ((rc = store_next(q, T_NAME, &row, &n->fault)) == 1) {
        due[count++] = row;
        row = (struct name_row){0};
    }
    for (size_t i = 0; i < count; i++) {
        struct name_row *r = &due[i];
        bool period = n->now_ms - n->opened_at_ms >= r->ttl_ms && watch_period(n, r->ttl_ms);
        if (rc == 0 && period && own_is_home(n, r->swarm, r->name)) {
            if (lease_expires(n, r) <= n->real_ms) {
                rc = own_end_address(n, r, 0, "name_expired", NULL);
                lease_forget(n, r->swarm, r->name);
            } else {
                r->expires_at = lease_expires(n, r); /* renewed in memory only: now it must be written */
                rc = store_save(n->store, T_NAME, r, &n->fault);
                if (rc == 0)
                    rc = node_log(n, "name_renewed", r->swarm, r->name, NULL, r->epoch, NULL, NULL);
            }
        }
        row_fini(T_NAME, r);
    }
    free(due);
    return rc;
}
