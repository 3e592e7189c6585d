/* ping: what a ping and its answer say, as bytes.
 *
 * Whom to ping, and what follows from an answer, is peer.c's.
 *
 *   ping   := cluster id, node id, name, url, actor i64, born i64, member u8, weight varint, score varint
 *   answer := cluster id, node id, name, url, actor i64, born i64, signature i64, brain age varint, real time
 * i64, member u8, weight varint, draining u8, left u8, load varint, version, life i64, score varint
 * and, to a run that is not the last one its node is known to have had: that one's actor i64, born i64, url
 * An older program's end before the life or the score.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
#include "wire/buf.h"

#define HLC_REAL_MS_MAX (INT64_MAX >> 16)

void ping_fini(struct ping *p)
{
    free(p->name);
    free(p->url);
    free(p->version);
    free(p->later.url);
}

bool peer_is_line(const char *text, size_t bytes_max)
{
    size_t n = text ? strlen(text) : 0;
    return n > 0 && n <= bytes_max && text_is_clean(text, n);
}

bool ping_decode(const char *body, size_t n, bool answer, struct ping *ret)
{
    struct reader r = reader_init(body, n);
    *ret = (struct ping){0};
    ret->cluster = read_id(&r);
    ret->id = read_id(&r);
    ret->name = read_text(&r);
    ret->url = read_text(&r);
    ret->actor = read_i64(&r);
    ret->born = read_i64(&r);
    if (answer) {
        ret->signature = read_i64(&r);
        ret->brain_age_ms = (int64_t)(read_varint(&r) & INT32_MAX);
        ret->real_ms = read_i64(&r);
    }
    ret->member = read_bool(&r);
    ret->weight = (int64_t)(read_varint(&r) & INT32_MAX);
    if (answer) {
        ret->draining = read_bool(&r);
        ret->left = read_bool(&r);
        ret->load = (int64_t)(read_varint(&r) & INT32_MAX);
        ret->version = read_text(&r);
        ret->life = r.n > 0 ? read_i64(&r) : 0; /* an older program says none */
    }
    if (r.n > 0)
        ret->score = (int64_t)(read_varint(&r) & INT32_MAX);
    if (answer && r.n > 0) {
        ret->later.actor = read_i64(&r);
        ret->later.born = read_i64(&r);
        ret->later.url = read_text(&r);
    }
    return !r.bad && (!ret->later.url || peer_is_line(ret->later.url, PEER_URL_MAX)) &&
           peer_is_line(ret->name, PEER_NAME_MAX) && peer_is_line(ret->url, PEER_URL_MAX) && ret->actor > 0 &&
           ret->born >= 0 && ret->real_ms >= 0 && ret->real_ms <= HLC_REAL_MS_MAX && !id_is_zero(&ret->id);
}

/* A run that was copied, or slept while another one began, hears of it here: that one's rows may be on no
 * node that it pulls from. */
static void later_run(const struct frozen *f, const struct ping *p, struct str *ret)
{
    for (int i = 0; i < f->nodes_n; i++) {
        const struct frozen_node *known = &f->nodes[i];
        if (!id_equal(&known->id, &p->id) || known->actor == p->actor || known->born <= p->born)
            continue;
        buf_i64(ret, known->actor);
        buf_i64(ret, known->born);
        buf_text(ret, known->url);
    }
}

int node_serve_ping(const struct frozen *f, int64_t brain_age_ms, int64_t real_ms, const char *body, size_t n,
                    struct str *ret, struct err *e)
{
    CLEANUP(ping_fini) struct ping p;
    if (!ping_decode(body, n, false, &p))
        return err_set(e, SKEP_EARG, "this is no ping");
    if (!id_equal(&p.cluster, &f->cluster))
        return err_set(e, SKEP_EFORBIDDEN, "this node belongs to another cluster");
    if (f->born == 0 && !id_equal(&p.id, &f->self)) /* only another one of our id may know of this run yet */
        return err_set(e, SKEP_ESETTLING, "this node has not begun its run yet");
    const struct frozen_node *self = frozen_node(f, f->name);
    buf_id(ret, &f->cluster);
    buf_id(ret, &f->self);
    buf_text(ret, f->name);
    buf_text(ret, f->url);
    buf_i64(ret, f->actor);
    buf_i64(ret, f->born);
    buf_i64(ret, (int64_t)f->signature);
    buf_varint(ret, brain_age_ms > 0 ? (uint64_t)brain_age_ms : 0);
    buf_i64(ret, real_ms);
    buf_u8(ret, f->member);
    buf_varint(ret, self ? (uint64_t)self->weight : PEER_WEIGHT);
    buf_u8(ret, f->draining);
    buf_u8(ret, f->left);
    buf_varint(ret, self ? (uint64_t)self->load : 0);
    buf_text(ret, f->version);
    buf_i64(ret, f->life);
    buf_varint(ret, (uint64_t)f->score);
    later_run(f, &p, ret);
    return 0;
}

void ping_write(struct node *n, struct str *ret)
{
    buf_id(ret, &n->cluster);
    buf_id(ret, &n->self);
    buf_text(ret, n->name);
    buf_text(ret, n->url);
    buf_i64(ret, n->actor);
    buf_i64(ret, n->born);
    buf_u8(ret, n->member && !n->resync.wanted && !watch_refused(n));
    buf_varint(ret, (uint64_t)n->view.self.weight);
    buf_varint(ret, (uint64_t)board_said(n));
}

bool ping_answer(struct node *n, const struct event *ev, struct ping *ret)
{
    *ret = (struct ping){0};
    return ev->status == 200 && ping_decode(ev->bytes, ev->bytes_n, true, ret) &&
           id_equal(&ret->cluster, &n->cluster);
}
