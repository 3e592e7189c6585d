/* A full disk as the brain sees it: what is held back is given once, to what ends something. */
#include "bench.h"

static struct {
    bool held, none; /* none: nothing can be held */
    int gives;
} disk;

static int reserve(void *self, bool hold)
{
    (void)self;
    disk.gives += !hold;
    if (hold && disk.none)
        return 28;
    disk.held = hold;
    return 0;
}

static void begin(struct bench *b)
{
    bench_begin(b, true, NULL);
    memset(&disk, 0, sizeof disk);
    b->n->w.disk.reserve = reserve;
    room_begin(b->n);
    assert_true(disk.held);
}

static int full; /* how many more writes find the disk full */

static int a_write(struct node *n, void *arg)
{
    (void)n;
    (void)arg;
    return full-- > 0 ? err_set(&n->fault, SKEP_EDISKFULL, "full") : 0;
}

static void what_is_held_is_given_once(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    full = 1;
    assert_int_equal(node_transact(b.n, a_write, NULL), 0); /* tried again, with the room */
    assert_int_equal(disk.gives, 1);
    assert_true(b.n->room.full);
    full = 1;
    assert_int_equal(node_transact(b.n, a_write, NULL), SKEP_EDISKFULL);
    assert_int_equal(disk.gives, 1);
    bench_end(&b);
}

static void only_ends_get_it(void **state)
{
    (void)state;
    struct bench b;
    struct err e = {0};
    begin(&b);
    assert_int_equal(room_refuses(b.n, HTTP_M_PUT, "/v1/swarms/s/children/x", &e), 0);
    assert_true(room_give(b.n));
    assert_int_equal(room_refuses(b.n, HTTP_M_PUT, "/v1/swarms/s/children/x", &e), SKEP_EDISKFULL);
    assert_int_equal(room_refuses(b.n, HTTP_M_POST, "/v1/swarms/s/children", &e), SKEP_EDISKFULL);
    assert_int_equal(room_refuses(b.n, HTTP_M_PATCH, "/v1/swarms/s/children/x", &e), SKEP_EDISKFULL);
    assert_int_equal(room_refuses(b.n, HTTP_M_GET, "/v1/swarms/s/children/x", &e), 0);
    assert_int_equal(room_refuses(b.n, HTTP_M_DELETE, "/v1/swarms/s/children/x", &e), 0);
    assert_int_equal(room_refuses(b.n, HTTP_M_POST, "/v1/swarms/s/stop", &e), 0);
    assert_int_equal(room_refuses(b.n, HTTP_M_PUT, "/v1/nodes/a/drain", &e), 0);
    assert_int_equal(room_refuses(b.n, HTTP_M_POST, "/v1/swarms/s/children/x/calls", &e), 0);
    bench_end(&b);
}

static void recovery_needs_no_hands(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    disk.none = true;
    assert_true(room_give(b.n));
    bench_run(&b, 10000);
    assert_true(b.n->room.full);
    disk.none = false;
    bench_run(&b, 3000);
    assert_false(b.n->room.full);
    assert_true(disk.held);
    bench_end(&b);
}

static int64_t logged(struct bench *b, const char *type)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM log WHERE type = '%s'", type);
    return db_i64(store_db(b->n->store), sql, -1);
}

/* Each once, however long it lasts; and though the log itself could not be written at first. */
static void both_ends_of_it_are_events(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    disk.none = true;
    assert_true(room_give(b.n));
    bench_run(&b, 10000);
    assert_int_equal(logged(&b, "disk_full"), 1);
    assert_int_equal(logged(&b, "disk_room"), 0);
    disk.none = false;
    bench_run(&b, 5000);
    assert_int_equal(logged(&b, "disk_full"), 1);
    assert_int_equal(logged(&b, "disk_room"), 1);
    bench_end(&b);
}

/* Whoever began on a full disk holds nothing back, and refuses all the same what would fill the rest. */
static void a_run_that_began_without_room_knows_it_too(void **state)
{
    (void)state;
    struct bench b;
    struct err e = {0};
    bench_begin(&b, true, NULL);
    memset(&disk, 0, sizeof disk);
    disk.none = true;
    b.n->w.disk.reserve = reserve;
    room_begin(b.n);
    full = 1;
    assert_int_equal(node_transact(b.n, a_write, NULL), SKEP_EDISKFULL);
    assert_int_equal(room_refuses(b.n, HTTP_M_PUT, "/v1/swarms/s/children/x", &e), SKEP_EDISKFULL);
    bench_run(&b, 1000);
    assert_int_equal(logged(&b, "disk_full"), 1);
    disk.none = false;
    bench_run(&b, 5000);
    assert_int_equal(logged(&b, "disk_room"), 1);
    assert_int_equal(room_refuses(b.n, HTTP_M_PUT, "/v1/swarms/s/children/x", &e), 0);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_is_given_once),
        cmocka_unit_test(only_ends_get_it),
        cmocka_unit_test(recovery_needs_no_hands),
        cmocka_unit_test(both_ends_of_it_are_events),
        cmocka_unit_test(a_run_that_began_without_room_knows_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
