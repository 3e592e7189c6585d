/* Permille throughout; the decay is in units of 2^-32, which 29 steps leave well above zero. This file
 * refuses to know how a machine is measured. */
#include "core/score.h"

#define RUNQ_FULL      100
#define PROCESSES_FULL 10000

static int64_t within(int64_t value, int64_t max)
{
    return value < 0 ? 0 : value > max ? max : value;
}

int score_of(const struct score_sample *s)
{
    int64_t runq = within(s->runq, RUNQ_FULL) * SCORE_ONE / RUNQ_FULL;
    int64_t processes = within(s->processes, PROCESSES_FULL) * SCORE_ONE / PROCESSES_FULL;
    return (int)((4 * within(s->cpu_permille, SCORE_ONE) + 3 * runq + 2 * processes +
                  within(s->memory_permille, SCORE_ONE)) /
                 10);
}

void score_add(struct score_history *h, int score)
{
    h->newest = (h->newest + 1) % SCORE_KEPT;
    h->scores[h->newest] = (int16_t)within(score, SCORE_ONE);
    if (h->n < SCORE_KEPT)
        h->n++;
}

int score_mean(const struct score_history *h)
{
    uint64_t weight = UINT64_C(1) << 32, weights = 0, sum = 0;
    for (int i = 0; i < h->n; i++) {
        sum += weight * (uint64_t)h->scores[(h->newest + SCORE_KEPT - i) % SCORE_KEPT];
        weights += weight;
        weight = weight * 9 / 10;
    }
    return weights ? (int)((sum + weights / 2) / weights) : -1;
}

int64_t score_capacity(int score)
{
    int64_t left = SCORE_ONE - within(score, SCORE_ONE);
    return left > SCORE_LEAST ? left : SCORE_LEAST;
}

/* Least (given + 1) / capacity first, by cross-multiplying; then the biggest; then the id. */
static bool before(const struct score_node *a, const struct score_node *b)
{
    int64_t left = (a->given + 1) * b->capacity, right = (b->given + 1) * a->capacity;
    if (left != right)
        return left < right;
    return a->capacity != b->capacity ? a->capacity > b->capacity : id_compare(&a->id, &b->id) < 0;
}

int score_pick(const struct score_node *nodes, size_t n)
{
    int best = -1;
    for (size_t i = 0; i < n; i++)
        if (nodes[i].eligible && (best < 0 || before(&nodes[i], &nodes[best])))
            best = (int)i;
    return best;
}
