/* Sessions in a simulated cluster: real brains, virtual time, workers that do as their turn's input says.
 *
 * What an owner's death, a fenced claim, a crashing worker or a repeated request may and may not do.
 */
#include "sim/brain.h"
#include "sim/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json.h"

struct rig {
    struct sim *sim;
    struct str body; /* of the last answer */
    int status;
    bool answered;
    int crash; /* node to crash with the answer, -1 = none */
};

/* ---- a worker: {"steps":n,"hang":b,"crash":b,"fail":b} ---- */

struct stepper {
    char *turn;
    int64_t step, steps;
    bool resumed, fail, polite;
};

static void *stepper_start(struct sim_worker *w)
{
    (void)w;
    return mem_alloc(sizeof(struct stepper));
}

static void stepper_free(void *state)
{
    struct stepper *s = state;
    if (s) /* it may be killed before it began */
        free(s->turn);
    free(s);
}

static struct span member(const char *p, size_t n, const char *name)
{
    return json_raw_member(p, n, name);
}

static int64_t number(struct span p, const char *name, int64_t otherwise)
{
    int64_t v;
    struct span raw = p.p ? member(p.p, p.n, name) : (struct span){NULL, 0};
    return raw.p && json_int(raw, &v) ? v : otherwise;
}

static bool flag(struct span p, const char *name)
{
    struct span raw = p.p ? member(p.p, p.n, name) : (struct span){NULL, 0};
    return raw.p && raw.n == 4 && memcmp(raw.p, "true", 4) == 0;
}

static char *words(struct span p, const char *name)
{
    struct str text = STR_INIT;
    struct span raw = p.p ? member(p.p, p.n, name) : (struct span){NULL, 0};
    if (!raw.p || !json_unquote(raw, &text)) {
        str_fini(&text);
        return NULL;
    }
    return str_take(&text);
}

static void step(struct sim_worker *w)
{
    struct stepper *s = worker_state(w);
    if (s->step < s->steps) {
        s->step++;
        worker_say(w,
                   "{\"type\":\"append\",\"turn\":\"%s\",\"role\":\"assistant\",\"content\":{\"step\":%lld}}",
                   s->turn, (long long)s->step);
        worker_say(w, "{\"type\":\"save\",\"turn\":\"%s\",\"state\":{\"step\":%lld},\"ack\":\"a\"}", s->turn,
                   (long long)s->step);
    } else if (s->fail) {
        worker_say(w, "{\"type\":\"fail\",\"turn\":\"%s\",\"detail\":\"as asked\",\"ack\":\"end\"}", s->turn);
    } else {
        worker_say(
            w,
            "{\"type\":\"done\",\"turn\":\"%s\",\"result\":{\"steps\":%lld,\"resumed\":%s},\"ack\":\"end\"}",
            s->turn, (long long)s->step, s->resumed ? "true" : "false");
    }
}

static void begin(struct sim_worker *w, struct span line)
{
    struct stepper *s = worker_state(w);
    struct span input = member(line.p, line.n, "input"), state = member(line.p, line.n, "state");
    free(s->turn);
    s->turn = words(line, "turn");
    s->resumed = flag(line, "resumed");
    s->steps = number(input, "steps", 1);
    s->step = s->resumed ? number(state, "step", 0) : 0;
    s->fail = flag(input, "fail");
    s->polite = flag(input, "polite");
    if (flag(input, "crash") || (flag(input, "crash_once") && !s->resumed))
        worker_exit(w, 1);
    else if (!flag(input, "hang"))
        step(w);
}

static void stepper_line(struct sim_worker *w, const char *p, size_t n)
{
    struct span line = {p, n};
    AUTOFREE char *type = words(line, "type"), *ack = words(line, "ack");
    if (strcmp(type, "turn") == 0)
        begin(w, line);
    else if (strcmp(type, "ok") == 0 && ack && strcmp(ack, "a") == 0)
        step(w);
    else if (strcmp(type, "cancel") == 0 && ((struct stepper *)worker_state(w))->polite)
        worker_say(w, "{\"type\":\"fail\",\"turn\":\"%s\"}", ((struct stepper *)worker_state(w))->turn);
    else if (strcmp(type, "error") == 0)
        worker_exit(w, 3);
}

/* --stubborn: only SIGKILL ends it. */
static void stepper_terminated(struct sim_worker *w)
{
    if (!worker_has_arg(w, "--stubborn"))
        worker_exit(w, 0);
}

static const struct sim_program stepper = {.name = "stepper",
                                           .start = stepper_start,
                                           .line = stepper_line,
                                           .terminated = stepper_terminated,
                                           .free = stepper_free};

/* ---- the rig ---- */

static void note(void *ctx, const char *text)
{
    (void)ctx;
    print_message("%s\n", text);
}

/* SKEP_TRACE=1 tells what happens. */
static void rig_begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, nodes);
    if (getenv("SKEP_TRACE")) {
        o.trace = true;
        o.line = note;
    }
    o.loss_ppm = 0;
    *r = (struct rig){.sim = sim_new(&o, &sim_brain_node), .crash = -1};
    sim_program_add(r->sim, &stepper);
    for (int i = 0; i < nodes; i++)
        assert_true(sim_start(r->sim, i));
    assert_true(sim_run(r->sim, 5 * SIM_SECOND));
}

static void rig_end(struct rig *r)
{
    sim_free(r->sim);
    str_fini(&r->body);
}

static void run_ms(struct rig *r, int64_t ms)
{
    assert_true(sim_run(r->sim, sim_now_us(r->sim) + ms * 1000));
}

static void done(struct sim *s, void *arg, const struct sim_reply *reply)
{
    struct rig *r = arg;
    r->answered = true;
    r->status = reply->status;
    str_clear(&r->body);
    if (reply->body)
        str_add(&r->body, reply->body, reply->body_n);
    if (r->crash >= 0)
        sim_crash(s, r->crash);
    r->crash = -1;
}

static int ask_key(struct rig *r, int node, enum req_method method, const char *path, const char *body,
                   const char *key)
{
    char plain[256], *query = NULL;
    snprintf(plain, sizeof plain, "%s", path);
    if ((query = strchr(plain, '?')))
        *query++ = 0;
    struct sim_ask a = {.node = node,
                        .method = method,
                        .path = plain,
                        .query = query,
                        .body = body,
                        .key = key,
                        .timeout_ms = 60000,
                        .done = done,
                        .arg = r};
    r->answered = false;
    sim_ask(r->sim, &a);
    for (int i = 0; i < 70000 && !r->answered; i++)
        run_ms(r, 1);
    assert_true(r->answered);
    return r->status;
}

static int ask(struct rig *r, int node, enum req_method method, const char *path, const char *body)
{
    return ask_key(r, node, method, path, body, NULL);
}

static int post(struct rig *r, int node, const char *path, const char *body)
{
    return ask(r, node, HTTP_M_POST, path, body);
}

static int get(struct rig *r, int node, const char *path)
{
    return ask(r, node, HTTP_M_GET, path, NULL);
}

static struct span answer(const struct rig *r)
{
    return (struct span){str_get(&r->body), r->body.n};
}

static bool says(const struct rig *r, const char *text)
{
    return strstr(str_get(&r->body), text) != NULL;
}

static void assert_says(const struct rig *r, const char *text)
{
    if (!says(r, text))
        fail_msg("no %s in %s", text, str_get(&r->body));
}

static int times(const struct rig *r, const char *text)
{
    int n = 0;
    for (const char *p = str_get(&r->body); (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

static void assert_status(const struct rig *r, int want, int got)
{
    if (want != got)
        fail_msg("%d instead of %d: %s", got, want, str_get(&r->body));
}

#define WANT(status, r, call) assert_status((r), (status), (call))

static int owner_of(struct rig *r, int node, const char *session)
{
    char path[100];
    snprintf(path, sizeof path, "/v1/sessions/%s", session);
    WANT(200, r, get(r, node, path));
    AUTOFREE char *owner = words(answer(r), "owner");
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (owner && strcmp(sim_node_name(sim_node(r->sim, i)), owner) == 0)
            return i;
    return -1;
}

static void template_put(struct rig *r, int node)
{
    WANT(201, r,
         ask(r, node, HTTP_M_PUT, "/v1/templates/t",
             "{\"argv\":[\"stepper\"],\"turn_ms\":4000,\"idle_ms\":3000}"));
}

static void session_make(struct rig *r, int node, const char *id, const char *resume)
{
    AUTOFREE char *body = mem_printf("{\"id\":\"%s\",\"template\":\"t\",\"resume\":\"%s\"}", id, resume);
    WANT(201, r, post(r, node, "/v1/sessions", body));
    assert_int_equal(owner_of(r, node, id), node);
}

/* Waits until GET of the path says the text. */
static void until(struct rig *r, int node, const char *path, const char *text, int64_t within_ms)
{
    int64_t end = sim_now_us(r->sim) + within_ms * 1000;
    for (;;) {
        get(r, node, path);
        if (r->status == 200 && says(r, text))
            return;
        if (sim_now_us(r->sim) > end)
            fail_msg("after %lld ms no %s: %d %s", (long long)within_ms, text, r->status, str_get(&r->body));
        run_ms(r, 20);
    }
}

static int workers(struct rig *r, const char *session)
{
    return sim_running(r->sim, "", session, NULL);
}

static void converge(struct rig *r)
{
    AUTOSTR struct str why = STR_INIT;
    for (int i = 0; i < 100; i++) {
        str_clear(&why);
        if (sim_digests_equal(r->sim, NULL, &why))
            return;
        run_ms(r, 100);
    }
    fail_msg("the nodes differ: %s", str_get(&why));
}

/* ---- entries, state, epochs ---- */

static void an_entry_follows_the_head(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 1, 3);
    session_make(&r, 0, "s", "lazy");
    for (int i = 0; i < 6; i++) { /* through every node */
        AUTOFREE char *body = mem_printf("{\"role\":\"user\",\"content\":\"c%d\"}", i);
        WANT(201, &r, post(&r, i % 3, "/v1/sessions/s/entries", body));
        assert_int_equal(number(answer(&r), "seq", 0), i + 1);
        WANT(200, &r, get(&r, i % 3, "/v1/sessions/s/entries")); /* what was answered is seen */
        assert_int_equal(times(&r, "\"content\""), i + 1);
    }
    WANT(200, &r, get(&r, 1, "/v1/sessions/s/entries?limit=2"));
    assert_int_equal(times(&r, "\"content\""), 2);
    assert_says(&r, "c0");
    AUTOFREE char *next = words(answer(&r), "next");
    AUTOFREE char *path = mem_printf("/v1/sessions/s/entries?after=%s", next);
    run_ms(&r, 500);
    WANT(200, &r, get(&r, 2, path));
    assert_int_equal(times(&r, "\"content\""), 4);
    assert_says(&r, "c2");
    assert_says(&r, "\"next\":null");
    WANT(200, &r, get(&r, 0, "/v1/sessions/nobody/entries"));
    assert_int_equal(times(&r, "\"content\""), 0);
    WANT(404, &r, post(&r, 1, "/v1/sessions/nobody/entries", "{\"role\":\"user\",\"content\":1}"));
    assert_says(&r, "no_such_session");
    WANT(404, &r,
         post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":1,\"parent\":\"x\"}"));
    assert_says(&r, "no_such_entry");
    converge(&r);
    rig_end(&r);
}

static void a_parent_makes_a_branch(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 2, 3);
    session_make(&r, 0, "s", "lazy");
    WANT(201, &r, post(&r, 0, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"root\"}"));
    AUTOFREE char *root = words(answer(&r), "id");
    WANT(201, &r, post(&r, 0, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"left\"}"));
    AUTOFREE char *left = words(answer(&r), "id");
    AUTOFREE char *body = mem_printf("{\"role\":\"user\",\"content\":\"right\",\"parent\":\"%s\"}", root);
    WANT(201, &r, post(&r, 0, "/v1/sessions/s/entries", body));
    assert_int_equal(number(answer(&r), "seq", 0), 2);
    WANT(200, &r, get(&r, 0, "/v1/sessions/s/entries"));
    assert_says(&r, "root");
    assert_says(&r, "right");
    assert_false(says(&r, "left"));
    WANT(200, &r, get(&r, 0, "/v1/sessions/s/branches"));
    assert_int_equal(times(&r, "\"head\""), 1);
    assert_says(&r, left);
    AUTOFREE char *path = mem_printf("/v1/sessions/s/entries?head=%s", left);
    WANT(200, &r, get(&r, 0, path));
    assert_says(&r, "left");
    assert_false(says(&r, "right"));
    rig_end(&r);
}

static void a_key_makes_one_entry_through_any_node(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 3, 3);
    session_make(&r, 0, "s", "lazy");
    WANT(201, &r,
         ask_key(&r, 1, HTTP_M_POST, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":1}", "k1"));
    AUTOFREE char *first = words(answer(&r), "id");
    WANT(201, &r,
         ask_key(&r, 2, HTTP_M_POST, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":1}", "k1"));
    AUTOFREE char *second = words(answer(&r), "id");
    assert_string_equal(first, second);
    WANT(409, &r,
         ask_key(&r, 2, HTTP_M_POST, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":2}", "k1"));
    assert_says(&r, "key_reused");
    WANT(200, &r, get(&r, 0, "/v1/sessions/s/entries"));
    assert_int_equal(times(&r, "\"content\""), 1);
    rig_end(&r);
}

static void a_claim_fences_older_epochs_on_every_node(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 4, 3);
    session_make(&r, 0, "s", "lazy");
    WANT(200, &r, get(&r, 0, "/v1/sessions/s"));
    AUTOFREE char *last = words(answer(&r), "epoch");
    for (int i = 0; i < 6; i++) {
        int node = (i + 1) % 3;
        WANT(200, &r, post(&r, node, "/v1/sessions/s/claim", "{}"));
        AUTOFREE char *epoch = words(answer(&r), "epoch"), *owner = words(answer(&r), "owner");
        int64_t a, b;
        assert_true(text_i64(epoch, 1, INT64_MAX, &a) && text_i64(last, 1, INT64_MAX, &b));
        assert_true(a > b);
        assert_string_equal(owner, sim_node_name(sim_node(r.sim, node)));
        AUTOFREE char *old = mem_printf("{\"role\":\"user\",\"content\":\"old\",\"epoch\":\"%s\"}", last);
        AUTOFREE char *new = mem_printf("{\"role\":\"user\",\"content\":\"new\",\"epoch\":\"%s\"}", epoch);
        AUTOFREE char *put = mem_printf("{\"state\":{\"by\":1},\"epoch\":\"%s\"}", last);
        for (int at = 0; at < 3; at++) { /* at once, everywhere */
            WANT(409, &r, post(&r, (node + 2 * at) % 3, "/v1/sessions/s/entries", old));
            assert_says(&r, "\"fenced\"");
            WANT(409, &r, ask(&r, at, HTTP_M_PUT, "/v1/sessions/s/state", put));
        }
        WANT(201, &r, post(&r, (node + 1) % 3, "/v1/sessions/s/entries", new));
        mem_replace(&last, epoch);
    }
    WANT(200, &r, get(&r, 0, "/v1/sessions/s/entries"));
    run_ms(&r, 1000);
    WANT(200, &r, get(&r, 0, "/v1/sessions/s/entries"));
    assert_int_equal(times(&r, "\"content\""), 6);
    assert_int_equal(times(&r, "old"), 0);
    converge(&r);
    rig_end(&r);
}

static void a_session_is_made_once_and_ends_everywhere(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 5, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    WANT(409, &r, post(&r, 2, "/v1/sessions", "{\"id\":\"s\"}"));
    assert_says(&r, "\"taken\"");
    WANT(200, &r, post(&r, 1, "/v1/sessions/s/turns", "{\"input\":{\"steps\":3}}"));
    WANT(200, &r, ask(&r, 2, HTTP_M_PUT, "/v1/sessions/s/state", "{\"state\":[1,2]}"));
    WANT(200, &r, get(&r, 2, "/v1/sessions/s/state"));
    assert_says(&r, "[1,2]");
    WANT(200, &r, ask(&r, 2, HTTP_M_DELETE, "/v1/sessions/s", NULL));
    run_ms(&r, 8000);
    assert_int_equal(workers(&r, "s"), 0);
    for (int i = 0; i < 3; i++) {
        WANT(404, &r, get(&r, i, "/v1/sessions/s"));
        WANT(404, &r, get(&r, i, "/v1/sessions/s/state"));
        WANT(200, &r, get(&r, i, "/v1/sessions/s/turns"));
        assert_int_equal(times(&r, "\"status\""), 0);
    }
    converge(&r);
    WANT(201, &r, post(&r, 2, "/v1/sessions", "{\"id\":\"s\"}")); /* the name is free again */
    WANT(200, &r, get(&r, 2, "/v1/sessions/s/entries"));
    assert_int_equal(times(&r, "\"content\""), 0);
    rig_end(&r);
}

/* ---- turns ---- */

static void a_turn_runs_and_the_next_one_waits(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 6, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    WANT(202, &r,
         post(&r, 0, "/v1/sessions/s/turns", "{\"input\":{\"steps\":20,\"n\":\"one\"},\"wait\":false}"));
    WANT(202, &r,
         post(&r, 2, "/v1/sessions/s/turns", "{\"input\":{\"steps\":2,\"n\":\"two\"},\"wait\":false}"));
    assert_says(&r, "queued");
    WANT(200, &r, post(&r, 2, "/v1/sessions/s/turns", "{\"input\":{\"steps\":1,\"n\":\"three\"}}"));
    assert_says(&r, "\"status\":\"done\"");
    assert_says(&r, "\"steps\":1");
    WANT(200, &r, get(&r, 2, "/v1/sessions/s/turns"));
    assert_int_equal(times(&r, "\"status\":\"done\""), 3);
    WANT(200, &r, get(&r, 2, "/v1/sessions/s/entries"));
    assert_int_equal(times(&r, "\"role\":\"user\""), 3);
    assert_int_equal(times(&r, "\"role\":\"assistant\""), 23);
    const char *one = strstr(str_get(&r.body), "one"), *two = strstr(str_get(&r.body), "two");
    const char *twenty = strstr(str_get(&r.body), "{\"step\":20}");
    assert_true(one && two && twenty && one < twenty && twenty < two); /* one after the other */
    WANT(200, &r, get(&r, 2, "/v1/sessions/s"));
    assert_says(&r, "\"status\":\"idle\"");
    WANT(200, &r, post(&r, 0, "/v1/sessions/s/turns", "{\"input\":{\"fail\":true}}"));
    assert_says(&r, "\"status\":\"failed\"");
    assert_says(&r, "as asked");
    assert_int_equal(workers(&r, "s"), 1);
    run_ms(&r, 8000); /* idle_ms */
    assert_int_equal(workers(&r, "s"), 0);
    WANT(200, &r, post(&r, 0, "/v1/sessions/s/turns", "{\"input\":{\"steps\":1}}"));
    converge(&r);
    rig_end(&r);
}

static void a_key_makes_one_turn(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 7, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    for (int i = 0; i < 3; i++) {
        WANT(200, &r, ask_key(&r, i, HTTP_M_POST, "/v1/sessions/s/turns", "{\"input\":{\"steps\":2}}", "k"));
        assert_says(&r, "\"done\"");
    }
    WANT(200, &r, get(&r, 1, "/v1/sessions/s/turns"));
    assert_int_equal(times(&r, "\"status\""), 1);
    rig_end(&r);
}

static void a_passed_timeout_is_202_and_the_turn_goes_on(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 8, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    for (int node = 0; node < 3; node++) {
        WANT(202, &r, post(&r, node, "/v1/sessions/s/turns?timeout_ms=500", "{\"input\":{\"hang\":true}}"));
        AUTOFREE char *turn = words(answer(&r), "turn");
        AUTOFREE char *path = mem_printf("/v1/sessions/s/turns/%s", turn);
        assert_says(&r, node ? "\"queued\"" : "\"running\"");
        run_ms(&r, 1000);
        WANT(200, &r, get(&r, 2 - node, path));
    }
    until(&r, 2, "/v1/sessions/s/turns", "turn_ms", 10000); /* the hung one ends */
    assert_says(&r, "\"failed\"");
    rig_end(&r);
}

/* A worker that says it stopped goes on with the next turn; one that does not is replaced. */
static void a_turn_is_cancelled(void **state)
{
    (void)state;
    for (int polite = 0; polite < 2; polite++) {
        struct rig r;
        struct sim_process before, after;
        rig_begin(&r, 9, 3);
        template_put(&r, 0);
        session_make(&r, 1, "s", "lazy");
        AUTOFREE char *body =
            mem_printf("{\"input\":{\"hang\":true,\"polite\":%s},\"wait\":false}", polite ? "true" : "false");
        WANT(202, &r, post(&r, 0, "/v1/sessions/s/turns", body));
        AUTOFREE char *turn = words(answer(&r), "turn");
        AUTOFREE char *path = mem_printf("/v1/sessions/s/turns/%s", turn);
        until(&r, 1, path, "running", 3000);
        assert_int_equal(sim_running(r.sim, "", "s", &before), 1);
        WANT(200, &r, ask(&r, 2, HTTP_M_DELETE, path, NULL));
        assert_says(&r, "\"cancelled\"");
        WANT(200, &r, get(&r, 2, path));
        assert_says(&r, "\"cancelled\"");
        WANT(200, &r, ask(&r, 0, HTTP_M_DELETE, path, NULL)); /* again: it stays so */
        assert_says(&r, "\"cancelled\"");
        WANT(404, &r, ask(&r, 0, HTTP_M_DELETE, "/v1/sessions/s/turns/none", NULL));
        WANT(200, &r, post(&r, 0, "/v1/sessions/s/turns?timeout_ms=8000", "{\"input\":{\"steps\":1}}"));
        assert_says(&r, "\"done\"");
        assert_says(&r, "\"attempts\":1");
        assert_int_equal(sim_running(r.sim, "", "s", &after), 1);
        assert_int_equal(before.pid == after.pid, polite);
        WANT(200, &r, get(&r, 0, path));
        assert_says(&r, "\"cancelled\"");
        rig_end(&r);
    }
}

static void a_worker_that_ends_is_replaced_but_not_for_ever(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 10, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    WANT(200, &r, post(&r, 0, "/v1/sessions/s/turns", "{\"input\":{\"steps\":2,\"crash_once\":true}}"));
    assert_says(&r, "\"resumed\":true");
    assert_says(&r, "\"attempts\":2");
    WANT(200, &r, post(&r, 0, "/v1/sessions/s/turns", "{\"input\":{\"crash\":true}}"));
    assert_says(&r, "\"failed\"");
    assert_says(&r, "3 times");
    WANT(200, &r, post(&r, 0, "/v1/sessions/s/turns", "{\"input\":{\"steps\":1}}"));
    assert_says(&r, "\"done\"");
    rig_end(&r);
}

static void a_worker_that_cannot_start_is_422(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 11, 3);
    WANT(201, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"nothing-here\"]}"));
    session_make(&r, 1, "s", "lazy");
    WANT(422, &r, post(&r, 0, "/v1/sessions/s/turns", "{\"input\":1}"));
    assert_says(&r, "worker_failed");
    WANT(201, &r, post(&r, 2, "/v1/sessions", "{\"id\":\"u\",\"template\":\"none\"}"));
    WANT(422, &r, post(&r, 2, "/v1/sessions/u/turns", "{\"input\":1}"));
    WANT(201, &r, post(&r, 2, "/v1/sessions", "{\"id\":\"v\"}"));
    WANT(422, &r, post(&r, 0, "/v1/sessions/v/turns", "{}"));
    rig_end(&r);
}

static void claim_under_a_turn(uint64_t seed)
{
    struct rig r;
    rig_begin(&r, seed, 3);
    WANT(201, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"stepper\",\"--stubborn\"]}"));
    session_make(&r, 1, "s", "lazy");
    WANT(202, &r, post(&r, 1, "/v1/sessions/s/turns", "{\"input\":{\"steps\":300},\"wait\":false}"));
    AUTOFREE char *turn = words(answer(&r), "turn");
    AUTOFREE char *path = mem_printf("/v1/sessions/s/turns/%s", turn);
    until(&r, 1, "/v1/sessions/s/entries", "{\"step\":5}", 5000);
    WANT(200, &r, post(&r, 2, "/v1/sessions/s/claim", "{}"));
    until(&r, 2, path, "\"done\"", 30000);
    assert_says(&r, "\"resumed\":true");
    WANT(200, &r, get(&r, 2, "/v1/sessions/s/entries?limit=1000"));
    for (int i = 1; i <= 300; i++) {
        char content[32];
        snprintf(content, sizeof content, "{\"step\":%d}", i);
        assert_true(times(&r, content) >= 1);
    }
    assert_true(times(&r, "\"content\"") <= 302); /* at most the one entry that was not saved */
    converge(&r);
    rig_end(&r);
}

/* Also: never two workers at once, which the simulation watches. */
static void a_claim_stops_the_worker_and_its_turn_goes_on(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 103; seed++)
        claim_under_a_turn(seed);
}

/* ---- owners that die ---- */

static void begin_long_turn(struct rig *r, int owner, const char *resume, char **ret_path)
{
    template_put(r, owner);
    session_make(r, owner, "s", resume);
    WANT(202, r, post(r, owner, "/v1/sessions/s/turns", "{\"input\":{\"steps\":300},\"wait\":false}"));
    AUTOFREE char *turn = words(answer(r), "turn");
    *ret_path = mem_printf("/v1/sessions/s/turns/%s", turn);
    until(r, owner, "/v1/sessions/s/entries", "{\"step\":5}", 5000);
}

static void assert_steps_once(struct rig *r, int node)
{
    WANT(200, r, get(r, node, "/v1/sessions/s/entries?limit=1000"));
    for (int i = 1; i <= 300; i++) {
        char content[32];
        snprintf(content, sizeof content, "{\"step\":%d}", i);
        assert_true(times(r, content) >= 1);
    }
    assert_true(times(r, "\"content\"") <= 302);
    assert_int_equal(times(r, "\"role\":\"user\""), 1);
}

static void an_eager_session_is_resumed_elsewhere(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct rig r;
        AUTOFREE char *path = NULL;
        rig_begin(&r, seed, 3);
        begin_long_turn(&r, 1, "eager", &path);
        sim_crash(r.sim, 1);
        until(&r, 0, path, "\"done\"", 20000);
        assert_says(&r, "\"resumed\":true");
        assert_says(&r, "\"attempts\":2");
        assert_int_not_equal(owner_of(&r, 0, "s"), 1);
        assert_steps_once(&r, 0);
        assert_true(sim_start(r.sim, 1)); /* it comes back and changes nothing */
        run_ms(&r, 5000);
        assert_steps_once(&r, 1);
        WANT(200, &r, get(&r, 1, path));
        assert_says(&r, "\"attempts\":2");
        converge(&r);
        rig_end(&r);
    }
}

static void a_lazy_session_waits_for_the_next_request(void **state)
{
    (void)state;
    struct rig r;
    AUTOFREE char *path = NULL;
    rig_begin(&r, 30, 3);
    begin_long_turn(&r, 1, "lazy", &path);
    sim_crash(r.sim, 1);
    run_ms(&r, 10000);
    WANT(200, &r, get(&r, 0, path));
    assert_false(says(&r, "\"done\""));
    assert_int_equal(workers(&r, "s"), 0);
    WANT(200, &r, post(&r, 2, "/v1/sessions/s/turns", "{\"input\":{\"steps\":1}}"));
    assert_int_equal(owner_of(&r, 2, "s"), 2);
    WANT(200, &r, get(&r, 2, path));
    assert_says(&r, "\"done\"");
    assert_says(&r, "\"resumed\":true");
    rig_end(&r);
}

static void the_only_node_resumes_after_its_own_crash(void **state)
{
    (void)state;
    struct rig r;
    AUTOFREE char *path = NULL;
    rig_begin(&r, 31, 1);
    begin_long_turn(&r, 0, "eager", &path);
    sim_cut_power(r.sim, 0);
    run_ms(&r, 100);
    assert_true(sim_start(r.sim, 0));
    until(&r, 0, path, "\"done\"", 20000);
    assert_says(&r, "\"attempts\":2");
    assert_steps_once(&r, 0);
    rig_end(&r);
}

static void a_node_that_leaves_gives_its_turn_away(void **state)
{
    (void)state;
    struct rig r;
    AUTOFREE char *path = NULL;
    rig_begin(&r, 32, 3);
    begin_long_turn(&r, 1, "eager", &path);
    sim_stop(r.sim, 1);
    until(&r, 0, path, "\"done\"", 20000);
    assert_says(&r, "\"resumed\":true");
    assert_steps_once(&r, 0);
    rig_end(&r);
}

static void the_templates_resume_holds_unless_the_session_says(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 33, 3);
    WANT(201, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"stepper\"],\"resume\":\"eager\"}"));
    WANT(201, &r, post(&r, 1, "/v1/sessions", "{\"id\":\"s\",\"template\":\"t\"}"));
    WANT(201, &r, post(&r, 1, "/v1/sessions", "{\"id\":\"u\",\"template\":\"t\",\"resume\":\"lazy\"}"));
    run_ms(&r, 1000);
    WANT(200, &r, get(&r, 2, "/v1/sessions/s"));
    assert_says(&r, "\"resume\":\"eager\"");
    WANT(200, &r, get(&r, 2, "/v1/sessions/u"));
    assert_says(&r, "\"resume\":\"lazy\"");
    WANT(202, &r, post(&r, 1, "/v1/sessions/s/turns", "{\"input\":{\"steps\":300},\"wait\":false}"));
    WANT(202, &r, post(&r, 1, "/v1/sessions/u/turns", "{\"input\":{\"steps\":300},\"wait\":false}"));
    until(&r, 1, "/v1/sessions/s/entries", "{\"step\":5}", 5000);
    run_ms(&r, 300);
    sim_crash(r.sim, 1);
    until(&r, 0, "/v1/sessions/s/turns", "\"done\"", 20000);
    WANT(200, &r, get(&r, 0, "/v1/sessions/u/turns"));
    assert_false(says(&r, "\"done\""));
    rig_end(&r);
}

/* What an owner acknowledged and nobody pulled before it died is a branch, or the conversation; never lost.
 */
static void what_a_dead_owner_left_is_kept(void **state)
{
    (void)state;
    for (uint64_t seed = 40; seed < 52; seed++) {
        struct rig r;
        rig_begin(&r, seed, 3);
        session_make(&r, 1, "s", "lazy");
        WANT(201, &r, post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"before\"}"));
        run_ms(&r, 1000);
        r.crash = 1;
        WANT(201, &r,
             post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"last words\"}"));
        AUTOFREE char *entry = words(answer(&r), "id");
        WANT(201, &r, post(&r, 2, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"after\"}"));
        assert_true(sim_start(r.sim, 1));
        run_ms(&r, 4000);
        converge(&r);
        for (int i = 0; i < 3; i++) {
            WANT(200, &r, get(&r, i, "/v1/sessions/s/entries"));
            assert_int_equal(times(&r, "before"), 1);
            assert_int_equal(times(&r, "after"), 1);
            bool inside = says(&r, entry);
            WANT(200, &r, get(&r, i, "/v1/sessions/s/branches"));
            assert_true(inside != says(&r, entry));
        }
        rig_end(&r);
    }
}

/* A turn that only the dead owner's disk knows is run when that comes back, once. */
static void an_accepted_turn_is_never_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 72; seed++) {
        struct rig r;
        rig_begin(&r, seed, 3);
        template_put(&r, 0);
        session_make(&r, 1, "s", seed % 2 ? "lazy" : "eager");
        run_ms(&r, 1000);
        r.crash = 1;
        WANT(202, &r, post(&r, 1, "/v1/sessions/s/turns", "{\"input\":{\"steps\":3},\"wait\":false}"));
        AUTOFREE char *turn = words(answer(&r), "turn");
        AUTOFREE char *path = mem_printf("/v1/sessions/s/turns/%s", turn);
        WANT(201, &r, post(&r, 2, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"after\"}"));
        run_ms(&r, 500);
        assert_true(sim_start(r.sim, 1));
        until(&r, 2, path, "\"done\"", 20000);
        WANT(200, &r, get(&r, 2, "/v1/sessions/s/entries"));
        assert_int_equal(times(&r, "\"step\":3}"), 1);
        assert_int_equal(times(&r, "\"role\":\"user\""), 2);
        converge(&r);
        rig_end(&r);
    }
}

/* The client's request was on its way through a node that dies, or to one. */
static void a_waiting_turn_outlives_its_owner(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 80, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    char body[] = "{\"input\":{\"steps\":300}}";
    struct sim_ask a = {.node = 0,
                        .method = HTTP_M_POST,
                        .path = "/v1/sessions/s/turns",
                        .body = body,
                        .timeout_ms = 60000,
                        .done = done,
                        .arg = &r};
    r.answered = false;
    sim_ask(r.sim, &a);
    run_ms(&r, 1500);
    assert_false(r.answered);
    sim_crash(r.sim, 1);
    for (int i = 0; i < 40000 && !r.answered; i++)
        run_ms(&r, 1);
    WANT(200, &r, r.status);
    assert_says(&r, "\"done\"");
    WANT(200, &r, get(&r, 0, "/v1/sessions/s/turns"));
    assert_int_equal(times(&r, "\"status\""), 1);
    rig_end(&r);
}

/* What a former owner wrote unseen loses to the claim, not to the next write. */
static void a_claim_alone_beats_what_the_dead_owner_wrote_unseen(void **state)
{
    (void)state;
    int unseen = 0;
    for (uint64_t seed = 90; seed < 98; seed++) {
        struct rig r;
        rig_begin(&r, seed, 3);
        session_make(&r, 1, "s", "lazy");
        WANT(201, &r, post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"seen\"}"));
        run_ms(&r, 1000);
        r.crash = 1;
        WANT(201, &r, post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"late\"}"));
        AUTOFREE char *entry = words(answer(&r), "id");
        AUTOFREE char *path = mem_printf("/v1/sessions/s/entries?head=%s", entry);
        WANT(200, &r, post(&r, 2, "/v1/sessions/s/claim", "{}"));
        run_ms(&r, 1000);
        WANT(200, &r, get(&r, 2, path));
        bool late = !says(&r, entry);
        unseen += late;
        assert_true(sim_start(r.sim, 1));
        run_ms(&r, 3000);
        converge(&r);
        WANT(200, &r, get(&r, 0, "/v1/sessions/s/entries"));
        assert_int_equal(says(&r, entry), !late);
        WANT(200, &r, get(&r, 0, "/v1/sessions/s/branches"));
        assert_int_equal(says(&r, entry), late);
        rig_end(&r);
    }
    assert_true(unseen > 0);
}

static void an_epoch_that_never_was_is_fenced(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 91, 3);
    session_make(&r, 1, "s", "lazy");
    for (int i = 0; i < 3; i++) {
        WANT(409, &r,
             post(&r, i, "/v1/sessions/s/entries",
                  "{\"role\":\"user\",\"content\":1,\"epoch\":\"9000000000000000000\"}"));
        WANT(409, &r,
             post(&r, i, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":1,\"epoch\":\"1\"}"));
        assert_says(&r, "\"fenced\"");
        WANT(400, &r, post(&r, i, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":1,\"epoch\":1}"));
    }
    /* the epoch of an owner that is gone ends with it */
    WANT(200, &r, get(&r, 0, "/v1/sessions/s"));
    AUTOFREE char *epoch = words(answer(&r), "epoch");
    AUTOFREE char *body = mem_printf("{\"role\":\"user\",\"content\":1,\"epoch\":\"%s\"}", epoch);
    WANT(201, &r, post(&r, 0, "/v1/sessions/s/entries", body));
    sim_crash(r.sim, 1);
    run_ms(&r, 3000);
    WANT(409, &r, post(&r, 0, "/v1/sessions/s/entries", body));
    rig_end(&r);
}

static void a_claim_by_the_owner_itself_fences_its_worker(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 92, 3);
    template_put(&r, 0);
    session_make(&r, 1, "s", "lazy");
    WANT(202, &r, post(&r, 1, "/v1/sessions/s/turns", "{\"input\":{\"steps\":300},\"wait\":false}"));
    until(&r, 1, "/v1/sessions/s/entries", "{\"step\":5}", 5000);
    struct sim_process before, after;
    assert_int_equal(sim_running(r.sim, "", "s", &before), 1);
    WANT(200, &r, post(&r, 1, "/v1/sessions/s/claim", "{}"));
    until(&r, 1, "/v1/sessions/s/turns", "\"done\"", 20000);
    assert_says(&r, "\"resumed\":true");
    assert_int_equal(sim_running(r.sim, "", "s", &after), 1);
    assert_int_not_equal(before.pid, after.pid);
    assert_true(after.epoch > before.epoch);
    WANT(200, &r, post(&r, 1, "/v1/sessions/s/claim", "{}")); /* an idle one goes, too */
    run_ms(&r, 500);
    assert_int_equal(workers(&r, "s"), 0);
    rig_end(&r);
}

/* The first answer was lost with its node: the same request elsewhere makes the same entry, not a second one.
 */
static void a_repeat_elsewhere_merges(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 93, 3);
    session_make(&r, 1, "s", "lazy");
    run_ms(&r, 1000);
    r.crash = 1;
    WANT(201, &r,
         ask_key(&r, 1, HTTP_M_POST, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"once\"}",
                 "k"));
    WANT(201, &r,
         ask_key(&r, 2, HTTP_M_POST, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"once\"}",
                 "k"));
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 3000);
    converge(&r);
    WANT(200, &r, get(&r, 1, "/v1/sessions/s/entries"));
    assert_int_equal(times(&r, "once"), 1);
    WANT(200, &r, get(&r, 1, "/v1/sessions/s/branches"));
    assert_int_equal(times(&r, "\"head\""), 0);
    rig_end(&r);
}

static void what_arrives_after_the_end_is_dropped(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 94, 3);
    session_make(&r, 1, "s", "lazy");
    run_ms(&r, 1000);
    r.crash = 1;
    WANT(201, &r, post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":\"late\"}"));
    AUTOFREE char *entry = words(answer(&r), "id");
    AUTOFREE char *path = mem_printf("/v1/sessions/s/entries?head=%s", entry);
    WANT(200, &r, ask(&r, 2, HTTP_M_DELETE, "/v1/sessions/s", NULL));
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 3000);
    converge(&r);
    WANT(201, &r, post(&r, 0, "/v1/sessions", "{\"id\":\"s\"}"));
    run_ms(&r, 1000);
    for (int i = 0; i < 3; i++) {
        WANT(200, &r, get(&r, i, path));
        assert_int_equal(times(&r, "late"), 0);
    }
    rig_end(&r);
}

/* ---- all of it at once ---- */

#define STORM_SESSIONS 4
#define STORM_OPS      160

struct storm_op {
    struct rig *r;
    int session;
    bool turn;
    int status;
    char *id;
};

struct storm {
    struct rig r;
    struct storm_op ops[STORM_OPS];
    int open;
};

static void storm_done(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    struct storm_op *op = arg;
    struct storm *storm = (struct storm *)(void *)op->r;
    storm->open--;
    op->status = reply->status;
    if (reply->status / 100 == 2)
        op->id = words((struct span){reply->body, reply->body_n}, op->turn ? "turn" : "id");
}

static void storm_ask(struct storm *storm, int number)
{
    struct prng *p = sim_prng(storm->r.sim);
    struct storm_op *op = &storm->ops[number];
    uint64_t kind = prng_below(p, 10);
    *op = (struct storm_op){.r = &storm->r, .session = (int)prng_below(p, STORM_SESSIONS), .turn = kind < 3};
    char path[100], body[200], key[32];
    snprintf(key, sizeof key, "k%d", number);
    snprintf(path, sizeof path, "/v1/sessions/s%d/%s", op->session,
             kind < 3   ? "turns"
             : kind < 9 ? "entries"
                        : "claim");
    snprintf(body, sizeof body,
             kind < 3   ? "{\"input\":{\"steps\":%d},\"wait\":false}"
             : kind < 9 ? "{\"role\":\"user\",\"content\":%d}"
                        : "{}",
             (int)prng_below(p, 30));
    storm->open++;
    struct sim_ask a = {.node = (int)prng_below(p, 3),
                        .method = HTTP_M_POST,
                        .path = path,
                        .body = body,
                        .key = key,
                        .timeout_ms = 60000,
                        .done = storm_done,
                        .arg = op};
    sim_ask(storm->r.sim, &a);
}

/* One node at a time is killed, stopped, paused or unplugged. */
static void storm_fault(struct storm *storm)
{
    struct sim *s = storm->r.sim;
    int node = (int)prng_below(sim_prng(s), 3);
    for (int i = 0; i < 3; i++)
        if (!sim_node_up(sim_node(s, i)) || sim_node_paused(sim_node(s, i)))
            return;
    switch (prng_below(sim_prng(s), 6)) {
    case 0:
        sim_stop(s, node);
        break;
    case 1:
        sim_pause(s, node, (prng_below(sim_prng(s), 3) ? 8 : 45) * SIM_SECOND);
        break;
    case 2:
        sim_cut_power(s, node);
        break;
    default:
        sim_crash(s, node);
    }
}

static void storm_return(struct storm *storm)
{
    for (int i = 0; i < 3; i++)
        if (!sim_node_up(sim_node(storm->r.sim, i)))
            assert_true(sim_start(storm->r.sim, i));
}

/* Whether the entry is in the conversation or in a branch of it. */
static bool kept(struct rig *r, const struct storm_op *op)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/sessions/s%d/entries?limit=1000&head=%s", op->session, op->id);
    WANT(200, r, get(r, 1, path));
    return says(r, op->id);
}

static void storm_check(struct storm *storm)
{
    struct rig *r = &storm->r;
    int good = 0;
    for (int i = 0; i < STORM_OPS; i++) {
        struct storm_op *op = &storm->ops[i];
        char path[160];
        if (!op->id)
            continue;
        good++;
        snprintf(path, sizeof path, "/v1/sessions/s%d/turns/%s", op->session, op->id);
        if (op->turn) {
            until(r, 1, path, "\"status\":\"done\"", 60000);
            assert_says(r, "\"steps\"");
        } else {
            assert_true(kept(r, op));
        }
    }
    assert_true(good > STORM_OPS / 3);
    for (int i = 0; i < STORM_SESSIONS; i++) {
        char path[100];
        snprintf(path, sizeof path, "/v1/sessions/s%d", i);
        until(r, 2, path, "\"idle\"", 5000);
        assert_true(workers(r, strrchr(path, '/') + 1) <= 1);
    }
}

static void storm(uint64_t seed)
{
    struct storm storm = {.open = 0};
    struct rig *r = &storm.r;
    rig_begin(r, seed, 3);
    WANT(201, r, ask(r, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"stepper\"],\"idle_ms\":500}"));
    for (int i = 0; i < STORM_SESSIONS; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        session_make(r, i % 3, id, i % 2 ? "eager" : "lazy");
    }
    for (int i = 0; i < STORM_OPS; i++) {
        storm_ask(&storm, i);
        run_ms(r, (int64_t)prng_below(sim_prng(r->sim), 400));
        if (i % 8 == 7)
            storm_fault(&storm);
        if (i % 16 == 15)
            storm_return(&storm);
    }
    for (int calm = 0; calm < 100; calm++) { /* what stopped in order, or sleeps, may take its time */
        storm_return(&storm);
        run_ms(r, 200);
        for (int i = 0; i < 3; i++)
            if (sim_node_paused(sim_node(r->sim, i)))
                calm = 0;
    }
    for (int i = 0; i < 60 && storm.open; i++)
        run_ms(r, 1000);
    assert_int_equal(storm.open, 0);
    for (int i = 0; i < STORM_SESSIONS; i++) { /* the next request, for the lazy ones */
        AUTOFREE char *path = mem_printf("/v1/sessions/s%d/turns", i);
        WANT(202, r, post(r, 1, path, "{\"wait\":false}"));
    }
    storm_check(&storm);
    converge(r);
    for (int i = 0; i < STORM_OPS; i++)
        free(storm.ops[i].id);
    rig_end(r);
}

/* Whatever dies when: what was acknowledged is kept, what was accepted is done, all nodes agree. */
static void nothing_acknowledged_is_lost_in_a_storm(void **state)
{
    (void)state;
    const char *from = getenv("SKEP_SEED"), *count = getenv("SKEP_SEEDS");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1000, n = count ? strtoull(count, NULL, 10) : 4;
    for (uint64_t seed = first; seed < first + n; seed++) {
        if (count)
            print_message("seed %llu\n", (unsigned long long)seed);
        storm(seed);
    }
}

static void an_unused_session_expires(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 81, 3);
    WANT(201, &r, post(&r, 1, "/v1/sessions", "{\"id\":\"s\",\"ttl_ms\":3000}"));
    run_ms(&r, 2000);
    WANT(201, &r, post(&r, 1, "/v1/sessions/s/entries", "{\"role\":\"user\",\"content\":1}"));
    run_ms(&r, 2000);
    WANT(200, &r, get(&r, 2, "/v1/sessions/s"));
    run_ms(&r, 4000);
    WANT(404, &r, get(&r, 2, "/v1/sessions/s"));
    rig_end(&r);
}

static void templates_hold_no_credentials(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"argv\":[\"a\"],\"env\":{\"OPENAI_API_KEY\":\"x\"}}",
        "{\"argv\":[\"a\"],\"env\":{\"my_token\":\"x\"}}",
        "{\"argv\":[\"a\"],\"env\":{\"DB_PASSWORD\":\"x\"}}",
        "{\"argv\":[\"a\"],\"env\":{\"K\":\"-----BEGIN RSA PRIVATE KEY-----\\nx\"}}",
        "{\"argv\":[\"a\"],\"env\":{\"K\":\"sk-abcdefghijklmnopqrstuvwxyz\"}}",
        "{\"argv\":[\"a\"],\"env\":{\"URL\":\"postgres://u:p@h/d\"}}",
        "{\"argv\":[\"a\",\"--password=x\"]}",
        "{\"argv\":[\"a\",\"--api-key\",\"x\"]}",
    };
    static const char *const good[] = {
        "{\"argv\":[\"a\",\"--verbose\"],\"env\":{\"MAX_TOKENS\":\"4096\",\"URL\":\"https://h/"
        "p\",\"MODE\":\"ask-me\"}}",
        "{\"argv\":[\"a\"],\"max_messages\":null}",
    };
    struct rig r;
    rig_begin(&r, 82, 1);
    for (size_t i = 0; i < COUNT(bad); i++) {
        WANT(400, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", bad[i]));
        assert_says(&r, "invalid_argument");
        assert_true(says(&r, "\"field\":\"env\"") || says(&r, "\"field\":\"argv\""));
    }
    WANT(404, &r, get(&r, 0, "/v1/templates/t"));
    for (size_t i = 0; i < COUNT(good); i++)
        WANT(i ? 200 : 201, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", good[i]));
    WANT(400, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", "{}"));
    WANT(400, &r, ask(&r, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"a\"],\"reason\":1}"));
    WANT(200, &r, get(&r, 0, "/v1/templates"));
    assert_int_equal(times(&r, "\"argv\""), 1);
    WANT(200, &r, ask(&r, 0, HTTP_M_DELETE, "/v1/templates/t", NULL));
    WANT(404, &r, ask(&r, 0, HTTP_M_DELETE, "/v1/templates/t", NULL));
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_follows_the_head),
        cmocka_unit_test(a_parent_makes_a_branch),
        cmocka_unit_test(a_key_makes_one_entry_through_any_node),
        cmocka_unit_test(a_claim_fences_older_epochs_on_every_node),
        cmocka_unit_test(a_session_is_made_once_and_ends_everywhere),
        cmocka_unit_test(a_turn_runs_and_the_next_one_waits),
        cmocka_unit_test(a_key_makes_one_turn),
        cmocka_unit_test(a_passed_timeout_is_202_and_the_turn_goes_on),
        cmocka_unit_test(a_turn_is_cancelled),
        cmocka_unit_test(a_worker_that_ends_is_replaced_but_not_for_ever),
        cmocka_unit_test(a_worker_that_cannot_start_is_422),
        cmocka_unit_test(a_claim_stops_the_worker_and_its_turn_goes_on),
        cmocka_unit_test(an_eager_session_is_resumed_elsewhere),
        cmocka_unit_test(a_lazy_session_waits_for_the_next_request),
        cmocka_unit_test(the_only_node_resumes_after_its_own_crash),
        cmocka_unit_test(a_node_that_leaves_gives_its_turn_away),
        cmocka_unit_test(the_templates_resume_holds_unless_the_session_says),
        cmocka_unit_test(what_a_dead_owner_left_is_kept),
        cmocka_unit_test(an_accepted_turn_is_never_lost),
        cmocka_unit_test(a_waiting_turn_outlives_its_owner),
        cmocka_unit_test(a_claim_alone_beats_what_the_dead_owner_wrote_unseen),
        cmocka_unit_test(an_epoch_that_never_was_is_fenced),
        cmocka_unit_test(a_claim_by_the_owner_itself_fences_its_worker),
        cmocka_unit_test(a_repeat_elsewhere_merges),
        cmocka_unit_test(what_arrives_after_the_end_is_dropped),
        cmocka_unit_test(nothing_acknowledged_is_lost_in_a_storm),
        cmocka_unit_test(an_unused_session_expires),
        cmocka_unit_test(templates_hold_no_credentials),
    };
    cmocka_set_test_filter(getenv("SKEP_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
