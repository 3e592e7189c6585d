/* hook_call: the calls of hooks. A program is run by the keeper, a URL called by the world, a worker told by
 * an operation like anybody's. Decides when a call is over and what its end means for what waits; knows
 * neither which events there are nor what starts wait for.
 */
#include <stdio.h>
#include <string.h>

#include "node/child.h"
#include "node/hook.h"
#include "wire/uri.h"

#define GRACE_MS      1000 /* from SIGTERM to SIGKILL, and for the world to say that time is up */
#define KILL_AGAIN_MS 10000
#define WHY_BYTES     400

static struct hook_run *run_find(struct node *n, uint64_t number)
{
    struct hook_run *r;
    HASH_FIND(hh, n->hooks->runs, &number, sizeof number, r);
    return r;
}

void hook_run_free(struct node *n, struct hook_run *r)
{
    HASH_DEL(n->hooks->runs, r);
    timer_set(n, &r->timer, INT64_MAX);
    free(r->event);
    free(r->id);
    str_fini(&r->answer);
    free(r);
}

void hook_runs_fini(struct node *n)
{
    struct hook_run *r, *next;
    HASH_ITER(hh, n->hooks->runs, r, next)
    hook_run_free(n, r);
}

void hook_end_later(struct node *n, uint64_t run, bool ok, char *text TAKES)
{
    struct hooks *all = n->hooks;
    ARRAY_GROW(all->ends, all->ends_n, all->ends_cap);
    all->ends[all->ends_n++] = (struct hook_end){run, ok, text};
}

/* ---- the end of one ---- */

struct done {
    uint64_t run;
    bool ok, again;
    int64_t again_ms;
    char *why; /* owned; NULL: ok */
};

static void done_free(void *arg)
{
    struct done *d = arg;
    free(d->why);
    free(d);
}

static void done_now(struct node *n, void *arg)
{
    struct done *d = arg;
    struct hook_run *r = run_find(n, d->run);
    if (!r) {
        done_free(d);
        return;
    }
    struct hook *h = hook_find(n, r->event, r->id);
    n->hooks->running--;
    n->counters.hooks_delivered += d->ok;
    n->counters.hooks_failed += !d->ok;
    struct hook_item *it = h ? hook_queue_find(&h->queue, r->item) : NULL;
    if (h) {
        hook_ended(&h->gate, d->ok, n->now_ms, node_random(n));
        for (size_t i = 0; i < n->hooks->n; i++) /* others may have waited for it */
            n->hooks->list[i]->look_ms = 0;
        h->failing = !d->ok;
        mem_replace(&h->why, d->why);
    }
    if (it && d->again) {
        it->running = false;
        it->attempts++;
        it->due_ms = d->again_ms;
    } else if (it) {
        hook_queue_drop(&h->queue, r->item);
        n->hooks->waiting--;
        h->dropped += !d->ok;
        h->dropped_why = d->ok ? h->dropped_why : "attempts";
        n->counters.hooks_dropped += !d->ok;
    }
    hook_run_free(n, r);
    done_free(d);
}

static int tried(struct node *n, const struct hook *h, const struct hook_item *it, const char *why,
                 struct done *d)
{
    unsigned attempts = it->attempts + 1;
    d->again = attempts < hook_spec_attempts(&h->spec);
    if (!d->again)
        return store_do(n->store, Q_OUTBOX_DROP, &n->fault, "i", it->id);
    d->again_ms = hook_again_ms(attempts, n->now_ms, node_random(n));
    return store_do(n->store, Q_OUTBOX_AGAIN, &n->fault, "iiit", it->id, n->real_ms + d->again_ms - n->now_ms,
                    (int64_t)attempts, why);
}

int hook_ended_call(struct node *n, const struct hook_end *end)
{
    struct hook_run *r = run_find(n, end->run);
    if (!r)
        return 0;
    if (r->item == 0)
        return hook_alter_ended(n, end);
    struct hook *h = hook_find(n, r->event, r->id);
    struct hook_item *it = h ? hook_queue_find(&h->queue, r->item) : NULL;
    struct done *d = mem_alloc(sizeof *d);
    *d = (struct done){.run = end->run, .ok = end->ok, .why = end->ok ? NULL : mem_dup(end->text)};
    eff_do(n, done_now, d, done_free);
    if (!it)
        return 0;
    return end->ok ? store_do(n->store, Q_OUTBOX_DROP, &n->fault, "i", it->id)
                   : tried(n, h, it, end->text, d);
}

/* ---- beginning ---- */

static char **env_of(struct node *n, const struct hook *h, const char *event_id, unsigned attempt)
{
    size_t base = 0, count = 0;
    while (n->o.env && n->o.env[base])
        base++;
    char **env = mem_array(base + h->spec.env.n + 8, sizeof *env);
    for (size_t i = 0; i < base; i++)
        child_env_add(env, &count, mem_dup(n->o.env[i]));
    for (size_t i = 0; i < h->spec.env.n; i++)
        child_env_add(env, &count, mem_printf("%s=%s", h->spec.env.list[i].name, h->spec.env.list[i].value));
    child_env_add(env, &count, mem_printf("SKEP_HOOK=%s", h->id));
    child_env_add(env, &count, mem_printf("SKEP_HOOK_EVENT=%s", h->event));
    child_env_add(env, &count, mem_printf("SKEP_EVENT_ID=%s", event_id));
    child_env_add(env, &count, mem_printf("SKEP_ATTEMPT=%u", attempt));
    child_env_add(env, &count, mem_printf("SKEP_NODE=%s", n->name));
    child_env_add(env, &count, mem_printf("SKEP_RUN=%s", n->run_mark));
    return env;
}

static void exec_begin(struct node *n, struct hook_run *r, const struct hook *h, unsigned attempt,
                       const char *event_id, char *body TAKES, size_t body_n)
{
    struct spawn *s = mem_alloc(sizeof *s);
    char path[4096];
    s->run = r->number;
    s->argv = mem_array(h->spec.argv.n + 1, sizeof *s->argv);
    for (size_t i = 0; i < h->spec.argv.n; i++)
        s->argv[i] = mem_dup(h->spec.argv.list[i]);
    s->env = env_of(n, h, event_id, attempt);
    s->cwd = mem_dup(h->spec.cwd ? h->spec.cwd : n->o.work_dir);
    s->user = mem_dup(n->o.exec_user);
    s->log = mem_printf("hook-%s", h->id);
    s->input = body;
    s->input_n = body_n;
    s->answers = r->item == 0;
    int error = n->w.proc.find(n->w.proc.self, s->argv[0], s->env, s->cwd, path, sizeof path);
    if (error || !child_exec_allowed(n, path)) {
        hook_end_later(n, r->number, false,
                       error ? mem_printf("%s: %s", s->argv[0], strerror(error))
                             : mem_printf("%s: allow_exec of this node does not name this program", path));
        spawn_free(s);
        return;
    }
    mem_replace(&s->argv[0], path);
    n->w.proc.spawn(n->w.proc.self, s);
}

static void url_begin(struct node *n, struct hook_run *r, const struct hook *h, unsigned attempt,
                      const char *event_id, char *body TAKES, size_t body_n)
{
    if (!n->w.net.hook) {
        free(body);
        hook_end_later(n, r->number, false, mem_dup("this node calls nobody outside"));
        return;
    }
    struct hook_call *c = mem_alloc(sizeof *c);
    AUTOSTR struct str type = STR_INIT;
    json_unquote(json_raw_member(body, body_n, "type"), &type);
    *c = (struct hook_call){.id = r->number,
                            .url = mem_dup(h->spec.url),
                            .secret = mem_dup(h->spec.secret),
                            .hook = mem_dup(h->id),
                            .event = mem_dup(type.n ? str_get(&type) : h->event),
                            .event_id = mem_dup(event_id),
                            .attempt = attempt,
                            .body = body,
                            .body_n = body_n,
                            .timeout_ms = h->spec.timeout_ms};
    n->w.net.hook(n->w.net.self, c);
}

static int op_begins(struct node *n, void *arg)
{
    return op_begin(n, arg);
}

/* An event is a message; what a start waits for is a call. */
static void message_begin(struct node *n, struct hook_run *r, const struct hook *h, char *body TAKES,
                          size_t body_n)
{
    struct request *q = mem_alloc(sizeof *q);
    struct str path = STR_INIT, data = STR_INIT;
    const char *swarm = h->spec.to.swarm ? h->spec.to.swarm : "default";
    str_puts(&path, "/v1/swarms/");
    uri_encode(&path, swarm, strlen(swarm));
    str_puts(&path, "/children/");
    uri_encode(&path, h->spec.to.name, strlen(h->spec.to.name));
    str_puts(&path, r->item ? "/messages" : "/calls");
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_raw(&j, "data", (struct span){body, body_n});
    jw_object_close(&j);
    free(body);
    q->method = HTTP_M_POST;
    q->path = str_take(&path);
    q->query = mem_printf("timeout_ms=%lld", (long long)h->spec.timeout_ms);
    q->body_n = data.n;
    q->body = str_take(&data);
    q->who.role = ROLE_WRITE;
    snprintf(q->who.name, sizeof q->who.name, "hook:%.50s", h->id);
    struct op *op = op_new(n, OP_HOOK, q);
    op->run = r->number;
    if (node_transact(n, op_begins, op) < 0)
        hook_end_later(n, r->number, false, mem_dup("the store of this node cannot write"));
}

static int run_due(struct node *n, struct timer *t);

uint64_t hook_call_begin(struct node *n, const struct hook *h, int64_t item, unsigned attempt,
                         const char *event_id, char *body TAKES, size_t body_n)
{
    struct hook_run *r = mem_alloc(sizeof *r);
    uint64_t number = r->number = ++n->next_run;
    r->event = mem_dup(h->event);
    r->id = mem_dup(h->id);
    r->kind = h->spec.kind;
    r->item = item;
    r->timer.due_ms = INT64_MAX;
    r->timer.fire = run_due;
    HASH_ADD(hh, n->hooks->runs, number, sizeof r->number, r);
    timer_set(n, &r->timer, n->now_ms + h->spec.timeout_ms + (r->kind == HOOK_EXEC ? 0 : GRACE_MS));
    if (r->kind == HOOK_EXEC)
        exec_begin(n, r, h, attempt, event_id, body, body_n);
    else if (r->kind == HOOK_URL)
        url_begin(n, r, h, attempt, event_id, body, body_n);
    else
        message_begin(n, r, h, body, body_n);
    return number;
}

/* ---- what comes ---- */

/* Its time is up. What a program was told must not be forgotten before it is gone: a hook never has more of
 * them than its concurrency. Among the events that the store does not take just now may be its end. */
static int run_due(struct node *n, struct timer *t)
{
    struct hook_run *r = (struct hook_run *)(void *)((char *)t - offsetof(struct hook_run, timer));
    node_touch(n, &r->phase, sizeof r->phase);
    node_touch(n, &r->over, sizeof r->over);
    r->over |= n->held_n == 0;
    if (r->kind != HOOK_EXEC) {
        struct hook_end end = {r->number, false, (char[]){"no answer in time"}};
        return hook_ended_call(n, &end);
    }
    if (r->phase == HOOK_CALLED)
        eff_terminate(n, r->number);
    else
        eff_kill(n, r->number);
    timer_set(n, t, n->now_ms + (r->phase == HOOK_CALLED ? GRACE_MS : KILL_AGAIN_MS));
    r->phase = r->phase == HOOK_CALLED ? HOOK_TERMINATED : HOOK_KILLED;
    return 0;
}

static int ends(struct node *n, const struct hook_run *r, bool ok, const char *text)
{
    struct hook_end end = {r->number, ok, (char *)(uintptr_t)text};
    return hook_ended_call(n, &end);
}

static int exited(struct node *n, const struct hook_run *r, const struct event *ev)
{
    char why[100];
    if (ev->signal == 0 && ev->exit_status == 0 && !r->over)
        return ends(n, r, true, str_get(&r->answer));
    if (r->over)
        snprintf(why, sizeof why, "it took longer than timeout_ms and was ended");
    else if (ev->signal)
        snprintf(why, sizeof why, "ended by signal %s",
                 sigabbrev_np(ev->signal) ? sigabbrev_np(ev->signal) : "?");
    else
        snprintf(why, sizeof why, "exit status %d", ev->exit_status);
    return ends(n, r, false, why);
}

/* In place, for its exit may be in the same batch. What a failed handler added stays behind the end. */
static void wrote(struct node *n, struct hook_run *r, const struct event *ev)
{
    if (r->answer.n + ev->bytes_n >= HOOK_ANSWER_MAX)
        return;
    node_touch(n, &r->answer.n, sizeof r->answer.n);
    str_add(&r->answer, ev->bytes, ev->bytes_n);
    str_putc(&r->answer, '\n');
}

static int answered(struct node *n, const struct hook_run *r, const struct event *ev)
{
    if (ev->status >= 200 && ev->status < 300)
        return ends(n, r, true, ev->bytes ? ev->bytes : "");
    AUTOFREE char *why = ev->status ? mem_printf("it answered with status %d", ev->status)
                                    : mem_printf("%.*s", WHY_BYTES, ev->bytes ? ev->bytes : "no answer");
    return ends(n, r, false, why);
}

static int keeper_died(struct node *n)
{
    struct hook_run *r, *next;
    int rc = 0;
    HASH_ITER(hh, n->hooks->runs, r, next)
    if (rc == 0 && r->kind == HOOK_EXEC)
        rc = ends(n, r, false, "the keeper died and took its processes along");
    return rc;
}

bool hook_call_event(struct node *n, const struct event *ev, int *ret_rc)
{
    if (ev->kind == EV_KEEPER_DIED) {
        *ret_rc = keeper_died(n);
        return false; /* of others, too */
    }
    struct hook_run *r = run_find(n, ev->kind == EV_HOOK_ANSWERED ? ev->call : ev->run);
    *ret_rc = 0;
    if (!r)
        return ev->kind == EV_HOOK_ANSWERED;
    if (ev->kind == EV_HOOK_ANSWERED)
        *ret_rc = answered(n, r, ev);
    else if (ev->kind == EV_CHILD_FAILED)
        *ret_rc = ends(n, r, false, strerror(ev->error));
    else if (ev->kind == EV_CHILD_EXITED)
        *ret_rc = exited(n, r, ev);
    else if (ev->kind == EV_CHILD_LINE)
        wrote(n, r, ev);
    return true;
}

void hook_op_answered(struct node *n, uint64_t run, const struct answer *a)
{
    AUTOSTR struct str why = STR_INIT;
    bool ok = a->status < 300;
    struct span detail =
        ok || !a->body ? (struct span){NULL, 0} : json_raw_member(a->body, a->body_n, "detail");
    if (!detail.p || !json_unquote(detail, &why))
        str_printf(&why, "status %d", a->status);
    hook_end_later(n, run, ok, ok ? mem_copy(a->body ? a->body : "", a->body_n) : str_take(&why));
}
