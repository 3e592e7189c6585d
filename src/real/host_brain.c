/* host_brain: the brain's thread, and the world as the brain has it: wishes become commands for the I/O
 * thread. */
#include <string.h>

#include "base/ensure.h"
#include "real/host_inside.h"
#include "real/machine.h"
#include "real/tail.h"

#define TURN_EVENTS 512 /* a turn that is longer would look like a stop */

void command_free(void *command)
{
    struct command *c = command;
    if (!c)
        return;
    answer_free(c->answer);
    peer_call_free(c->call);
    spawn_free(c->spawn);
    free(c->line);
    free(c);
}

void note_free(void *note)
{
    struct note *n = note;
    if (!n)
        return;
    event_fini(&n->event);
    setup_unref(n->setup);
    free(n);
}

/* ---- the world ---- */

static void post(struct host *h, struct command c)
{
    struct command *copy = mem_alloc(sizeof *copy);
    *copy = c;
    copy->keeper = h->brain_keeper;
    mailbox_post_always(h->to_io, copy);
}

static void net_answer(void *self, uint64_t request, struct answer *a TAKES)
{
    post(self, (struct command){.kind = CMD_ANSWER, .id = request, .answer = a});
}

static void net_call(void *self, struct peer_call *call TAKES)
{
    post(self, (struct command){.kind = CMD_CALL, .call = call});
}

static void net_reset(void *self, const struct id *node)
{
    post(self, (struct command){.kind = CMD_RESET, .node = *node});
}

static void net_hook(void *self, struct hook_call *c TAKES)
{
    struct host *h = self;
    hook_http_call(h->hooks, h->brain_setup, c);
}

/* On the thread of hook_http. */
static void hook_answered(void *ctx, uint64_t id, int status, char *text TAKES, size_t n)
{
    host_post(ctx, (struct event){
                       .kind = EV_HOOK_ANSWERED, .call = id, .status = status, .bytes = text, .bytes_n = n});
}

static void proc_begin(void *self)
{
    post(self, (struct command){.kind = CMD_BEGIN});
}

static void proc_spawn(void *self, struct spawn *s TAKES)
{
    post(self, (struct command){.kind = CMD_SPAWN, .id = s->run, .spawn = s});
}

static int proc_find(void *self UNUSED, const char *argv0, char *const *env, const char *cwd, char *ret_path,
                     size_t bytes)
{
    return machine_find(argv0, env, cwd, ret_path, bytes);
}

static bool proc_load(void *self, struct machine_load *ret)
{
    struct host *h = self;
    return machine_load(&h->gauge, ret);
}

static int proc_tail(void *self, const char *log, int64_t lines, int64_t after, struct str *ret_text,
                     int64_t *ret_next)
{
    struct host *h = self;
    return tail_read(h->brain_setup->config.log_dir, log, lines, after, ret_text, ret_next);
}

static void proc_terminate(void *self, uint64_t run)
{
    post(self, (struct command){.kind = CMD_TERMINATE, .id = run});
}

static void proc_kill(void *self, uint64_t run)
{
    post(self, (struct command){.kind = CMD_KILL, .id = run});
}

static void proc_line(void *self, uint64_t run, char *line TAKES, size_t n)
{
    post(self, (struct command){.kind = CMD_LINE, .id = run, .line = line, .line_n = n});
}

static struct world world_of(struct host *h)
{
    struct world w = {
        .clock = machine_clock,
        .random = machine_random,
        .net = {h, net_answer, net_call, net_reset, net_hook},
        .proc = {h, proc_spawn, proc_find, proc_tail, proc_terminate, proc_kill, proc_line, proc_load,
                 proc_begin},
        .disk = {.path = h->db},
        .log = &h->brain_log,
    };
    reserve_world(h->reserve, &w.disk);
    if (h->ca)
        pki_ca_world(h->ca, &w.ca);
    return w;
}

/* ---- the thread ---- */

void host_post_note(struct host *h, struct note n TAKES)
{
    struct note *copy = mem_alloc(sizeof *copy);
    *copy = n;
    copy->event.at_boot_ms = machine_boot_ms();
    mailbox_post_always(h->to_brain, copy);
}

bool host_post(struct host *h, struct event ev TAKES)
{
    struct note *n = mem_alloc(sizeof *n);
    n->event = ev;
    n->event.at_boot_ms = machine_boot_ms();
    if (ev.kind == EV_PINGED || ev.kind == EV_PULLED)
        return mailbox_post(h->to_brain, n);
    if (ev.kind != EV_REQUEST) /* a fact */
        return mailbox_post_always(h->to_brain, n);
    if (atomic_fetch_add(&h->asked, 1) == 0)
        atomic_store(&h->asked_boot_ms, n->event.at_boot_ms);
    if (mailbox_post(h->to_brain, n))
        return true;
    atomic_fetch_sub(&h->asked, 1);
    return false;
}

bool host_overloaded(struct host *h)
{
    size_t waiting = atomic_load(&h->asked);
    return waiting >= BRAIN_ASKED_MAX ||
           (waiting > OVERLOAD_REQUESTS && machine_boot_ms() - atomic_load(&h->asked_boot_ms) > OVERLOAD_MS);
}

static void options_use(struct host *h)
{
    int64_t keeper_pid = h->options.keeper_pid;
    h->options = h->brain_setup->options;
    h->options.keeper_pid = keeper_pid;
    node_reload(h->node, &h->options);
}

/* What is for this thread, not for the node alone. */
static void note_taken(struct host *h, struct note *n)
{
    if (n->event.kind == EV_KEEPER_DIED)
        h->brain_keeper = n->keeper;
    if (n->keeper_pid) {
        h->options.keeper_pid = n->keeper_pid;
        node_reload(h->node, &h->options);
    }
    if (n->setup) {
        struct setup *old = h->brain_setup;
        h->brain_setup = TAKE(n->setup);
        h->brain_log.min = setup_log_level(h->brain_setup);
        h->declared = false;
        options_use(h);
        setup_unref(old);
    }
}

/* A request that came as the node ended. */
static void refuse(struct host *h, const struct event *ev)
{
    struct err e;
    if (ev->kind != EV_REQUEST || !ev->request)
        return;
    err_set(&e, SKEP_ENOTALIVE, "this node has ended; ask another one");
    net_answer(h, ev->request->id, api_problem(&e, NULL));
}

static void refuse_waiting(struct host *h)
{
    void **notes;
    mailbox_close(h->to_brain);
    size_t n = mailbox_take_all(h->to_brain, 0, &notes);
    for (size_t i = 0; i < n; i++) {
        refuse(h, &((struct note *)notes[i])->event);
        note_free(notes[i]);
    }
}

static void turn(struct host *h, struct event *events, size_t n)
{
    size_t bytes = 0, asked = 0;
    if (n > 0)
        atomic_store(&h->asked_boot_ms, events[0].at_boot_ms);
    for (size_t i = 0; i < n; i++) {
        bytes += events[i].kind == EV_CHILD_LINE ? events[i].bytes_n + LINE_BYTES_MORE : 0;
        asked += events[i].kind == EV_REQUEST;
    }
    if (node_ended(h->node) < 0)
        node_turn(h->node, events, n);
    else
        for (size_t i = 0; i < n; i++)
            refuse(h, &events[i]);
    for (size_t i = 0; i < n; i++)
        event_fini(&events[i]);
    atomic_store(&h->held_bytes, node_held_bytes(h->node));
    atomic_fetch_sub(&h->line_bytes, bytes);
    atomic_fetch_sub(&h->asked, asked);
    atomic_store(&h->turned_boot_ms, machine_boot_ms());
}

/* Everything that has come, in turns of bounded length. Without anything, time passes. */
static void turns(struct host *h, void **notes, size_t n)
{
    struct event events[TURN_EVENTS];
    size_t count = 0;
    int64_t taken_ms = machine_boot_ms();
    for (size_t i = 0; i < n; i++) {
        struct note *note = notes[i];
        note_taken(h, note);
        events[count++] = note->event;
        free(note);
        if (count == TURN_EVENTS && i + 1 < n) {
            turn(h, events, count);
            count = 0;
        }
    }
    turn(h, events, count);
    atomic_store(&h->asked_boot_ms, taken_ms); /* what waits now came after that */
}

/* What was pulled first counts, so that a restart writes nothing anew. */
static void declare(struct host *h)
{
    const struct frozen *f = node_frozen(h->node);
    if (f->ready) {
        h->declared = true;
        host_declare(h);
    }
    frozen_unref(f);
}

static void *brain_run(void *arg)
{
    struct host *h = arg;
    void **notes;
    pthread_setname_np(pthread_self(), "skepd-brain");
    while (node_ended(h->node) < 0 && !mailbox_closed(h->to_brain)) {
        int64_t wait_ms = node_deadline_boot_ms(h->node) - machine_boot_ms();
        size_t n = mailbox_take_all(h->to_brain, wait_ms > 0 ? wait_ms : 0, &notes);
        turns(h, notes, n);
        if (!h->declared)
            declare(h);
    }
    refuse_waiting(h);
    post(h, (struct command){.kind = CMD_ENDED, .status = node_ended(h->node)});
    return NULL;
}

int host_brain_open(struct host *h, struct err *e)
{
    h->brain_setup = setup_ref(h->setup);
    h->options = h->setup->options;
    h->hooks = hook_http_new(hook_answered, h);
    struct world w = world_of(h);
    int rc = node_open(&h->node, &h->options, &w, e);
    atomic_store(&h->turned_boot_ms, machine_boot_ms());
    return rc;
}

void host_brain_start(struct host *h)
{
    h->brain_started = true;
    int rc = pthread_create(&h->brain, NULL, brain_run, h);
    ensure(rc == 0, "no thread for the brain: %d", rc);
}
