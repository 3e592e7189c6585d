/* Samples are memory: a new commander has heard the same as the last one. This file refuses to know who gets
 * a process (choice.c). */
#include "node/board.h"

#include <string.h>

#include "node/brain.h"
#include "node/level.h"
#include "node/settings.h"
#include "wire/json.h"

#define TICK_MS  1000
#define LOOK_MS  2000 /* between two looks at what the swarms want */
#define FRESH_MS 3000 /* of what a peer said */
#define LATE_MS  1000 /* this node's own turns: what it measures then is not what it is like */

/* ---- samples ---- */

static int measured(struct node *n)
{
    struct machine_load l;
    if (doubt_late_ms(&n->doubt, n->now_ms) > LATE_MS || !n->w.proc.load ||
        !n->w.proc.load(n->w.proc.self, &l))
        return -1;
    return score_of(&(struct score_sample){l.cpu_permille, l.runq, n->children_run, l.memory_permille});
}

void board_heard(struct node *n, struct peer *p, int64_t said)
{
    if (said < 1 || said > SCORE_ONE + 1)
        return;
    p->score = (int)said - 1;
    p->score_at_ms = n->now_ms;
}

int64_t board_said(const struct node *n)
{
    return n->board.score + 1;
}

static void sample(struct node *n)
{
    struct peer *p;
    n->board.score = measured(n);
    if (n->board.score >= 0)
        score_add(&n->board.own, n->board.score);
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->score_at_ms && n->now_ms - p->score_at_ms < FRESH_MS)
            score_add(&p->scores, p->score);
}

/* ---- who leads ---- */

struct id board_commander(struct node *n)
{
    struct id best = n->self;
    int64_t born = n->view.self.weight > 0 && n->born ? n->born : INT64_MAX;
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link) {
        const struct view_node *v = view_find(&n->view, &p->id);
        if (!v || !v->member || !v->in_view || v->weight == 0 || p->left || p->born == 0)
            continue;
        if (p->born < born || (p->born == born && id_compare(&p->id, &best) < 0)) {
            born = p->born;
            best = p->id;
        }
    }
    return best;
}

/* ---- what swarms want ---- */

/* The shortest push_interval_ms; 0: none of them balances. */
static int64_t interval_wanted(struct node *n)
{
    struct swarm_row row = {0};
    struct stmt *q = store_ask(n->store, Q_SWARMS, "");
    int64_t least = 0;
    while (store_next(q, T_SWARM, &row, NULL) == 1) {
        struct settings s;
        if (!row.settings || !strstr(row.settings, "load_balancer"))
            continue;
        settings_parse(row.settings, &s);
        int64_t ms = strategy_int(&s.distribution, "push_interval_ms", SCORE_PUSH_MS);
        if (s.distribution.kind == DISTRIBUTION_LOAD_BALANCER && (least == 0 || ms < least))
            least = ms;
        settings_fini(&s);
    }
    row_fini(T_SWARM, &row);
    return least;
}

/* ---- the scoreboard ---- */

static int put(struct node *n, const struct id *id, const struct score_history *h, struct jw *j)
{
    char text[ID_TEXT];
    int score = score_mean(h);
    if (score < 0)
        return 0;
    AUTOFREE char *data =
        mem_printf("{\"capacity\":%lld,\"samples\":%d}", (long long)score_capacity(score), h->n);
    struct score_row row = {.node = text, .data = data, .at = n->real_ms, .permille = score};
    id_text(id, text);
    jw_kv_real(j, node_name_of(n, text), (double)score / SCORE_ONE);
    return store_save(n->store, T_SCORE, &row, &n->fault);
}

static int put_all(struct node *n, struct jw *j)
{
    struct peer *p;
    int rc = n->board.score >= 0 ? put(n, &n->self, &n->board.own, j) : 0;
    TAILQ_FOREACH (p, &n->peers, link)
        if (rc == 0 && p->score_at_ms && n->now_ms - p->score_at_ms < FRESH_MS && peer_placeable(n, p))
            rc = put(n, &p->id, &p->scores, j);
    return rc;
}

/* Who was not written now is busy elsewhere, away, or gone. all: nobody wants it any more. */
static int drop_others(struct node *n, bool all)
{
    struct score_row *rows = NULL, row = {0};
    size_t count = 0, cap = 0;
    struct stmt *q = store_ask(n->store, Q_SCORES, "");
    int rc;
    while ((rc = store_next(q, T_SCORE, &row, &n->fault)) == 1) {
        if (row.at == n->real_ms && !all)
            continue;
        ARRAY_GROW(rows, count, cap);
        rows[count++] = row;
        row = (struct score_row){0};
    }
    for (size_t i = 0; i < count; i++) {
        if (rc == 0)
            rc = store_kill(n->store, T_SCORE, &rows[i], 0, &n->fault);
        row_fini(T_SCORE, &rows[i]);
    }
    free(rows);
    row_fini(T_SCORE, &row);
    return rc;
}

static int push(struct node *n)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_object(&j, "scoreboard");
    int rc = put_all(n, &j);
    jw_object_close(&j);
    jw_kv_string(&j, "node", n->name);
    jw_object_close(&j);
    jw_end(&j);
    if (rc == 0)
        rc = drop_others(n, false);
    return rc < 0 ? rc : node_log(n, "scoreboard_updated", NULL, NULL, n->name, 0, NULL, str_get(&data));
}

static int lead(struct node *n)
{
    struct board *b = &n->board;
    struct id commander = board_commander(n);
    if (!id_equal(&commander, &n->self) || b->score < 0 || watch_frozen(n) || !node_open_now(n))
        return 0;
    if (b->looked_ms == 0 || n->now_ms - b->looked_ms >= LOOK_MS) {
        b->looked_ms = n->now_ms;
        b->interval_ms = interval_wanted(n);
        if (b->interval_ms == 0)
            return drop_others(n, true);
    }
    if (b->interval_ms == 0 || (b->push_ms && n->now_ms - b->push_ms < b->interval_ms))
        return 0;
    b->push_ms = n->now_ms;
    return push(n);
}

static int tick(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + TICK_MS);
    sample(n);
    int rc = lead(n);
    return rc < 0 ? rc : level_tick(n);
}

void board_begin(struct node *n)
{
    n->board.score = -1;
    n->board.timer.fire = tick;
    timer_set(n, &n->board.timer, n->now_ms + TICK_MS);
}

uint64_t board_signature(struct store *s)
{
    struct score_row row = {0};
    uint64_t sum = 0;
    struct stmt *q = store_ask(s, Q_SCORES, "");
    while (store_next(q, T_SCORE, &row, NULL) == 1)
        sum = prng_mix(sum ^ place_hash("", row.node)) + (uint64_t)row.permille;
    stmt_reset(q);
    row_fini(T_SCORE, &row);
    return sum;
}
