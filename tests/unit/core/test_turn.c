/* The turn machine: its table as laws, its usual courses, its graph. */
#include "core/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_final_statuses_stay(void **state)
{
    (void)state;
    int final = 0;
    for (int s = 0; s < TURN_STATUSES; s++) {
        if (!turn_is_final((enum turn_status)s))
            continue;
        final++;
        for (int e = 0; e < TURN_EVENTS; e++) {
            struct turn_next n = turn_step((enum turn_status)s, (enum turn_event)e);
            assert_int_equal(n.status, s);
            assert_int_equal(n.action, TURN_REFUSE);
        }
    }
    assert_int_equal(final, 3);
}

/* Whoever waits is answered exactly when the status becomes final. */
static void test_final_means_answered(void **state)
{
    (void)state;
    for (int s = 0; s < TURN_STATUSES; s++) {
        for (int e = 0; e < TURN_EVENTS; e++) {
            struct turn_next n = turn_step((enum turn_status)s, (enum turn_event)e);
            bool ended = turn_is_final(n.status) && n.status != (enum turn_status)s;
            assert_int_equal(ended, n.action == TURN_SETTLE || n.action == TURN_CANCEL);
            if (n.action == TURN_REFUSE)
                assert_int_equal(n.status, s);
        }
    }
}

/* From every status that is not final, each final one and the queue can be reached. */
static void test_no_dead_end(void **state)
{
    (void)state;
    bool reach[TURN_STATUSES][TURN_STATUSES] = {{false}};
    for (int round = 0; round < TURN_STATUSES; round++) {
        for (int s = 0; s < TURN_STATUSES; s++) {
            reach[s][s] = true;
            for (int e = 0; e < TURN_EVENTS; e++) {
                struct turn_next n = turn_step((enum turn_status)s, (enum turn_event)e);
                for (int t = 0; t < TURN_STATUSES; t++)
                    reach[s][t] |= reach[n.status][t];
            }
        }
    }
    for (int s = 0; s < TURN_STATUSES; s++)
        for (int t = 0; t < TURN_STATUSES; t++)
            assert_int_equal(reach[s][t], s == t || !turn_is_final((enum turn_status)s));
}

static void course(const char *name, enum turn_status want, const enum turn_event *events, size_t n)
{
    enum turn_status s = TURN_QUEUED;
    for (size_t i = 0; i < n; i++) {
        struct turn_next next = turn_step(s, events[i]);
        if (next.action == TURN_REFUSE)
            fail_msg("%s: %s refused at %s", name, turn_event_word(events[i]), turn_status_word(s));
        s = next.status;
    }
    assert_string_equal(turn_status_word(s), turn_status_word(want));
}

#define COURSE(want, ...)                                                                                    \
    course(#__VA_ARGS__, want, (const enum turn_event[]){__VA_ARGS__},                                       \
           sizeof((const enum turn_event[]){__VA_ARGS__}) / sizeof(enum turn_event))

static void test_courses(void **state)
{
    (void)state;
    COURSE(TURN_DONE, TURN_EV_BEGUN, TURN_EV_APPENDED, TURN_EV_SAVED, TURN_EV_DONE);
    COURSE(TURN_DONE, TURN_EV_BEGUN, TURN_EV_SAVED, TURN_EV_LOST, TURN_EV_BEGUN, TURN_EV_DONE);
    COURSE(TURN_DONE, TURN_EV_BEGUN, TURN_EV_PARKED, TURN_EV_LOST, TURN_EV_APPROVED, TURN_EV_DONE);
    COURSE(TURN_CANCELLED, TURN_EV_BEGUN, TURN_EV_PARKED, TURN_EV_CANCELLED);
    COURSE(TURN_CANCELLED, TURN_EV_CANCELLED);
    COURSE(TURN_FAILED, TURN_EV_BEGUN, TURN_EV_OVERDUE);
    COURSE(TURN_FAILED, TURN_EV_BEGUN, TURN_EV_FAILED);
}

static void test_late_lines_are_refused(void **state)
{
    (void)state;
    assert_int_equal(turn_step(TURN_QUEUED, TURN_EV_DONE).action, TURN_REFUSE);
    assert_int_equal(turn_step(TURN_QUEUED, TURN_EV_SAVED).action, TURN_REFUSE);
    assert_int_equal(turn_step(TURN_RUNNING, TURN_EV_APPROVED).action, TURN_REFUSE);
    assert_int_equal(turn_step(TURN_AWAITING_APPROVAL, TURN_EV_DONE).action, TURN_REFUSE);
}

static void test_words(void **state)
{
    (void)state;
    enum turn_status s = TURN_QUEUED;
    for (int i = 0; i < TURN_STATUSES; i++) {
        assert_true(turn_status_parse(turn_status_word((enum turn_status)i), &s));
        assert_int_equal(s, i);
    }
    assert_false(turn_status_parse("Done", &s));
}

static void test_graph(void **state)
{
    (void)state;
    AUTOSTR struct str g = STR_INIT;
    turn_graph(&g);
    assert_int_equal(strncmp(str_get(&g), "digraph turn {\n", 15), 0);
    assert_non_null(strstr(str_get(&g), "  queued -> running [label=\"begun\"];\n"));
    assert_non_null(strstr(str_get(&g), "  running -> queued [label=\"lost\"];\n"));
    assert_null(strstr(str_get(&g), "  done ->"));
    assert_string_equal(str_get(&g) + g.n - 2, "}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_final_statuses_stay),
        cmocka_unit_test(test_final_means_answered),
        cmocka_unit_test(test_no_dead_end),
        cmocka_unit_test(test_courses),
        cmocka_unit_test(test_late_lines_are_refused),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
