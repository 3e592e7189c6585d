/* host: the I/O thread: its loop, its timers, signals, the keeper, and how a node begins and ends.
 *
 *  1. Nothing is accepted before the run's first row is on disk: sockets are bound early, so that a port in
 * use is said before anything was touched, but the loop that accepts begins after node_open.
 *  2. The keeper is fed from the brain's progress, never from ours: at 0.8 x down_ms without a turn every
 * child is dead, and if there are others who may take over, so are we: the next run is a new actor.
 *  3. What the brain asked of a keeper that died is not asked of its successor (struct command, keeper).
 */
#include "real/host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/ensure.h"
#include "real/host_inside.h"
#include "real/machine.h"
#include "real/notify.h"
#include "real/tls.h"

#define TICK_MS       1000
#define READY_POLL_MS 20
#define DRAIN_MS      2000 /* for answers on their way when the node has ended */
#define KEEPERS_MAX                                                                                          \
    5 /* new keepers within KEEPERS_MS: more, and something is wrong that a new run may mend */
#define KEEPERS_MS    10000
#define KEEPER_END_MS 3000
#define REVIVE_MS     20 /* between two looks whether the brain turns, after a keeper's death */
#define REVIVE_MS_MAX 3000
#define FEED_ALONE_MS 3600000
#define WEDGED_MS     5000 /* a second TERM does not wait for a brain that is silent for so long */
#define WEDGED_STATUS 70
#define CERT_WARN_MS  (30 * 86400000LL)
#define CERT_AGAIN_MS 86400000LL

/* ---- the keeper ---- */

static void spawned(void *ctx, uint64_t run, pid_t pid)
{
    host_post(ctx, (struct event){.kind = EV_CHILD_SPAWNED, .run = run, .pid = pid});
}

static void failed(void *ctx, uint64_t run, int error)
{
    host_post(ctx, (struct event){.kind = EV_CHILD_FAILED, .run = run, .error = error});
}

static void exited(void *ctx, uint64_t run, int status, int signal)
{
    host_post(ctx,
              (struct event){.kind = EV_CHILD_EXITED, .run = run, .exit_status = status, .signal = signal});
}

/* Lines cannot be refused, so they are not read while too many wait for the brain, or for its disk. */
static bool busy(void *ctx)
{
    struct host *h = ctx;
    return atomic_load(&h->line_bytes) + atomic_load(&h->held_bytes) > LINE_BYTES_MAX;
}

static void line(void *ctx, uint64_t run, char *line TAKES, size_t n)
{
    struct host *h = ctx;
    atomic_fetch_add(&h->line_bytes, n + LINE_BYTES_MORE);
    host_post(ctx, (struct event){.kind = EV_CHILD_LINE, .run = run, .bytes = line, .bytes_n = n});
}

static void overlong(void *ctx, uint64_t run)
{
    struct host *h = ctx;
    log_warn(&h->log, "run %llu wrote a line of more than %u bytes to its channel: it is killed",
             (unsigned long long)run, KEEPER_LINE_BYTES_MAX);
}

static void drained(void *ctx, uint64_t run, size_t queued)
{
    host_post(ctx, (struct event){.kind = EV_CHILD_DRAINED, .run = run, .bytes_n = queued});
}

/* Somebody else may take over what is ours once we are silent for down_ms. */
static bool has_peers(struct host *h)
{
    const struct frozen *f = node_frozen(h->node);
    bool some = h->setup->config.peers.n > 0;
    for (int i = 0; i < f->nodes_n && !some; i++)
        some = !f->nodes[i].self && !f->nodes[i].left;
    frozen_unref(f);
    return some;
}

/* Without a goodbye: the keeper dies of our end, and the next run begins with a sweep. */
_Noreturn static void give_up(struct host *h, const char *why)
{
    log_error(&h->log, "%s; ending, so that a new run can begin", why);
    if (h->keeper)
        keeper_link_shutdown(h->keeper, KEEPER_END_MS);
    _exit(WEDGED_STATUS);
}

/* A new one waits until the brain turns again: children of a wedged brain must stay dead. Who was killed for
 * standing still does not go on at all: others may have taken over, and what it was about to do is forgotten.
 */
static void died(void *ctx)
{
    struct host *h = ctx;
    bool starved = keeper_link_starved(h->keeper);
    log_error(&h->log, "%s: every child is dead", keeper_link_why(h->keeper));
    keeper_link_free(TAKE(h->keeper));
    if (starved && !h->ended && has_peers(h))
        give_up(h, "there was no turn for too long");
    h->keeper_died_ms = machine_boot_ms();
    if (!h->ended)
        loop_timer_start(h->revive, 0);
}

static void keeper_feed(struct host *h)
{
    int64_t limit = has_peers(h) ? h->setup->config.down_ms * 4 / 5 : FEED_ALONE_MS;
    int64_t left = limit - host_brain_age_ms(h);
    if (h->keeper && left > 0)
        keeper_link_feed(h->keeper, left);
}

/* It is fed before its first spawn: what it starts never outlives a silence that began at once. */
static int keeper_start(struct host *h, struct err *e)
{
    const struct keeper_link_callbacks calls = {spawned, failed, exited, line, overlong, drained, died, busy};
    const struct config *c = &h->setup->config;
    struct keeper_link_options o = {.keeper_path = h->keeper_path,
                                    .node = h->self,
                                    .log_dir = c->log_dir,
                                    .log_bytes = c->log_file_bytes,
                                    .log_files = c->log_files,
                                    .nofile = h->nofile,
                                    .cgroup = h->cgroup};
    int rc = keeper_link_new(loop_base(h->loop), &o, &calls, h, &h->keeper, e);
    if (rc == 0)
        keeper_feed(h);
    return rc;
}

static void keeper_revive(void *ctx)
{
    struct host *h = ctx;
    struct err e;
    int64_t now = machine_boot_ms();
    if (h->ended)
        return;
    if (atomic_load(&h->turned_boot_ms) < h->keeper_died_ms) {
        if (now - h->keeper_died_ms > REVIVE_MS_MAX)
            give_up(h, "the brain does not turn");
        loop_timer_start(h->revive, REVIVE_MS);
        return;
    }
    if (!restart_allowed(&h->keeper_restarts, KEEPERS_MAX, KEEPERS_MS, now))
        give_up(h, "one keeper after the other dies");
    if (keeper_start(h, &e) < 0)
        give_up(h, e.text);
    host_post_note(h, (struct note){.event.kind = EV_KEEPER_DIED,
                                    .keeper = ++h->keeper_generation,
                                    .keeper_pid = (int)keeper_link_pid(h->keeper)});
    log_info(&h->log, "a new keeper runs, pid %d", (int)keeper_link_pid(h->keeper));
}

/* Only now: a keeper ends what earlier runs of this node left, and if this folder is a copy, those are the
 * children of the node that it was copied from. */
static void keeper_first(struct host *h)
{
    struct err e;
    if (h->ended)
        return;
    if (keeper_start(h, &e) < 0)
        give_up(h, e.text);
    host_post_note(h, (struct note){.event.kind = EV_TICK, .keeper_pid = (int)keeper_link_pid(h->keeper)});
    log_info(&h->log, "the keeper runs, pid %d", (int)keeper_link_pid(h->keeper));
}

/* ---- commands of the other threads ---- */

/* Of a keeper that is dead nothing is wanted any more. */
static void do_keeper(struct host *h, struct command *c)
{
    if (!h->keeper || c->keeper != h->keeper_generation)
        return;
    if (c->kind == CMD_SPAWN)
        keeper_link_spawn(h->keeper, TAKE(c->spawn));
    else if (c->kind == CMD_TERMINATE)
        keeper_link_terminate(h->keeper, c->id);
    else if (c->kind == CMD_KILL)
        keeper_link_kill(h->keeper, c->id);
    else
        keeper_link_line(h->keeper, c->id, TAKE(c->line), c->line_n);
}

static void drain_over(void *ctx)
{
    struct host *h = ctx;
    loop_end(h->loop);
}

void host_drained(struct host *h)
{
    loop_timer_start(h->drain, 0);
}

/* After a failed disk nothing that runs here may go on; after a stop nothing runs any more. */
static void ended(struct host *h, int status)
{
    h->ended = true;
    h->exit_status = status;
    notify_say("STOPPING=1\nSTATUS=ending");
    if (status != 0 && h->keeper)
        keeper_link_shutdown(h->keeper, KEEPER_END_MS);
    loop_timer_start(h->drain, DRAIN_MS);
    host_streams_end(h);
    host_backup_end(h);
    http_server_drain(h->server);
}

static void command(struct host *h, struct command *c)
{
    switch (c->kind) {
    case CMD_ANSWER:
        if (!host_declared(h, c->id, c->answer))
            http_server_answer(h->server, c->id, TAKE(c->answer));
        break;
    case CMD_STREAM:
        host_stream(h, c->id, c->line, c->line_n);
        break;
    case CMD_CALL:
        http_client_call(h->client, TAKE(c->call));
        break;
    case CMD_RESET:
        http_client_reset(h->client, &c->node);
        break;
    case CMD_BEGIN:
        keeper_first(h);
        break;
    case CMD_SPAWN:
    case CMD_TERMINATE:
    case CMD_KILL:
    case CMD_LINE:
        do_keeper(h, c);
        break;
    case CMD_BACKUP:
        host_backup_made(h, c);
        break;
    case CMD_ENDED:
        ended(h, c->status);
        break;
    }
}

static void commands(void *ctx, void **items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        command(ctx, items[i]);
        command_free(items[i]);
    }
}

/* ---- signals ---- */

static void join_names(const struct texts *t, struct str *ret)
{
    for (size_t i = 0; i < t->n; i++)
        str_printf(ret, "%s%s", i ? ", " : "", t->v[i]);
}

static void say_reloaded(struct host *h, const struct texts *applied, const struct texts *restart)
{
    AUTOSTR struct str a = STR_INIT, r = STR_INIT;
    join_names(applied, &a);
    join_names(restart, &r);
    log_info(&h->log, "configuration read again: %s", a.n ? str_get(&a) : "nothing has changed");
    if (r.n)
        log_warn(&h->log, "changed, but only a restart applies it: %s", str_get(&r));
}

static int reload(struct host *h, struct err *e)
{
    CLEANUP(texts_fini) struct texts applied = TEXTS_INIT, restart = TEXTS_INIT;
    struct config next;
    struct setup *fresh;
    int rc = config_reload(&h->setup->config, &next, &applied, &restart, e);
    if (rc == 0)
        rc = setup_new(&next, h->envp, &fresh, e);
    if (rc < 0)
        return rc;
    setup_name(fresh, h->setup->url, h->boot, (int)getpid(), 0);
    setup_unref(h->setup);
    h->setup = fresh;
    h->log.min = setup_log_level(fresh);
    host_post_note(h, (struct note){.event.kind = EV_RELOADED, .setup = setup_ref(fresh)});
    say_reloaded(h, &applied, &restart);
    return 0;
}

static void on_hup(struct host *h)
{
    struct err e = {0};
    notify_say("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)machine_monotonic_ms() * 1000);
    if (reload(h, &e) < 0)
        log_error(&h->log, "the old configuration goes on to count: %s", e.text);
    if (host_door_tls(h, &e) < 0)
        log_error(&h->log, "the old certificates go on to count: %s", e.text);
    h->cert_checked_ms = 0;
    notify_say("READY=1");
}

static void on_stop(struct host *h)
{
    if (h->stops++ > 0 && host_brain_age_ms(h) > WEDGED_MS)
        give_up(h, "the brain does not turn");
    log_info(&h->log, h->stops == 1 ? "stopping: handing over what runs here" : "stopping now");
    notify_say("STOPPING=1\nSTATUS=stopping");
    host_post(h, (struct event){.kind = EV_STOP});
}

static void on_signal(void *ctx, int number)
{
    struct host *h = ctx;
    if (number == SIGTERM || number == SIGINT)
        on_stop(h);
    else if (number == SIGHUP)
        on_hup(h);
    else if (number == SIGUSR1 && h->keeper)
        keeper_link_reopen_logs(h->keeper);
    else if (number == SIGUSR2)
        log_warn(&h->log, "USR2 is ignored: stop and start this node; its children move or start again");
}

/* ---- time ---- */

static void watchdog(struct host *h)
{
    if (h->watchdog_ms && host_brain_age_ms(h) < h->watchdog_ms / 2)
        notify_say("WATCHDOG=1");
}

static void cert_check(struct host *h)
{
    int64_t expires, now = machine_real_ms();
    if (h->cert_checked_ms && now - h->cert_checked_ms < CERT_AGAIN_MS)
        return;
    h->cert_checked_ms = now;
    if (pki_expiry(h->setup->config.cert, &expires, NULL) < 0 || expires - now > CERT_WARN_MS)
        return;
    log_warn(&h->log, "the certificate %s expires in %lld days; replace it and send HUP",
             h->setup->config.cert, (long long)((expires - now) / 86400000));
}

static void on_tick(void *ctx)
{
    struct host *h = ctx;
    loop_timer_start(h->tick, TICK_MS);
    keeper_feed(h);
    watchdog(h);
    cert_check(h);
}

static void on_ready(void *ctx)
{
    struct host *h = ctx;
    const struct frozen *f = node_frozen(h->node);
    bool ready = f->ready;
    frozen_unref(f);
    if (!ready) {
        loop_timer_start(h->ready, READY_POLL_MS);
        return;
    }
    log_info(&h->log, "ready at %s", h->setup->url);
    notify_say("READY=1\nSTATUS=serving at %s", h->setup->url);
}

/* ---- beginning ---- */

static int check_files(struct host *h, struct err *e)
{
    const struct config *c = &h->setup->config;
    AUTOSTR struct str warnings = STR_INIT;
    struct id zero = {0}, self;
    int rc = identity_check(c->dir, &warnings, e);
    if (rc < 0)
        return rc;
    rc = pki_check(c->ca, c->cert, c->key, &zero, machine_real_ms(), &self, e);
    if (rc < 0)
        return e->code = SKEP_ECONFIG; /* a file that is missing, too: no restart mends it */
    id_text(&self, h->self);
    if (warnings.n)
        log_warn(&h->log, "%.*s", (int)strcspn(warnings.p, "\n"), warnings.p);
    return 0;
}

/* A node that holds the CA's key signs for those who join. */
static int ca_open(struct host *h, struct err *e)
{
    const struct config *c = &h->setup->config;
    if (!c->ca_key)
        return 0;
    struct pki_policy policy = {(const char *const *)c->ca_hosts.v, c->ca_hosts.n, (int)c->cert_days};
    return pki_ca_open(c->ca, c->ca_key, &policy, &machine_clock, &h->ca, e);
}

/* A connection each; children do not see it (keeper_link_options.nofile). */
static void raise_limits(struct host *h)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    h->nofile = (int64_t)r.rlim_cur;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void draw_boot(struct host *h)
{
    struct id boot;
    machine_random.fill(NULL, boot.b, sizeof boot.b);
    id_text(&boot, h->boot);
}

/* With port 0 the system has chosen one. */
static void name_setup(struct host *h)
{
    const char *url = h->setup->config.advertise, *colon = strrchr(url, ':');
    AUTOFREE char *bound = mem_printf("%.*s:%u", (int)(colon - url), url, http_server_port(h->server));
    setup_name(h->setup, strcmp(colon, ":0") == 0 ? bound : url, h->boot, (int)getpid(), 0);
}

static int same_node(struct host *h, struct err *e)
{
    const struct frozen *f = node_frozen(h->node);
    char text[ID_TEXT];
    const struct config *c = &h->setup->config;
    bool same = strcmp(id_text(&f->self, text), h->self) == 0;
    if (same && strcmp(f->name, c->node) != 0)
        log_warn(&h->log, "the configuration calls this node %s, its database %s: the database counts",
                 c->node, f->name);
    frozen_unref(f);
    if (same)
        return 0;
    return err_set(
        e, SKEP_ECONFIG,
        "the certificate %s is for node %s, but the database %s belongs to node %s; a node's folder holds "
        "the files of one node",
        c->cert, h->self, h->db, text);
}

static void loop_open(struct host *h)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    h->loop = loop_new();
    h->tick = loop_timer_new(h->loop, on_tick, h);
    h->ready = loop_timer_new(h->loop, on_ready, h);
    h->drain = loop_timer_new(h->loop, drain_over, h);
    h->revive = loop_timer_new(h->loop, keeper_revive, h);
    for (size_t i = 0; i < COUNT(numbers); i++)
        loop_signal(h->loop, numbers[i], on_signal, h);
    signal(SIGPIPE, SIG_IGN);
}

static int mailboxes_open(struct host *h, struct err *e)
{
    h->to_io = mailbox_new(SIZE_MAX, command_free);
    h->to_brain = mailbox_new(BRAIN_REQUESTS_MAX, note_free);
    if (mailbox_watch(h->to_io, loop_base(h->loop), commands, h) < 0)
        return err_set(e, SKEP_EINTERNAL, "no descriptor is left for this process");
    return 0;
}

static int begin(struct host *h, struct err *e)
{
    int rc = identity_lock(h->setup->config.dir, &h->lock, e);
    if (rc == 0)
        rc = check_files(h, e);
    if (rc == 0)
        rc = ca_open(h, e);
    if (rc == 0)
        rc = mailboxes_open(h, e);
    if (rc == 0)
        rc = host_door_open(h, e);
    if (rc == 0)
        host_backup_sweep(h);
    if (rc < 0)
        return rc;
    name_setup(h);
    rc = host_brain_open(h, e);
    if (rc == 0)
        rc = same_node(h, e);
    return rc < 0 ? rc : host_reader_open(h, e);
}

int host_new(const struct host_options *o, struct host **ret, struct err *e)
{
    struct host *h = mem_alloc(sizeof *h);
    const struct config *c = &o->setup->config;
    h->setup = o->setup;
    h->envp = o->envp;
    h->keeper_path = mem_dup(o->keeper_path);
    h->cgroup = mem_dup(o->cgroup);
    h->db = mem_printf("%s/skep.db", c->dir);
    h->reserve = reserve_new(c->dir);
    h->lock = IDENTITY_LOCK_INIT;
    h->exit_status = WEDGED_STATUS;
    h->log = (struct log){setup_log_level(o->setup), STDERR_FILENO, machine_clock.real_ms, NULL, h->name};
    snprintf(h->name, sizeof h->name, "%s", c->node);
    h->brain_log = h->log;
    h->watchdog_ms = notify_watchdog_ms();
    draw_boot(h);
    raise_limits(h);
    loop_open(h);
    int rc = begin(h, e);
    if (rc < 0) {
        host_free(h);
        return rc;
    }
    *ret = h;
    return 0;
}

int host_run(struct host *h)
{
    log_info(&h->log, "skepd %s, pid %d, folder %s", SKEP_VERSION, (int)getpid(), h->setup->config.dir);
    host_brain_start(h);
    host_reader_start(h);
    on_tick(h);
    on_ready(h);
    loop_run(h->loop);
    log_info(&h->log, "ended with status %d", h->exit_status);
    return h->exit_status;
}

/* ---- the end ---- */

static void threads_join(struct host *h)
{
    if (h->to_brain)
        mailbox_close(h->to_brain);
    if (h->to_reader)
        mailbox_close(h->to_reader);
    if (h->brain_started)
        pthread_join(h->brain, NULL);
    if (h->reader_started)
        pthread_join(h->reader, NULL);
}

/* The reader's connection goes before the writer's, which empties the WAL as the last one. */
void host_free(struct host *h)
{
    if (!h)
        return;
    threads_join(h);
    hook_http_free(h->hooks);
    host_backup_fini(h);
    if (h->server)
        host_streams_end(h);
    keeper_link_free(h->keeper);
    http_client_free(h->client);
    http_server_free(h->server);
    store_close(h->store);
    node_close(h->node);
    mailbox_free(h->to_reader);
    mailbox_free(h->to_brain);
    mailbox_free(h->to_io);
    loop_free(h->loop);
    pki_ca_free(h->ca);
    identity_unlock(&h->lock);
    setup_unref(h->brain_setup);
    setup_unref(h->setup);
    intensity_fini(&h->keeper_restarts);
    free(h->keeper_path);
    free(h->cgroup);
    free(h->db);
    reserve_free(h->reserve);
    free(h);
}
