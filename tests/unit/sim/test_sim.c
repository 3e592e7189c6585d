/* The simulator's world, seen by a brain that only writes down what happens to it. */
#include "sim/sim.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "db/db.h"
#include "sim/worker.h"

/* What one node has seen, over all its lives. */
struct probe {
    const struct sim_home *home;
    struct str book; /* one word for each event */
    struct event last;
    int opened, crashed, closed, turns;
    int64_t deadline_ms, next_ms; /* the latter for one turn; 0 = none */
    bool mute;                    /* leaves requests unanswered */
    bool at_once;                 /* answers in `request`, not in the turn */
    int drained;                  /* how often it was told of its channels … */
    size_t waiting;               /* … and the last news */
    const char *in_turn;          /* a path to call n2 with in the next turn */
};

struct rig {
    struct probe probes[4];
    struct sim *sim;
};

static void *probe_open(void *ctx, const struct sim_home *home, struct err *e UNUSED)
{
    struct probe *p = &((struct rig *)ctx)->probes[home->index];
    p->home = home;
    p->opened++;
    p->deadline_ms = INT64_MAX;
    return p;
}

static void answer(struct probe *p, struct request *r)
{
    struct answer *a = mem_alloc(sizeof *a);
    a->status = 200;
    a->body = mem_printf("%s:%s?%s:%s", p->home->name, r->path, r->query ? r->query : "", r->body);
    a->body_n = strlen(a->body);
    p->home->world->net.answer(p->home->world->net.self, r->id, a);
}

static void call(struct probe *p, const char *url, const char *path, enum net_lane lane, uint64_t id,
                 int64_t ms)
{
    struct peer_call *c = mem_alloc(sizeof *c);
    *c = (struct peer_call){.id = id, .lane = lane, .timeout_ms = ms};
    c->url = mem_dup(url);
    c->path = mem_dup(path);
    c->body = mem_dup("hello");
    c->body_n = 5;
    p->home->world->net.call(p->home->world->net.self, c);
}

static void write_down(struct probe *p, const struct event *e)
{
    switch (e->kind) {
    case EV_REQUEST:
        str_printf(&p->book, "request %s; ", e->request->path);
        if (!p->mute)
            answer(p, e->request);
        break;
    case EV_PEER_ANSWERED:
        str_printf(&p->book, "answered %d %d %s; ", (int)e->call, e->status, e->bytes);
        break;
    case EV_PEER_FAILED:
        str_printf(&p->book, "failed %d %d; ", (int)e->call, (int)e->failure);
        break;
    case EV_PEER_CLOSED:
        str_printf(&p->book, "closed; ");
        break;
    case EV_CHILD_SPAWNED:
        str_printf(&p->book, "spawned %d; ", (int)e->run);
        break;
    case EV_CHILD_FAILED:
        str_printf(&p->book, "unspawned %d %d; ", (int)e->run, e->error);
        break;
    case EV_CHILD_EXITED:
        str_printf(&p->book, "exited %d %d %d; ", (int)e->run, e->exit_status, e->signal);
        break;
    case EV_CHILD_LINE:
        str_printf(&p->book, "line %d %s; ", (int)e->run, e->bytes);
        break;
    case EV_TICK:
        str_printf(&p->book, "tick; ");
        break;
    case EV_STOP:
        str_printf(&p->book, "stop; ");
        break;
    case EV_CHILD_DRAINED:
        p->drained++;
        p->waiting = e->bytes_n;
        break;
    case EV_KEEPER_DIED:
        str_printf(&p->book, "keeper died; ");
        break;
    case EV_HOOK_ANSWERED:
    case EV_PINGED:
    case EV_PULLED:
    case EV_RELOADED:
        fail_msg("event %d comes from nowhere", (int)e->kind);
    }
}

static void probe_turn(void *brain, struct event *events, size_t n)
{
    struct probe *p = brain;
    p->turns++;
    p->deadline_ms = p->next_ms ? p->next_ms : INT64_MAX;
    p->next_ms = 0;
    for (size_t i = 0; i < n; i++) {
        write_down(p, &events[i]);
        p->last = events[i];
        p->last.request = NULL;
        p->last.bytes = NULL;
    }
    if (p->in_turn)
        call(p, "https://n2.sim:7537", p->in_turn, LANE_CONTROL, 99, 1000);
    p->in_turn = NULL;
}

static int64_t probe_deadline(void *brain)
{
    return ((struct probe *)brain)->deadline_ms;
}

static bool probe_request(void *brain, struct request *r)
{
    struct probe *p = brain;
    if (!p->at_once)
        return false;
    answer(p, r);
    request_free(r);
    return true;
}

static void probe_crash(void *brain)
{
    ((struct probe *)brain)->crashed++;
}

static void probe_close(void *brain)
{
    ((struct probe *)brain)->closed++;
}

static int setup(void **state)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    static struct sim_brain brain = {.open = probe_open,
                                     .turn = probe_turn,
                                     .deadline_ms = probe_deadline,
                                     .request = probe_request,
                                     .crash = probe_crash,
                                     .close = probe_close};
    brain.ctx = rig;
    struct sim_opts o = sim_opts_default(7, 3);
    o.loss_ppm = 0;
    o.spare = 1;
    rig->sim = sim_new(&o, &brain);
    for (int i = 0; i < 3; i++)
        sim_start(rig->sim, i);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    sim_free(rig->sim);
    for (int i = 0; i < 4; i++)
        str_fini(&rig->probes[i].book);
    free(rig);
    return 0;
}

static void run_ms(struct rig *rig, int64_t ms)
{
    assert_true(sim_run(rig->sim, sim_now_us(rig->sim) + ms * 1000));
}

/* What the node has seen since the last look. */
static void assert_book(struct rig *rig, int node, const char *want)
{
    assert_string_equal(str_get(&rig->probes[node].book), want);
    str_clear(&rig->probes[node].book);
}

#define N2 "https://n2.sim:7537"

static void test_call_and_answer(void **state)
{
    struct rig *rig = *state;
    call(&rig->probes[0], N2, "/v1/peer/x?a=b", LANE_CONTROL, 5, 1000);
    run_ms(rig, 100);
    assert_book(rig, 1, "request /v1/peer/x; ");
    assert_book(rig, 0, "answered 5 200 n2:/v1/peer/x?a=b:hello; ");
    rig->probes[1].at_once = true;
    call(&rig->probes[0], N2, "/ping", LANE_CONTROL, 6, 1000);
    run_ms(rig, 100);
    assert_book(rig, 1, "");
    assert_book(rig, 0, "answered 6 200 n2:/ping?:hello; ");
}

static void test_a_lane_keeps_its_order_and_lanes_are_apart(void **state)
{
    struct rig *rig = *state;
    rig->probes[1].mute = true;
    call(&rig->probes[0], N2, "/1", LANE_BULK, 1, 500);
    call(&rig->probes[0], N2, "/2", LANE_BULK, 2, 2000);
    call(&rig->probes[0], N2, "/3", LANE_CONTROL, 3, 5000);
    run_ms(rig, 100);
    assert_book(rig, 1, "request /1; request /3; ");
    rig->probes[1].mute = false;
    run_ms(rig, 1000);
    assert_book(rig, 1, "request /2; "); /* after the first one's timeout */
    assert_book(rig, 0, "failed 1 2; answered 2 200 n2:/2?:hello; ");
}

static void test_refused_closed_and_wrong_node(void **state)
{
    struct rig *rig = *state;
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 1, 1000);
    call(&rig->probes[2], N2, "/1", LANE_BULK, 1, 1000);
    run_ms(rig, 100);
    str_clear(&rig->probes[0].book);
    str_clear(&rig->probes[2].book);
    rig->probes[1].mute = true;
    call(&rig->probes[2], N2, "/2", LANE_BULK, 2, 60000);
    run_ms(rig, 100);
    sim_crash(rig->sim, 1);
    run_ms(rig, 100);
    assert_int_equal(rig->probes[1].crashed, 1);
    assert_book(rig, 0, "closed; ");     /* its idle control connection */
    assert_book(rig, 2, "failed 2 1; "); /* NET_CLOSED: it was waiting */
    call(&rig->probes[0], N2, "/3", LANE_CONTROL, 3, 60000);
    call(&rig->probes[0], "https://elsewhere:1", "/4", LANE_CONTROL, 4, 60000);
    run_ms(rig, 100);
    assert_book(rig, 0, "failed 4 4; failed 3 0; "); /* NET_UNREACHABLE, NET_REFUSED */
    assert_true(sim_start(rig->sim, 1));
    struct peer_call *c = mem_alloc(sizeof *c);
    *c = (struct peer_call){.id = 5, .node = sim_node_id(sim_node(rig->sim, 2)), .timeout_ms = 1000};
    c->url = mem_dup(N2);
    c->path = mem_dup("/5");
    rig->probes[0].home->world->net.call(rig->probes[0].home->world->net.self, c);
    run_ms(rig, 100);
    assert_book(rig, 0, "failed 5 3; "); /* NET_TLS */
}

static void test_a_machine_without_power_is_silent(void **state)
{
    struct rig *rig = *state;
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 1, 1000);
    run_ms(rig, 100);
    str_clear(&rig->probes[0].book);
    sim_cut_power(rig->sim, 1);
    call(&rig->probes[0], N2, "/2", LANE_CONTROL, 2, 1000);
    run_ms(rig, 900);
    assert_book(rig, 0, "");
    run_ms(rig, 200);
    assert_book(rig, 0, "failed 2 2; "); /* NET_TIMEOUT */
}

static void test_a_crash_before_the_commit_loses_the_effects(void **state)
{
    struct rig *rig = *state;
    for (int commit_first = 0; commit_first <= 1; commit_first++) {
        struct event e = {.kind = EV_TICK};
        rig->probes[0].in_turn = "/effect";
        sim_event(sim_node(rig->sim, 0), &e);
        assert_true(sim_run(rig->sim, sim_now_us(rig->sim))); /* the turn, but not its commit */
        if (commit_first)
            run_ms(rig, 50);
        sim_crash(rig->sim, 0);
        assert_true(sim_start(rig->sim, 0)); /* the next life does not have them either */
        run_ms(rig, 100);
        assert_book(rig, 1, commit_first ? "request /effect; " : "");
        str_clear(&rig->probes[0].book);
    }
}

static void test_an_answer_never_reaches_the_next_life(void **state)
{
    struct rig *rig = *state;
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 1, 1000);
    assert_true(sim_run(rig->sim, sim_now_us(rig->sim) + 1));
    sim_crash(rig->sim, 0);
    sim_start(rig->sim, 0);
    run_ms(rig, 3000);
    assert_book(rig, 1, "request /1; ");
    assert_book(rig, 0, "");
    assert_int_equal(rig->probes[0].opened, 2);
    assert_false(rig->probes[0].home->first);
    assert_true(rig->probes[1].home->first);
}

static void test_what_was_queued_dies_with_its_life(void **state)
{
    struct rig *rig = *state;
    struct event tick = {.kind = EV_TICK}, stop = {.kind = EV_STOP};
    sim_event(sim_node(rig->sim, 0), &tick);
    sim_crash(rig->sim, 0);
    sim_start(rig->sim, 0);
    run_ms(rig, 100);
    assert_int_equal(rig->probes[0].turns, 0);
    sim_event(sim_node(rig->sim, 0), &stop);
    run_ms(rig, 100);
    assert_book(rig, 0, "stop; ");
}

static void test_deadline_becomes_a_tick(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    const struct world_clock *clock = &p->home->world->clock;
    p->next_ms = clock->boot_ms(clock->self) + 500;
    struct event e = {.kind = EV_TICK};
    sim_event(sim_node(rig->sim, 0), &e);
    run_ms(rig, 498);
    assert_book(rig, 0, "tick; ");
    run_ms(rig, 3);
    assert_book(rig, 0, "tick; ");
    run_ms(rig, 5000);
    assert_book(rig, 0, ""); /* it wanted no other */
}

static void spawn(struct probe *p, uint64_t run, const char *program, const char *arg, const char *name)
{
    struct spawn *s = mem_alloc(sizeof *s);
    s->run = run;
    s->channel = true;
    s->argv = mem_array(3, sizeof *s->argv);
    s->argv[0] = mem_dup(program);
    s->argv[1] = mem_dup(arg);
    s->env = mem_array(3, sizeof *s->env);
    s->env[0] = mem_printf("SKEP_NAME=%s", name);
    s->env[1] = mem_dup("SKEP_SWARM=default");
    p->home->world->proc.spawn(p->home->world->proc.self, s);
}

static void line(struct probe *p, uint64_t run, const char *text)
{
    p->home->world->proc.line(p->home->world->proc.self, run, mem_dup(text), strlen(text));
}

static void test_a_counter_counts(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    spawn(p, 1, "/usr/bin/counter", "--ready", "c");
    line(p, 1,
         "{\"type\":\"start\",\"state\":40,\"metadata\":null,\"mode\":\"active\"}"); /* before its exec */
    line(p, 1, "{\"type\":\"call\",\"ref\":\"r1\",\"from\":\"x\",\"data\":2}");
    run_ms(rig, 50);
    assert_book(rig, 0,
                "spawned 1; line 1 {\"type\":\"ready\"}; line 1 {\"type\":\"checkpoint\",\"data\":42}; "
                "line 1 {\"type\":\"reply\",\"ref\":\"r1\",\"data\":42}; ");
    struct sim_process proc;
    assert_int_equal(sim_running(rig->sim, "default", "c", &proc), 1);
    assert_int_equal(proc.value, 42);
    line(p, 1, "{\"type\":\"begin_handoff\",\"ref\":\"h\",\"deadline_ms\":1000}");
    run_ms(rig, 50);
    assert_book(rig, 0, "line 1 {\"type\":\"state\",\"ref\":\"h\",\"data\":42}; ");
    p->home->world->proc.terminate(p->home->world->proc.self, 1);
    run_ms(rig, 50);
    assert_book(rig, 0, "exited 1 0 0; ");
    spawn(p, 2, "counter", NULL, "c");
    line(p, 2, "{\"type\":\"start\",\"metadata\":null,\"mode\":\"active\"}");
    line(p, 2, "{\"type\":\"end_handoff\",\"ref\":\"h\",\"state\":42}");
    run_ms(rig, 50);
    assert_book(rig, 0, "spawned 2; line 2 {\"type\":\"restored\",\"ref\":\"h\"}; ");
}

static void test_ends_of_processes(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    const struct world_proc *proc = &p->home->world->proc;
    spawn(p, 1, "missing", NULL, "a");
    run_ms(rig, 50);
    assert_book(rig, 0, "unspawned 1 2; "); /* ENOENT */
    spawn(p, 2, "false", NULL, "b");
    run_ms(rig, 50);
    assert_book(rig, 0, "spawned 2; exited 2 1 0; ");
    spawn(p, 3, "sleep", NULL, "c");
    run_ms(rig, 50);
    proc->terminate(proc->self, 3);
    run_ms(rig, 50);
    assert_book(rig, 0, "spawned 3; exited 3 0 15; ");
    spawn(p, 4, "counter", "--stubborn", "d");
    run_ms(rig, 50);
    proc->terminate(proc->self, 4);
    run_ms(rig, 1000);
    assert_book(rig, 0, "spawned 4; ");
    proc->kill(proc->self, 4);
    run_ms(rig, 50);
    assert_book(rig, 0, "exited 4 0 9; ");
    spawn(p, 5, "sleep", NULL, "e");
    proc->kill(proc->self, 5); /* between fork and exec */
    run_ms(rig, 50);
    assert_book(rig, 0, "spawned 5; exited 5 0 9; ");
    proc->kill(proc->self, 77);
    proc->terminate(proc->self, 77);
    line(p, 77, "{}");
    run_ms(rig, 50);
    assert_book(rig, 0, "");
}

static void *talker_start(struct sim_worker *w)
{
    worker_say(w, "one");
    worker_say(w, "two");
    worker_exit(w, 3);
    return NULL;
}

static const struct sim_program talker = {.name = "talker", .start = talker_start};

static void test_lines_come_before_the_exit(void **state)
{
    struct rig *rig = *state;
    sim_program_add(rig->sim, &talker);
    for (uint64_t run = 1; run <= 30; run++) {
        char want[80];
        spawn(&rig->probes[0], run, "talker", NULL, "t");
        run_ms(rig, 20);
        snprintf(want, sizeof want, "spawned %d; line %d one; line %d two; exited %d 3 0; ", (int)run,
                 (int)run, (int)run, (int)run);
        assert_book(rig, 0, want);
    }
}

static void test_a_line_never_reaches_the_next_life(void **state)
{
    struct rig *rig = *state;
    sim_program_add(rig->sim, &talker);
    spawn(&rig->probes[0], 1, "talker", NULL, "t");
    while (!sim_running(rig->sim, "default", "t", NULL))
        assert_true(sim_run(rig->sim, sim_now_us(rig->sim) + 1));
    assert_book(rig, 0, "spawned 1; "); /* its lines are under way */
    sim_crash(rig->sim, 0);
    sim_start(rig->sim, 0);
    assert_int_equal(sim_running(rig->sim, "default", "t", NULL), 0); /* leftovers are gone before a start */
    run_ms(rig, 100);
    assert_book(rig, 0, "");
}

static void test_between_fork_and_exec(void **state)
{
    struct rig *rig = *state;
    const struct world_proc *proc = &rig->probes[0].home->world->proc;
    spawn(&rig->probes[0], 1, "counter", NULL, "a");
    proc->terminate(proc->self, 1);
    run_ms(rig, 50);
    assert_book(rig, 0, "spawned 1; exited 1 0 15; ");
    spawn(&rig->probes[0], 2, "counter", NULL, "b");
    assert_true(sim_run(rig->sim, sim_now_us(rig->sim) + 500));
    sim_crash(rig->sim, 0);
    for (int i = 0; i < 50; i++) {
        run_ms(rig, 1);
        assert_int_equal(sim_running(rig->sim, "default", "b", NULL), 0);
    }
}

static void test_programs_are_found(void **state)
{
    struct rig *rig = *state;
    const struct world_proc *proc = &rig->probes[0].home->world->proc;
    char path[16] = "untouched";
    assert_int_equal(proc->find(proc->self, "missing", NULL, "/", path, sizeof path), ENOENT);
    assert_int_equal(proc->find(proc->self, "counter", NULL, "/", path, 12), ENAMETOOLONG);
    assert_string_equal(path, "untouched");
    assert_int_equal(proc->find(proc->self, "counter", NULL, "/", path, 13), 0);
    assert_string_equal(path, "/bin/counter");
    assert_int_equal(proc->find(proc->self, "/opt/true", NULL, "/", path, sizeof path), 0);
    assert_string_equal(path, "/opt/true");
    AUTOSTR struct str text = STR_INIT;
    int64_t next = 0;
    assert_int_equal(proc->tail(proc->self, "c", 10, 7, &text, &next), 0);
    assert_int_equal(next, 7);
    assert_int_equal(text.n, 0);
}

static void test_children_die_with_their_node_but_not_at_once(void **state)
{
    struct rig *rig = *state;
    spawn(&rig->probes[0], 1, "sleep", NULL, "c");
    run_ms(rig, 50);
    sim_crash(rig->sim, 0);
    struct sim_process proc = {0};
    assert_int_equal(sim_running(rig->sim, "default", "c", &proc), 1);
    assert_true(proc.orphan);
    run_ms(rig, 41);
    assert_int_equal(sim_running(rig->sim, "default", "c", NULL), 0);
}

static void test_two_under_one_name_are_a_violation(void **state)
{
    struct rig *rig = *state;
    spawn(&rig->probes[0], 1, "sleep", NULL, "c");
    run_ms(rig, 50);
    spawn(&rig->probes[1], 1, "sleep", NULL, "c");
    assert_false(sim_run(rig->sim, sim_now_us(rig->sim) + 50000));
    assert_true(sim_violated(rig->sim));
}

static void test_pause(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[1];
    const struct world_clock *clock = &p->home->world->clock;
    sim_pause(rig->sim, 1, 5 * SIM_SECOND);
    int64_t end_ms = clock->boot_ms(clock->self) + 5000;
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 1, 1000);
    run_ms(rig, 4900);
    assert_book(rig, 1, "");
    assert_book(rig, 0, "failed 1 2; ");
    run_ms(rig, 200);
    assert_book(rig, 1, "request /1; "); /* stamped when its I/O thread ran again */
    assert_in_range(p->last.at_boot_ms, end_ms, end_ms + 1);
    assert_true(sim_node_up(sim_node(rig->sim, 1)));
}

static void test_a_paused_node_stamps_when_it_goes_on(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[1];
    const struct world_clock *clock = &p->home->world->clock;
    rig->probes[0].mute = true;
    call(p, "https://n1.sim:7537", "/1", LANE_CONTROL, 7, 1000);
    sim_pause(rig->sim, 1, 5 * SIM_SECOND);
    int64_t end_ms = clock->boot_ms(clock->self) + 5000;
    run_ms(rig, 5100);
    assert_book(rig, 1, "failed 7 2; ");
    assert_in_range(p->last.at_boot_ms, end_ms, end_ms + 1);
}

static void test_a_pause_beyond_the_keepers_patience_ends_the_node(void **state)
{
    struct rig *rig = *state;
    spawn(&rig->probes[1], 1, "sleep", NULL, "c");
    run_ms(rig, 50);
    sim_pause(rig->sim, 1, 30 * SIM_SECOND);
    run_ms(rig, 23000);
    assert_int_equal(sim_running(rig->sim, "default", "c", NULL), 1);
    run_ms(rig, 1100);
    assert_int_equal(sim_running(rig->sim, "default", "c", NULL), 0);
    assert_true(sim_node_up(sim_node(rig->sim, 1)));
    run_ms(rig, 6000);
    assert_false(sim_node_up(sim_node(rig->sim, 1)));
}

static void test_stop(void **state)
{
    struct rig *rig = *state;
    sim_stop(rig->sim, 2);
    run_ms(rig, 100);
    assert_book(rig, 2, "stop; ");
    assert_int_equal(rig->probes[2].closed, 1);
    assert_int_equal(rig->probes[2].crashed, 0);
    assert_false(sim_node_up(sim_node(rig->sim, 2)));
}

static void reply_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    (void)s;
    str_printf(arg, "%d %d %s; ", r->status, r->sent, r->body);
}

static void test_clients(void **state)
{
    struct rig *rig = *state;
    AUTOSTR struct str got = STR_INIT;
    struct sim_ask a = {
        .node = 1, .method = HTTP_M_GET, .path = "/a", .query = "q", .body = "b", .done = reply_done};
    a.arg = &got;
    sim_ask(rig->sim, &a);
    run_ms(rig, 100);
    assert_string_equal(str_get(&got), "200 1 n2:/a?q:b; ");
    str_clear(&got);
    rig->probes[1].mute = true;
    a.timeout_ms = 300;
    sim_ask(rig->sim, &a);
    run_ms(rig, 299);
    assert_string_equal(str_get(&got), "");
    run_ms(rig, 1);
    assert_string_equal(str_get(&got), "0 1 ; "); /* it may have been carried out */
    str_clear(&got);
    a.timeout_ms = 0;
    sim_ask(rig->sim, &a);
    run_ms(rig, 100);
    sim_crash(rig->sim, 1);
    run_ms(rig, 100);
    assert_string_equal(str_get(&got), "0 1 ; "); /* the connection broke */
    str_clear(&got);
    sim_ask(rig->sim, &a);
    run_ms(rig, 100);
    assert_string_equal(str_get(&got), "0 0 ; "); /* refused */
}

/* The same seed gives the same sum of everything, another seed another one. */
static void test_digest(void **state)
{
    (void)state;
    uint64_t digests[3];
    for (int i = 0; i < 3; i++) {
        struct rig rig = {0};
        struct sim_brain brain = {.ctx = &rig,
                                  .open = probe_open,
                                  .turn = probe_turn,
                                  .deadline_ms = probe_deadline,
                                  .crash = probe_crash,
                                  .close = probe_close};
        struct sim_opts o = sim_opts_default(i == 2 ? 8 : 7, 3);
        rig.sim = sim_new(&o, &brain);
        for (int k = 0; k < 3; k++)
            sim_start(rig.sim, k);
        for (int k = 0; k < 50; k++) {
            call(&rig.probes[k % 3], N2, "/x", LANE_BULK, (uint64_t)k, 1000);
            assert_true(sim_run(rig.sim, sim_now_us(rig.sim) + 700));
        }
        assert_true(sim_run(rig.sim, 10 * SIM_SECOND));
        digests[i] = sim_digest(rig.sim);
        sim_free(rig.sim);
        for (int k = 0; k < 3; k++)
            str_fini(&rig.probes[k].book);
    }
    assert_int_equal(digests[0], digests[1]);
    assert_int_not_equal(digests[0], digests[2]);
}

/* A brain that counts its turns in its database. */
struct ledger {
    struct db *db;
    const struct sim_home *home;
    int64_t turns, lives;
};

static void *ledger_open(void *ctx, const struct sim_home *home, struct err *e)
{
    struct ledger *l = ctx;
    const struct world_disk *disk = &home->world->disk;
    struct db_options o = {
        .path = disk->path, .vfs = disk->vfs, .create = true, .exclusive = disk->exclusive};
    l->home = home;
    l->lives++;
    if (db_open(&l->db, &o, e) != 0 || db_exec(l->db, "CREATE TABLE IF NOT EXISTS turn(n INTEGER)", e) != 0)
        return NULL;
    assert_int_equal(db_i64(l->db, "SELECT count(*) FROM turn", -1), l->turns); /* every commit is there */
    return l;
}

static void ledger_turn(void *brain, struct event *events, size_t n)
{
    struct ledger *l = brain;
    struct err e = {0};
    (void)events;
    (void)n;
    if (db_begin(l->db, &e) || db_exec(l->db, "INSERT INTO turn VALUES (1)", &e) || db_commit(l->db, &e))
        fail_msg("%s", e.text);
    l->turns++;
}

static int64_t ledger_deadline(void *brain)
{
    const struct world_clock *clock = &((struct ledger *)brain)->home->world->clock;
    return clock->boot_ms(clock->self) + 20;
}

static void ledger_close(void *brain)
{
    struct ledger *l = brain;
    db_close(l->db);
    l->db = NULL;
}

static void test_a_disk_survives_its_node(void **state)
{
    (void)state;
    struct ledger l = {0};
    struct sim_brain brain = {.ctx = &l,
                              .open = ledger_open,
                              .turn = ledger_turn,
                              .deadline_ms = ledger_deadline,
                              .crash = ledger_close,
                              .close = ledger_close};
    struct sim_opts o = sim_opts_default(3, 1);
    struct sim *s = sim_new(&o, &brain);
    for (int i = 0; i < 12; i++) {
        assert_true(sim_start(s, 0));
        assert_true(sim_run(s, sim_now_us(s) + SIM_SECOND / 2));
        if (i % 3 == 0)
            sim_stop(s, 0);
        else if (i % 3 == 1)
            sim_crash(s, 0);
        else
            sim_cut_power(s, 0);
        assert_true(sim_run(s, sim_now_us(s) + SIM_SECOND / 2));
        assert_false(sim_node_up(sim_node(s, 0)));
    }
    assert_int_equal(l.lives, 12);
    assert_true(l.turns > 100);
    sim_free(s);
    assert_null(l.db);
}

/* ---- Links ---- */

/* n1 has a connection to n2 on the control lane. */
static void connect_to_n2(struct rig *rig)
{
    call(&rig->probes[0], N2, "/hello", LANE_CONTROL, 1, 1000);
    run_ms(rig, 100);
    str_clear(&rig->probes[0].book);
    str_clear(&rig->probes[1].book);
}

static void test_what_waits_at_a_cut_arrives_after_the_heal(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_cut(rig->sim, 0, 1);
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 2, 10000);
    run_ms(rig, 2000);
    assert_book(rig, 1, "");
    sim_heal(rig->sim, 0, 1);
    run_ms(rig, 4000);
    assert_book(rig, 1, "request /1; ");
    assert_book(rig, 0, "answered 2 200 n2:/1?:hello; ");
}

static void test_a_cut_is_one_way(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_cut(rig->sim, 1, 0);
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 2, 1000);
    run_ms(rig, 2000);
    assert_book(rig, 1, "request /1; "); /* it came, its answer did not */
    assert_book(rig, 0, "failed 2 2; ");
    call(&rig->probes[0], N2, "/2", LANE_CONTROL, 3, 5000);
    run_ms(rig, 3000);
    assert_book(rig, 1, ""); /* a new connection needs both ways */
    sim_heal_all(rig->sim);
    run_ms(rig, 5000);
    assert_book(rig, 1, "request /2; ");
    assert_book(rig, 0, "answered 3 200 n2:/2?:hello; ");
}

/* What TCP has taken it delivers, though its caller is gone; behind a call on a newer connection. */
static void test_a_request_may_arrive_late(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_cut(rig->sim, 0, 1);
    call(&rig->probes[0], N2, "/late", LANE_CONTROL, 2, 1000);
    run_ms(rig, 3500);
    assert_book(rig, 0, "failed 2 2; ");
    sim_heal(rig->sim, 0, 1);
    call(&rig->probes[0], N2, "/next", LANE_CONTROL, 3, 1000);
    run_ms(rig, 10000);
    assert_book(rig, 1, "request /next; request /late; ");
    assert_book(rig, 0, "answered 3 200 n2:/next?:hello; ");
}

static void test_what_nobody_waits_for_is_given_up(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_cut(rig->sim, 0, 1);
    call(&rig->probes[0], N2, "/late", LANE_CONTROL, 2, 1000);
    run_ms(rig, 40000);
    sim_heal(rig->sim, 0, 1);
    run_ms(rig, 60000);
    assert_book(rig, 1, "");
}

static void test_a_rejecting_link_looks_like_a_dead_node(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_reject(rig->sim, 0, 1);
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 2, 1000);
    run_ms(rig, 100);
    assert_book(rig, 0, "failed 2 1; closed; "); /* NET_CLOSED */
    call(&rig->probes[0], N2, "/2", LANE_CONTROL, 3, 1000);
    run_ms(rig, 100);
    assert_book(rig, 0, "failed 3 0; "); /* NET_REFUSED */
    assert_book(rig, 1, "");
}

/* A connection of a former life is no connection, even if nobody has noticed. */
static void test_a_machine_that_came_back_knows_no_connection(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_cut_power(rig->sim, 1);
    assert_true(sim_start(rig->sim, 1));
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 2, 1000);
    run_ms(rig, 100);
    assert_book(rig, 0, "failed 2 1; closed; ");
    assert_book(rig, 1, "");
}

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

/* Whoever's connection breaks cannot know what became of the request. */
static void test_connections_break_before_and_after(void **state)
{
    struct rig *rig = *state;
    sim_link(rig->sim, 0, 1, &(struct sim_link){.delay = {100, 500}, .break_ppm = 300000});
    sim_link(rig->sim, 1, 0, &(struct sim_link){.delay = {100, 500}, .break_ppm = 300000});
    for (uint64_t i = 1; i <= 60; i++) {
        call(&rig->probes[0], N2, "/x", LANE_BULK, i, 1000);
        run_ms(rig, 2000);
    }
    const char *heard = str_get(&rig->probes[0].book), *came = str_get(&rig->probes[1].book);
    int answered = times(heard, "answered "), broken = times(heard, " 1; ");
    assert_int_equal(answered + broken, 60);
    assert_in_range(broken, 10, 50);
    assert_in_range(times(came, "request "), answered + 5, 55); /* carried out, though not answered */
}

static void test_a_slow_link_is_slow_one_way(void **state)
{
    struct rig *rig = *state;
    connect_to_n2(rig);
    sim_link(rig->sim, 1, 0, &(struct sim_link){.delay = {300000, 300000}});
    call(&rig->probes[0], N2, "/1", LANE_CONTROL, 2, 1000);
    run_ms(rig, 250);
    assert_book(rig, 1, "request /1; ");
    assert_book(rig, 0, "");
    run_ms(rig, 100);
    assert_book(rig, 0, "answered 2 200 n2:/1?:hello; ");
    sim_link(rig->sim, 1, 0, NULL);
    call(&rig->probes[0], N2, "/2", LANE_CONTROL, 3, 1000);
    run_ms(rig, 100);
    assert_book(rig, 0, "answered 3 200 n2:/2?:hello; ");
}

/* ---- Clocks, keepers, hangs ---- */

static void test_clocks_drift_and_their_ticks_with_them(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    const struct world_clock *clock = &p->home->world->clock;
    int64_t boot_ms = clock->boot_ms(clock->self), off_ms = sim_clock_off_ms(rig->sim, 0);
    sim_drift(rig->sim, 0, 10000); /* a hundredth too fast */
    p->next_ms = boot_ms + 10100;
    struct event e = {.kind = EV_TICK};
    sim_event(sim_node(rig->sim, 0), &e);
    run_ms(rig, 9999);
    assert_book(rig, 0, "tick; ");
    run_ms(rig, 2);
    assert_book(rig, 0, "tick; ");
    assert_in_range(clock->boot_ms(clock->self) - boot_ms, 10101, 10103);
    assert_in_range(sim_clock_off_ms(rig->sim, 0) - off_ms, 100, 102);
    sim_drift(rig->sim, 0, 0);
    run_ms(rig, 10000);
    assert_in_range(sim_clock_off_ms(rig->sim, 0) - off_ms, 100, 102);
}

static void test_a_keeper_takes_its_children_along(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    spawn(p, 1, "sleep", NULL, "c");
    run_ms(rig, 50);
    sim_kill_keeper(rig->sim, 0);
    assert_int_equal(sim_running(rig->sim, "default", "c", NULL), 0);
    spawn(p, 2, "sleep", NULL, "d"); /* the brain does not know yet: nobody is there to do it */
    run_ms(rig, 1000);
    assert_book(rig, 0, "spawned 1; keeper died; ");
    spawn(p, 3, "sleep", NULL, "e");
    run_ms(rig, 50);
    assert_book(rig, 0, "spawned 3; ");
}

static void test_a_process_that_hangs_goes_on_where_it_was(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    const struct world_proc *proc = &p->home->world->proc;
    assert_false(sim_process_hang(rig->sim, 0, SIM_SECOND));
    spawn(p, 1, "counter", NULL, "c");
    run_ms(rig, 50);
    assert_true(sim_process_hang(rig->sim, 0, SIM_SECOND));
    line(p, 1, "{\"type\":\"call\",\"ref\":\"r1\",\"data\":2}");
    run_ms(rig, 500);
    line(p, 1, "{\"type\":\"call\",\"ref\":\"r2\",\"data\":3}");
    run_ms(rig, 400);
    assert_book(rig, 0, "spawned 1; ");
    run_ms(rig, 200);
    assert_book(
        rig, 0,
        "line 1 {\"type\":\"checkpoint\",\"data\":2}; line 1 {\"type\":\"reply\",\"ref\":\"r1\",\"data\":2}; "
        "line 1 {\"type\":\"checkpoint\",\"data\":5}; line 1 "
        "{\"type\":\"reply\",\"ref\":\"r2\",\"data\":5}; ");
    assert_true(sim_process_hang(rig->sim, 0, SIM_SECOND));
    proc->terminate(proc->self, 1);
    run_ms(rig, 900);
    assert_book(rig, 0, "");
    run_ms(rig, 200);
    assert_book(rig, 0, "exited 1 0 0; ");
    spawn(p, 2, "counter", NULL, "c");
    run_ms(rig, 50);
    assert_true(sim_process_hang(rig->sim, 0, SIM_SECOND));
    str_clear(&p->book);
    proc->kill(proc->self, 2);
    run_ms(rig, 50);
    assert_book(rig, 0, "exited 2 0 9; ");
}

/* The node is told what its channels hold: nothing, unless a process does not read. */
static void test_lines_wait_in_the_node_when_a_process_hangs(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    AUTOFREE char *text = mem_alloc(100001);
    memset(text, 'x', 100000);
    AUTOFREE char *big = mem_printf("{\"type\":\"message\",\"data\":\"%s\"}", text);
    spawn(p, 1, "counter", NULL, "c");
    line(p, 1, big);
    run_ms(rig, 200);
    assert_true(p->drained > 0);
    assert_int_equal(p->waiting, 0);
    assert_true(sim_process_hang(rig->sim, 0, SIM_SECOND));
    for (int i = 0; i < 3; i++)
        line(p, 1, big);
    run_ms(rig, 500);
    assert_in_range(p->waiting, 300000 - 212992, 300200 - 212992);
    run_ms(rig, 700);
    assert_int_equal(p->waiting, 0);
}

static void test_odds_of_processes(void **state)
{
    struct rig *rig = *state;
    struct probe *p = &rig->probes[0];
    const struct world_proc *proc = &p->home->world->proc;
    sim_process_odds(rig->sim, 0, &(struct sim_odds){.fail_ppm = 1000000});
    spawn(p, 1, "sleep", NULL, "a");
    run_ms(rig, 50);
    assert_non_null(strstr(str_get(&p->book), "unspawned 1 "));
    str_clear(&p->book);
    sim_process_odds(rig->sim, 0, &(struct sim_odds){.slow_ppm = 1000000});
    spawn(p, 2, "sleep", NULL, "b");
    run_ms(rig, 100);
    assert_book(rig, 0, "");
    run_ms(rig, 1000);
    assert_book(rig, 0, "spawned 2; ");
    sim_process_odds(rig->sim, 0, &(struct sim_odds){.stubborn_ppm = 1000000});
    spawn(p, 3, "sleep", NULL, "c");
    run_ms(rig, 50);
    proc->terminate(proc->self, 3);
    run_ms(rig, 1000);
    assert_book(rig, 0, "spawned 3; ");
    sim_process_odds(rig->sim, 0, &(struct sim_odds){0});
    assert_true(sim_process_crash(rig->sim, 0));
    assert_true(sim_process_crash(rig->sim, 0));
    run_ms(rig, 50);
    assert_int_equal(times(str_get(&p->book), " 0 11; "), 2); /* SIGSEGV */
}

static void test_a_commit_that_never_ends_ends_the_node(void **state)
{
    struct rig *rig = *state;
    spawn(&rig->probes[0], 1, "sleep", NULL, "c");
    run_ms(rig, 50);
    struct event e = {.kind = EV_TICK};
    sim_slow_disk(rig->sim, 0, 200000);
    sim_event(sim_node(rig->sim, 0), &e);
    run_ms(rig, 23900);
    assert_int_equal(sim_running(rig->sim, "default", "c", NULL), 1);
    run_ms(rig, 200);
    assert_int_equal(sim_running(rig->sim, "default", "c", NULL), 0);
    run_ms(rig, 300000);
    assert_false(sim_node_up(sim_node(rig->sim, 0)));
}

/* ---- Copies ---- */

static const char *file_of(struct rig *rig, int index)
{
    size_t n;
    return simdisk_file(sim_node_disk(sim_node(rig->sim, index)), "/skep.db", &n);
}

static void file_put(struct rig *rig, int index, const char *text)
{
    simdisk_put(sim_node_disk(sim_node(rig->sim, index)), "/skep.db", text, strlen(text) + 1);
}

static void test_backups_wipes_and_clones(void **state)
{
    struct rig *rig = *state;
    struct id id = sim_node_id(sim_node(rig->sim, 1));
    file_put(rig, 1, "old");
    struct sim_backup *b = sim_backup_new(rig->sim, 1);
    file_put(rig, 1, "new");
    int twin = sim_clone(rig->sim, 1, false);
    assert_int_equal(twin, 3);
    assert_int_equal(sim_spare(rig->sim), 0);
    assert_string_equal(file_of(rig, twin), "new");
    struct id twin_id = sim_node_id(sim_node(rig->sim, twin));
    assert_true(id_equal(&twin_id, &id));
    assert_true(sim_start(rig->sim, twin));
    assert_false(rig->probes[twin].home->first);
    assert_string_equal(rig->probes[twin].home->url, "https://n4.sim:7537");
    sim_retire(rig->sim, twin);
    assert_false(sim_node_up(sim_node(rig->sim, twin)));

    sim_crash(rig->sim, 1);
    sim_wipe(rig->sim, 1);
    struct id fresh = sim_node_id(sim_node(rig->sim, 1));
    assert_false(id_equal(&fresh, &id));
    assert_null(file_of(rig, 1));
    assert_true(sim_start(rig->sim, 1));
    assert_true(rig->probes[1].home->first);
    assert_string_equal(rig->probes[1].home->name, "n2.2");

    sim_crash(rig->sim, 1);
    sim_restore(rig->sim, 1, b);
    struct id again = sim_node_id(sim_node(rig->sim, 1));
    assert_true(id_equal(&again, &id));
    assert_string_equal(file_of(rig, 1), "old");
    assert_true(sim_start(rig->sim, 1));
    assert_false(rig->probes[1].home->first);
    assert_string_equal(rig->probes[1].home->name, "n2");
    sim_backup_free(b);
}

/* ---- Promises ---- */

static void test_promises_are_suspended_and_resumed(void **state)
{
    struct rig *rig = *state;
    int64_t before_us = sim_now_us(rig->sim);
    assert_true(sim_promised(rig->sim, SIM_ANSWERS, before_us));
    sim_suspend(rig->sim, SIM_ANSWERS);
    sim_suspend(rig->sim, SIM_ANSWERS | SIM_ONE_PROCESS);
    run_ms(rig, 1000);
    sim_resume(rig->sim, SIM_ANSWERS);
    assert_false(sim_promised(rig->sim, SIM_ANSWERS, sim_now_us(rig->sim)));
    spawn(&rig->probes[0], 1, "sleep", NULL, "c");
    spawn(&rig->probes[1], 1, "sleep", NULL, "c");
    run_ms(rig, 1000);
    sim_resume(rig->sim, SIM_ANSWERS);
    assert_false(sim_promised(rig->sim, SIM_ANSWERS, before_us));
    run_ms(rig, 1);
    assert_true(sim_promised(rig->sim, SIM_ANSWERS, sim_now_us(rig->sim)));
    assert_false(sim_violated(rig->sim));
    sim_resume(rig->sim, SIM_ONE_PROCESS); /* and two still run */
    assert_true(sim_violated(rig->sim));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call_and_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lane_keeps_its_order_and_lanes_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_closed_and_wrong_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_machine_without_power_is_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_crash_before_the_commit_loses_the_effects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_never_reaches_the_next_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_queued_dies_with_its_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_becomes_a_tick, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_counter_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends_of_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_come_before_the_exit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_never_reaches_the_next_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_between_fork_and_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_programs_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_children_die_with_their_node_but_not_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_under_one_name_are_a_violation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_paused_node_stamps_when_it_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pause_beyond_the_keepers_patience_ends_the_node, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients, setup, teardown),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_a_disk_survives_its_node),
        cmocka_unit_test_setup_teardown(test_what_waits_at_a_cut_arrives_after_the_heal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cut_is_one_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_request_may_arrive_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_nobody_waits_for_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rejecting_link_looks_like_a_dead_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_machine_that_came_back_knows_no_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connections_break_before_and_after, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_link_is_slow_one_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clocks_drift_and_their_ticks_with_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_keeper_takes_its_children_along, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_process_that_hangs_goes_on_where_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_wait_in_the_node_when_a_process_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odds_of_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_commit_that_never_ends_ends_the_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backups_wipes_and_clones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promises_are_suspended_and_resumed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
