#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "real/mailbox.h"

#define POSTERS 4
#define EACH    20000

static atomic_uint freed;

static void item_free(void *item)
{
    atomic_fetch_add(&freed, 1);
    free(item);
}

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static unsigned *item_new(unsigned value)
{
    unsigned *item = mem_alloc(sizeof *item);
    *item = value;
    return item;
}

static void order_and_bound(void **state UNUSED)
{
    struct mailbox *m = mailbox_new(3, item_free);
    void **items;
    freed = 0;
    assert_int_equal(mailbox_take_all(m, 0, &items), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(mailbox_post(m, item_new(i)));
    assert_false(mailbox_post(m, item_new(3)));
    assert_int_equal(freed, 1);
    assert_true(mailbox_post_always(m, item_new(4)));
    assert_int_equal(mailbox_count(m), 4);
    assert_int_equal(mailbox_take_all(m, -1, &items), 4);
    const unsigned expected[] = {0, 1, 2, 4};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(*(unsigned *)items[i], expected[i]);
        free(items[i]);
    }
    assert_true(mailbox_post(m, item_new(5))); /* there is room again */
    mailbox_free(m);
    assert_int_equal(freed, 2);
}

static void waiting_ends_at_its_time(void **state UNUSED)
{
    struct mailbox *m = mailbox_new(3, item_free);
    void **items;
    int64_t start = clock_ms();
    assert_int_equal(mailbox_take_all(m, 50, &items), 0);
    int64_t took = clock_ms() - start;
    assert_true(took >= 49 && took < 5000);
    mailbox_free(m);
}

static void *post_one(void *arg)
{
    struct timespec pause = {.tv_nsec =
                                 50000000}; /* the reader should sleep by then; if not, nothing is lost */
    nanosleep(&pause, NULL);
    mailbox_post(arg, item_new(7));
    return NULL;
}

static void a_post_wakes_the_reader(void **state UNUSED)
{
    struct mailbox *m = mailbox_new(3, item_free);
    void **items;
    pthread_t thread;
    pthread_create(&thread, NULL, post_one, m);
    int64_t start = clock_ms();
    assert_int_equal(mailbox_take_all(m, 20000, &items), 1);
    assert_true(clock_ms() - start < 10000);
    free(items[0]);
    pthread_join(thread, NULL);
    mailbox_free(m);
}

static void *close_it(void *arg)
{
    mailbox_close(arg);
    return NULL;
}

static void closing_wakes_the_reader(void **state UNUSED)
{
    struct mailbox *m = mailbox_new(3, item_free);
    void **items;
    pthread_t thread;
    freed = 0;
    assert_true(mailbox_post(m, item_new(1)));
    pthread_create(&thread, NULL, close_it, m);
    while (!mailbox_closed(m) || mailbox_count(m)) {
        size_t n = mailbox_take_all(m, -1, &items);
        for (size_t i = 0; i < n; i++)
            free(items[i]);
    }
    assert_int_equal(mailbox_take_all(m, -1, &items), 0);
    assert_false(mailbox_post(m, item_new(2)));
    assert_false(mailbox_post_always(m, item_new(3)));
    assert_int_equal(freed, 2);
    pthread_join(thread, NULL);
    mailbox_free(m);
}

struct poster {
    struct mailbox *m;
    unsigned number;
};

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < EACH; i++)
        mailbox_post(p->m, item_new(p->number * EACH + i));
    return NULL;
}

/* Checks a batch: each poster's items come in its order, none is lost. */
struct tally {
    unsigned next[POSTERS];
    unsigned items, batches;
    struct event_base *base;
};

static void tally_batch(void *ctx, void **items, size_t n)
{
    struct tally *t = ctx;
    t->batches++;
    for (size_t i = 0; i < n; i++) {
        unsigned value = *(unsigned *)items[i];
        assert_int_equal(value % EACH, t->next[value / EACH]++);
        free(items[i]);
    }
    t->items += (unsigned)n;
    if (t->base && t->items == POSTERS * EACH)
        event_base_loopbreak(t->base);
}

static void post_from_threads(struct mailbox *m, pthread_t threads[POSTERS], struct poster posters[POSTERS])
{
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){m, i};
        pthread_create(&threads[i], NULL, post_many, &posters[i]);
    }
}

static void many_threads_to_a_blocking_reader(void **state UNUSED)
{
    struct mailbox *m = mailbox_new(POSTERS * EACH, item_free);
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    struct tally t = {0};
    void **items;
    post_from_threads(m, threads, posters);
    while (t.items < POSTERS * EACH) {
        size_t n = mailbox_take_all(m, 10000, &items);
        assert_true(n > 0);
        tally_batch(&t, items, n);
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    mailbox_free(m);
}

static void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    event_base_loopbreak(arg);
}

static void many_threads_to_an_event_loop(void **state UNUSED)
{
    struct event_base *base = event_base_new();
    struct mailbox *m = mailbox_new(POSTERS * EACH, item_free);
    struct tally t = {.base = base};
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    struct timeval wait = {.tv_sec = 30};
    assert_int_equal(mailbox_watch(m, base, tally_batch, &t), 0);
    struct event *deadline = evtimer_new(base, on_deadline, base);
    evtimer_add(deadline, &wait);
    post_from_threads(m, threads, posters);
    event_base_dispatch(base);
    assert_int_equal(t.items, POSTERS * EACH);
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    event_free(deadline);
    mailbox_free(m);
    event_base_free(base);
}

static void one_wake_up_for_a_batch(void **state UNUSED)
{
    struct event_base *base = event_base_new();
    struct mailbox *m = mailbox_new(1000, item_free);
    struct tally t = {0};
    assert_int_equal(mailbox_watch(m, base, tally_batch, &t), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(mailbox_post(m, item_new(i)));
    for (int i = 0; i < 3; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(t.batches, 1);
    assert_int_equal(t.items, 1000);
    mailbox_free(m);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_bound),
        cmocka_unit_test(waiting_ends_at_its_time),
        cmocka_unit_test(a_post_wakes_the_reader),
        cmocka_unit_test(closing_wakes_the_reader),
        cmocka_unit_test(many_threads_to_a_blocking_reader),
        cmocka_unit_test(many_threads_to_an_event_loop),
        cmocka_unit_test(one_wake_up_for_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
