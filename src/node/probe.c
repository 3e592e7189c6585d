#include "node/probe.h"

#include <string.h>

#include "node/brain.h"
#include "wire/buf.h"
#include "wire/json.h"

#define CLAIM_KEEP_MS INT64_C(86400000)
#define ECHOES        3
#define DIALS         10
#define CLONE_SAY_MS  60000
#define OTHER_KEY     "other_run" /* where the last run was told that a later one is */
#define AGAIN_STATUS  75          /* a new run finds out more */

/* ---- before the run ---- */

static void dial(struct node *n, int i)
{
    static const enum net_lane lanes[] = {LANE_BULK, LANE_FORWARD}; /* side by side, closed when idle */
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    ping_write(n, &body);
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = n->self,
                            .url = mem_dup(n->probe.urls[i]),
                            .lane = lanes[i],
                            .path = mem_dup(PING_PATH),
                            .body_n = body.n,
                            .timeout_ms = PROBE_MS};
    c->body = str_take(&body);
    n->probe.calls[i] = c->id;
    eff_call(n, c);
}

int probe_begin(struct node *n, struct err *e)
{
    struct node_row row = {.node = mem_dup(n->self_text)};
    AUTOFREE char *other = store_meta(n->store, OTHER_KEY);
    int rc = store_load(n->store, T_NODE, &row, e);
    if (rc == 1 && row.url) {
        n->probe.urls[0] = mem_dup(row.url);
        n->probe.urls[1] = other && *other ? TAKE(other) : mem_dup(n->url);
        if (n->probe.urls[1] && strcmp(n->probe.urls[1], row.url) == 0)
            free(TAKE(n->probe.urls[1]));
    }
    row_fini(T_NODE, &row);
    n->probe.until_ms = n->now_ms + PROBE_MS;
    n->probe.running = n->probe.urls[0] != NULL;
    for (int i = 0; i < 2; i++)
        if (n->probe.urls[i])
            dial(n, i);
    return rc < 0 ? rc : n->probe.running;
}

int probe_passed(struct node *n)
{
    AUTOFREE char *other = store_meta(n->store, OTHER_KEY);
    return other && *other ? store_meta_set(n->store, OTHER_KEY, "", &n->fault) : 0;
}

static void refuse_to_run(struct node *n, const char *url, const struct ping *m)
{
    log_error(n->w.log,
              "node %s (%s) runs at %s already, so this folder (%s) is a copy of that one's: stop the other "
              "one first, or make a node of its own in a new folder with skep join",
              m->name, n->self_text, url, n->w.disk.path);
    n->exit_status = err_info(SKEP_ECONFIG)->exit_status;
}

/* True if it was the answer to one of ours. */
static bool answered(struct node *n, const struct event *ev)
{
    for (int i = 0; i < 2; i++) {
        if (!n->probe.urls[i] || n->probe.calls[i] != ev->call)
            continue;
        CLEANUP(ping_fini) struct ping m = {0};
        bool us = ev->kind == EV_PEER_ANSWERED && ping_answer(n, ev, &m) && id_equal(&m.id, &n->self);
        if (us && m.actor != n->actor && !m.left)
            refuse_to_run(n, n->probe.urls[i], &m);
        /* somebody listens, and was not understood */
        if (ev->kind == EV_PEER_FAILED && ev->failure == NET_CLOSED && n->probe.again++ < DIALS)
            dial(n, i);
        else
            free(TAKE(n->probe.urls[i]));
        return true;
    }
    return false;
}

bool probe_turn(struct node *n, struct event *events, size_t count)
{
    effects_release(n);
    for (size_t i = 0; i < count; i++) {
        struct event *ev = &events[i];
        bool call = ev->kind == EV_PEER_ANSWERED || ev->kind == EV_PEER_FAILED;
        if (ev->kind == EV_STOP)
            n->exit_status = 0; /* nothing has begun */
        if ((call && answered(n, ev)) || ev->kind == EV_STOP)
            event_fini(ev);
        else
            node_hold(n, ev);
    }
    effects_release(n);
    if ((n->probe.urls[0] || n->probe.urls[1]) && n->now_ms < n->probe.until_ms)
        return false;
    n->probe.running = false;
    n->held_until_ms = n->now_ms;
    return true;
}

void probe_fini(struct probe *p)
{
    free(p->urls[0]);
    free(p->urls[1]);
    free(p->met);
}

/* ---- while it runs ---- */

static void end_run(struct node *n, void *arg UNUSED)
{
    log_error(n->w.log,
              "a later run of this node is known, at %s: its folder was copied, or this machine was put back "
              "to an earlier state. Ending; the next start looks whether the other one still runs",
              n->probe.met);
    n->exit_status = AGAIN_STATUS;
}

static void remember(struct node *n, void *arg)
{
    AUTOFREE char *where = arg;
    if (!n->probe.met)
        n->probe.met = TAKE(where);
}

void probe_met(struct node *n, int64_t actor, int64_t born, const char *where)
{
    if (actor != n->actor && born > n->born && n->born > 0 && where)
        eff_do(n, remember, mem_dup(where), free);
}

int probe_work(struct node *n)
{
    if (!n->probe.met || n->exit_status >= 0)
        return 0;
    eff_do(n, end_run, NULL, NULL);
    return store_meta_set(n->store, OTHER_KEY, n->probe.met, &n->fault);
}

int probe_own_row(struct node *n)
{
    struct node_row row = {.node = mem_dup(n->self_text)};
    int rc = store_load(n->store, T_NODE, &row, &n->fault);
    bool ours = rc == 1 && row.actor == n->actor;
    struct actor_row run = {.actor = rc == 1 ? row.actor : 0};
    if (rc == 1 && !ours && store_load(n->store, T_ACTOR, &run, &n->fault) == 1) {
        probe_met(n, row.actor, run.born_at, row.url);
        row_fini(T_ACTOR, &run);
    }
    row_fini(T_NODE, &row);
    return rc < 0 ? rc : 0;
}

/* "node id moment": who made us end last, and when. */
static bool claimed_before(struct node *n, const char *who)
{
    AUTOFREE char *last = store_meta(n->store, "claimed_by");
    size_t len = strlen(who);
    if (!last || strncmp(last, who, len) != 0 || last[len] != ' ')
        return false;
    int64_t ago = n->real_ms - strtoll(last + len, NULL, 10);
    return ago > -CLAIM_KEEP_MS && ago < CLAIM_KEEP_MS;
}

int probe_claimed(struct node *n, const struct peer *p)
{
    char who[ID_TEXT];
    id_text(&p->id, who);
    if (claimed_before(n, who)) {
        log_warn(n->w.log,
                 "%s claims once more to know writes of this run that are not here; what it says is "
                 "refused",
                 p->name);
        return 0;
    }
    AUTOFREE char *value = mem_printf("%s %lld", who, (long long)n->real_ms);
    int rc = store_meta_set(n->store, "claimed_by", value, &n->fault);
    if (rc < 0)
        return rc;
    log_error(n->w.log,
              "%s knows writes of this run that are not here; was this folder copied or restored while it "
              "ran? Ending, to begin a new run",
              p->name);
    n->exit_status = AGAIN_STATUS;
    return 0;
}

/* One that was under way when its run ended is no clone; several, over some time, are. */
void probe_echo(struct node *n, struct peer *p, int64_t actor, const char *url)
{
    if (actor == p->actor)
        return;
    if (actor != p->echo.actor) {
        p->echo.actor = actor;
        p->echo.since_ms = n->now_ms;
        p->echo.count = 0;
    }
    p->echo.count++;
    if (p->echo.count < ECHOES || n->now_ms - p->echo.since_ms < 2 * n->o.ping_ms ||
        (p->echo.said_ms && n->now_ms - p->echo.said_ms < CLONE_SAY_MS))
        return;
    p->echo.said_ms = n->now_ms;
    mem_replace(&p->echo.url, url);
    log_warn(n->w.log, "node %s runs twice, at %s and at %s: one folder is a copy of the other", p->name,
             p->url, url);
    peer_log(n, "clone_seen", p, NULL);
}
