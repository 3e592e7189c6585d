/* What every node tells of the others: once, in order, whatever struck. Simulated clusters of real brains. */
#include "rig.h"

#include "node/told.h"

#define NAMES "/v1/swarms/default/names/"
#define CHILD "/v1/swarms/default/children/"

static void *idle_start(struct sim_worker *w)
{
    worker_say(w, "{\"type\":\"ready\"}");
    return mem_alloc(1);
}

static void idle_line(struct sim_worker *w, const char *p, size_t n)
{
    AUTOSTR struct str ref = STR_INIT;
    if (json_unquote(json_raw_member(p, n, "ref"), &ref))
        worker_say(w, "{\"type\":\"ignore\",\"ref\":\"%s\"}", str_get(&ref));
}

static const struct sim_program idle = {.name = "idle", .start = idle_start, .line = idle_line, .free = free};

static void begin(struct rig *r, uint64_t seed)
{
    struct sim_opts o = rig_opts(seed, 3);
    *r = (struct rig){.sim = sim_new(&o, &sim_brain_node)};
    sim_program_add(r->sim, &idle);
    for (int i = 0; i < 3; i++)
        assert_true(sim_start(r->sim, i));
    agree_within(r, 3, 3000);
}

static void heal(struct rig *r)
{
    sim_heal_all(r->sim);
    agree_within(r, 3, 40000);
    converge_within(r, 20000);
}

/* What a node's log has of these types under a name, "type type …", oldest first. */
static const char *told(struct rig *r, int node, const char *name)
{
    static struct str all;
    struct stmt *q =
        stmt_new(store_db(node_store(node_at(r, node))),
                 "SELECT type FROM log WHERE name = ?1 AND type NOT LIKE '%children%' AND type NOT IN "
                 "('child_started', 'child_move_asked', 'child_stopped', 'handover_delivered', "
                 "'migration_completed') ORDER BY seq");
    str_clear(&all);
    stmt_text(q, 1, name);
    while (stmt_step(q, NULL) == 1)
        str_printf(&all, "%s%s", all.n ? " " : "", col_text(q, 0));
    stmt_free(q);
    return str_get(&all);
}

static void everywhere(struct rig *r, const char *name, const char *types)
{
    for (int i = 0; i < 3; i++)
        if (sim_node_up(sim_node(r->sim, i)) && strcmp(told(r, i, name), types) != 0)
            fail_msg("node %d tells of %s: %s", i, name, told(r, i, name));
}

static void address(struct rig *r, int status, enum req_method method, const char *name)
{
    AUTOFREE char *path = mem_printf(NAMES "%s", name);
    want(r, status, 0, method, path, method == HTTP_M_PUT ? "{\"address\":\"x\"}" : NULL);
}

static void move(struct rig *r, int to)
{
    AUTOFREE char *body = mem_printf("{\"node\":\"%s\"}", node_at(r, to)->name);
    want(r, 200, 0, HTTP_M_POST, CHILD "w/move", body);
    converge_within(r, 20000);
}

/* ---- what was missed ---- */

static void drain(struct rig *r, enum req_method method)
{
    AUTOFREE char *path = mem_printf("/v1/nodes/%s/drain", node_at(r, 0)->name);
    want(r, 200, 0, method, path, NULL);
}

static void what_a_node_missed_it_tells_once_and_in_order(void **state UNUSED)
{
    struct rig r;
    begin(&r, 1);
    address(&r, 201, HTTP_M_PUT, "goes");
    AUTOFREE char *body = mem_printf("{\"argv\":[\"idle\"],\"ready\":\"protocol\",\"nodes\":[\"%s\",\"%s\"]}",
                                     node_at(&r, 0)->name, node_at(&r, 1)->name);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "w", body);
    converge_within(&r, 20000);
    everywhere(&r, "w", "child_claimed child_registered");
    split_off(&r, 2);
    run_ms(&r, 50000);
    address(&r, 200, HTTP_M_DELETE, "goes");
    address(&r, 201, HTTP_M_PUT, "comes");
    address(&r, 201, HTTP_M_PUT, "passes");
    address(&r, 200, HTTP_M_DELETE, "passes");
    drain(&r, HTTP_M_PUT);
    run_ms(&r, 5000);
    drain(&r, HTTP_M_DELETE);
    assert_int_equal(events(&r, 2, "drain_began"), 0);
    heal(&r);
    everywhere(&r, "goes", "name_registered name_released");
    everywhere(&r, "comes", "name_registered");
    assert_string_equal(told(&r, 2, "passes"), ""); /* it came and went while it was away */
    for (int i = 0; i < 2; i++) {                   /* nor is what is repeated told again */
        assert_int_equal(events(&r, 2, "drain_began"), 1);
        assert_int_equal(events(&r, 2, "drain_ended"), 1);
        everywhere(&r, "comes", "name_registered");
        assert_int_equal(rows_number(&r, 2,
                                     "SELECT count(*) FROM log a JOIN log b ON a.seq < b.seq WHERE "
                                     "a.type = 'drain_began' AND b.type = 'drain_ended'"),
                         1);
        sim_crash(r.sim, 2);
        run_ms(&r, 100);
        assert_true(sim_start(r.sim, 2));
        heal(&r);
    }
    rig_end(&r);
}

static void a_move_is_told_with_its_reason_by_all(void **state UNUSED)
{
    struct rig r;
    begin(&r, 2);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "w", "{\"argv\":[\"idle\"],\"ready\":\"protocol\"}");
    converge_within(&r, 20000);
    int at = 0;
    while (strcmp(node_at(&r, at)->name, sim_node_name(process_of(&r, "w").node)) != 0)
        at++;
    move(&r, (at + 1) % 3);
    everywhere(&r, "w", "child_claimed child_registered child_moved child_registered");
    sim_crash(r.sim, (at + 1) % 3);
    agree_within(&r, 2, 60000);
    run_ms(&r, 5000);
    everywhere(&r, "w",
               "child_claimed child_registered child_moved child_registered child_claimed child_registered");
    for (int i = 0; i < 3; i++)
        if (sim_node_up(sim_node(r.sim, i)))
            assert_int_equal(rows_number(&r, i,
                                         "SELECT count(*) FROM log WHERE data ->> 'why' IN ('asked', 'down') "
                                         "AND data ->> 'from' IS NOT NULL AND name = 'w'"),
                             2);
    rig_end(&r);
}

/* ---- rows as they may come ---- */

struct coming {
    enum table_id t;
    const void *row;
    int64_t hlc;
};

/* As a page of one row brings it. */
static int come(struct node *n, void *arg)
{
    const struct coming *c = arg;
    AUTOSTR struct str key = STR_INIT, bytes = STR_INIT;
    const struct table *t = table_get(c->t);
    struct val vals[TABLE_COLS_MAX];
    enum merged how;
    table_vals(t, c->row, vals);
    store_key(c->t, c->row, &key);
    row_encode(&bytes, t->cols, vals, (size_t)t->cols_n, (struct span){NULL, 0});
    struct remote_row row = {.t = c->t,
                             .tbl = {t->name, strlen(t->name)},
                             .key = {str_get(&key), key.n},
                             .stamp = {table_rank(t, vals), c->hlc, 77},
                             .bytes = {str_get(&bytes), bytes.n}};
    int rc = store_merge(n->store, &row, &how, &n->fault);
    return rc < 0 || how == MERGED_KEPT ? rc : told_merged(n, &row, 1);
}

static void comes(struct rig *r, enum table_id t, const void *row, int64_t hlc)
{
    struct coming c = {t, row, hlc};
    assert_int_equal(node_transact(node_at(r, 0), come, &c), 0);
}

static void a_process_is_not_told_before_its_claim(void **state UNUSED)
{
    struct rig r;
    begin(&r, 3);
    struct node *n = node_at(&r, 0);
    int64_t now = n->real_ms << 16;
    struct child_row child = {.swarm = (char *)"default",
                              .name = (char *)"late",
                              .node = n->self_text,
                              .status = (char *)"running",
                              .pid = 7,
                              .epoch = now,
                              .started_at = n->real_ms,
                              .at = n->real_ms};
    struct name_row claim = {.swarm = (char *)"default",
                             .name = (char *)"late",
                             .kind = (char *)"child",
                             .owner = (char *)"00000000000000000000000000000001",
                             .owner_actor = 77,
                             .epoch = now,
                             .incarnation = now,
                             .since = now};
    child.node = claim.owner;
    comes(&r, T_CHILD, &child, now + 2);
    assert_string_equal(told(&r, 0, "late"), "");
    for (int i = 0; i < 2; i++) { /* and again */
        comes(&r, T_NAME, &claim, now + 1);
        comes(&r, T_CHILD, &child, now + 2);
        assert_string_equal(told(&r, 0, "late"), "child_claimed child_registered");
    }
    claim.epoch = child.epoch = now + 9;
    child.pid = 8;
    claim.cause = (char *)"{\"from\":\"x\",\"why\":\"down\"}";
    comes(&r, T_NAME, &claim, now + 10);
    comes(&r, T_CHILD, &child, now + 11);
    assert_string_equal(told(&r, 0, "late"), "child_claimed child_registered child_claimed child_registered");
    n->member = false; /* what a new node copies */
    child.name = claim.name = (char *)"old";
    comes(&r, T_NAME, &claim, now + 20);
    comes(&r, T_CHILD, &child, now + 21);
    assert_string_equal(told(&r, 0, "old"), "");
    n->member = true;
    sim_free(r.sim);
    str_fini(&r.body);
}

/* ---- what no row says ---- */

static int log_one(struct node *n, void *arg)
{
    AUTOFREE char *data = mem_printf("{\"n\":%d}", *(int *)arg);
    return node_log(n, "group_restarted", "default", "many", n->name, 0, NULL, data);
}

static void of_the_rest_the_last_are_kept(void **state UNUSED)
{
    struct rig r;
    begin(&r, 4);
    split_off(&r, 2);
    run_ms(&r, 50000);
    int64_t others = rows_number(&r, 0, "SELECT count(*) FROM news");
    for (int i = 0; i < NEWS_KEPT + 10; i++)
        assert_int_equal(node_transact(node_at(&r, 0), log_one, &i), 0);
    heal(&r);
    assert_true(rows_number(&r, 2, "SELECT count(*) FROM news") <= NEWS_KEPT + others);
    assert_int_equal(rows_number(&r, 2, "SELECT count(*) FROM news WHERE type = 'group_restarted'"),
                     NEWS_KEPT);
    assert_int_equal(rows_number(&r, 2, "SELECT count(DISTINCT data) FROM log WHERE name = 'many'"),
                     rows_number(&r, 2, "SELECT count(*) FROM log WHERE name = 'many'"));
    assert_int_equal(rows_number(&r, 2, "SELECT max(data ->> 'n') FROM log WHERE name = 'many'"),
                     NEWS_KEPT + 9);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_node_missed_it_tells_once_and_in_order),
        cmocka_unit_test(a_move_is_told_with_its_reason_by_all),
        cmocka_unit_test(a_process_is_not_told_before_its_claim),
        cmocka_unit_test(of_the_rest_the_last_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
