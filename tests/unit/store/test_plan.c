/* No statement of store/ reads a whole table, but for those on the list here. */
#include "bench.h"

/* Statements that may, by how they begin or what they contain, and why. */
static const struct {
    const char *part, *why;
} reviewed[] = {
    {"FROM vv ORDER BY actor",
     "once, at the start, and for a page: as many rows as runs of skepd are remembered"},
    {"max(hlc, seen) FROM vv ORDER BY actor", "the same"},
    {"FROM gcvv WHERE actor <> 0 ORDER BY actor", "the same"},
    {"SELECT 1 FROM change WHERE actor = ?1 LIMIT 2", "two rows of an index"},
    {"SELECT 1 FROM aside LIMIT 1", "one row"},
    {"FROM quarantine WHERE actor = ?1", "asked only of a row whose stamp another one has; few lie there"},
    {"FROM change WHERE dead = 0 ORDER BY tbl, key", "the digest is over everything; for tests and people"},
    {"FROM change WHERE hlc > ?1 OR rank > ?1", "once a run at most, after its clock was wrong"},
    {"FROM change WHERE hlc <= ?1", "the same"},
    {"UPDATE vv SET hlc = (SELECT", "the same"},
    {"UPDATE gcvv SET hlc = ?1 WHERE", "the same"},
    {"UPDATE log SET at = at - ?2", "the same"},
    {"FROM conflict ", "as many rows as processes lost their name in the last hour"},
    {"FROM (SELECT * FROM log ", "a thousand rows of one name at most"},
    {"INDEXED BY name_alias", "as many rows as processes have other names"},
    {"FROM node ORDER BY node", "as many rows as nodes"},
    {"FROM node_mark ORDER BY node", "as many rows as nodes"},
    {"FROM token ORDER BY token", "tokens are few, and kept in memory from then on"},
    {"FROM swarm ORDER BY swarm", "swarms are few, and kept in memory from then on"},
    {"SELECT count(*) FROM (SELECT 1 FROM name n", "at most as many rows as a node may own"},
    {"FROM score ORDER BY node", "as many rows as nodes"},
    {"FROM serve ORDER BY swarm, node", "as many rows as nodes serve swarms that have to be joined"},
    {"SELECT seq FROM log ORDER BY seq LIMIT 1000", "the oldest thousand"},
    {"FROM hook ORDER BY event, hook", "hooks are few, and kept in memory from then on"},
    {"DELETE FROM outbox WHERE event = ?1", "once, when a hook goes; each hook has a bound"},
    {"max(detail) FROM outbox", "for people; each hook has a bound"},
    {"FROM outbox ORDER BY id", "once, at the start"},
    {"FROM handoff WHERE expires_at <= ?1 LIMIT", "as many rows as processes that move now"},
    {"SELECT (SELECT count(*) FROM session)", "two numbers for /metrics, from the smallest index"},
};

static const char *reason(const char *sql)
{
    for (size_t i = 0; i < COUNT(reviewed); i++)
        if (strstr(sql, reviewed[i].part))
            return reviewed[i].why;
    return NULL;
}

/* A line of a plan that reads all of a table or of an index. The steps of a recursion are rows of its own. */
static bool is_scan(const char *line)
{
    return strncmp(line, "SCAN ", 5) == 0 && strcmp(line, "SCAN path") != 0 && strcmp(line, "SCAN p") != 0 &&
           strcmp(line, "SCAN b") != 0 && strcmp(line, "SCAN branch") != 0 &&
           strcmp(line, "SCAN CONSTANT ROW") != 0;
}

static bool has_scan(struct db *db, const char *sql, struct str *ret_plan)
{
    AUTOFREE char *explain = mem_printf("EXPLAIN QUERY PLAN %s", sql);
    struct stmt *q = stmt_new(db, explain);
    bool scan = false;
    str_clear(ret_plan);
    while (stmt_step(q, NULL) == 1) {
        scan |= is_scan(col_text(q, 3));
        str_printf(ret_plan, "    %s\n", col_text(q, 3));
    }
    stmt_free(q);
    return scan;
}

static void no_statement_scans_unless_reviewed(void **state)
{
    struct store *s = store_new(*state, 1);
    struct db *db = store_db(s);
    AUTOSTR struct str plan = STR_INIT;
    int n = db_stmt_count(db), bad = 0, seen = 0;
    assert_int_equal(n, Q_N + 3 * T_N);
    for (int i = 0; i < n; i++) {
        const char *sql = stmt_sql(db_stmt_at(db, i));
        if (!has_scan(db, sql, &plan))
            continue;
        if (reason(sql))
            seen++;
        else {
            print_error("%s\n%s", sql, str_get(&plan));
            bad++;
        }
    }
    assert_int_equal(bad, 0);
    assert_int_equal(seen, COUNT(reviewed)); /* nothing on the list that is not needed */
    store_end(s);
}

static void this_test_sees_a_scan(void **state)
{
    struct store *s = store_new(*state, 1);
    AUTOSTR struct str plan = STR_INIT;
    assert_true(has_scan(store_db(s), "SELECT * FROM name WHERE metadata = ?1", &plan));
    assert_true(has_scan(store_db(s), "SELECT name FROM name ORDER BY swarm, name", &plan));
    assert_false(has_scan(store_db(s), "SELECT * FROM name WHERE swarm = ?1", &plan));
    store_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_statement_scans_unless_reviewed, bench_make, bench_remove),
        cmocka_unit_test_setup_teardown(this_test_sees_a_scan, bench_make, bench_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
