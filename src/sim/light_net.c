/* light_net: the network between light nodes: when a message arrives, what it costs, whose answer it is. */
#include "sim/light_inside.h"

#define RESEND_US 200000
/* With the heads and TLS records of real nodes: between equal replicas a ping takes 204 bytes and its answer
 * 240, a pull 198 and its answer 153. */
#define REQUEST_BYTES 128
#define ANSWER_BYTES  138

void light_pack_free(struct pack *p)
{
    if (!p)
        return;
    vv_fini(&p->vv);
    vv_fini(&p->cursor);
    free(p->ranges);
    free(p);
}

static bool before(const struct message *a, const struct message *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void light_plan(struct light *l, struct message m)
{
    m.order = l->planned++;
    ARRAY_GROW(l->heap, l->heap_n, l->heap_cap);
    size_t i = l->heap_n++;
    for (; i > 0 && before(&m, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = m;
}

struct message light_next(struct light *l)
{
    struct message first = l->heap[0], last = l->heap[--l->heap_n];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < l->heap_n; i = k) {
        k += k + 1 < l->heap_n && before(&l->heap[k + 1], &l->heap[k]);
        if (before(&last, &l->heap[k]))
            break;
        l->heap[i] = l->heap[k];
    }
    l->heap[i] = last;
    return first;
}

/* TCP sends again what was lost. */
static int64_t delay_us(struct light *l)
{
    int64_t us = sim_draw(&l->prng, l->o.link);
    for (int64_t again = RESEND_US; prng_below(&l->prng, 1000000) < (uint64_t)l->o.loss_ppm; again *= 2)
        us += again;
    return us;
}

void light_send(struct light *l, struct message m, size_t bytes)
{
    m.at_us += l->now_us + delay_us(l);
    l->count.messages++;
    l->count.bytes += (int64_t)bytes;
    light_plan(l, m);
}

static void count_news(struct light *l, int from, enum word word, size_t bytes)
{
    if (word != WORD_PULL && word != WORD_POKE)
        return;
    l->count.news_messages++;
    l->count.news_bytes += (int64_t)bytes;
    node(l, from)->news_bytes += (int64_t)bytes;
}

struct call *light_request(struct light *l, int from, int to, enum word word, struct pack *p TAKES,
                           size_t bytes)
{
    struct light_node *n = node(l, from);
    ARRAY_GROW(n->calls, n->calls_n, n->calls_cap);
    struct call *c = &n->calls[n->calls_n++];
    *c = (struct call){
        .number = ++l->next_call, .word = word, .to = to, .sent_us = l->now_us, .about = to, .origin = -1};
    count_news(l, from, word, REQUEST_BYTES + bytes);
    light_send(l,
               (struct message){
                   .what = M_REQUEST, .word = word, .from = from, .to = to, .call = c->number, .pack = p},
               REQUEST_BYTES + bytes);
    return c;
}

void light_answer(struct light *l, const struct message *m, struct pack *p TAKES, size_t bytes)
{
    count_news(l, m->to, m->word, ANSWER_BYTES + bytes);
    light_send(
        l,
        (struct message){
            .what = M_ANSWER, .word = m->word, .from = m->to, .to = m->from, .call = m->call, .pack = p},
        ANSWER_BYTES + bytes);
}

bool light_call_take(struct light_node *n, uint64_t number, struct call *ret)
{
    for (size_t i = 0; i < n->calls_n; i++)
        if (n->calls[i].number == number) {
            *ret = n->calls[i];
            n->calls[i] = n->calls[--n->calls_n];
            return true;
        }
    return false;
}
