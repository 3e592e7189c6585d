/* A real node, its peers and its worker, of whom the input decides what they say: pings, pull requests,
 * pages, rows of any table, RESYNC, comparisons, calls for others, mail, lines of a channel, requests, ends
 * of processes, rows that rot, and how much time passes between.
 *
 *   input := (what u8, bytes n u16 little-endian, bytes)*        what: an enum what; + 0x80: of C, not of B
 *
 * Whatever they say, nothing breaks, and every request gets exactly one answer. peer/rig.h is the world of
 * it, peer/made.h what is made of a few bytes, peer/kept.h why it is fast. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/ensure.h"
#include "peer/made.h"
#include "world/event.h"

#define EVENTS_MAX 96 /* of one input */
#define LANES      7
#define TWICE_OF   512 /* each so many-th input runs twice, and must do the same */

enum what {
    WHAT_PING,
    WHAT_PULL,
    WHAT_PAGE,    /* the answer to our pull */
    WHAT_MAIL,    /* its messages */
    WHAT_LINE,    /* of the worker that was spawned last */
    WHAT_REQUEST, /* "METHOD path?query", a line break, the body */
    WHAT_PONG,    /* the answer to our ping */
    WHAT_MAILED,  /* the answer to our mail: a status */
    WHAT_FAILED,  /* how a call failed */
    WHAT_SPAWNED,
    WHAT_ENDED,     /* exit status, signal */
    WHAT_TIME,      /* ms, u16; of three bytes: s */
    WHAT_GOOD_PEER, /* the peers answer as they should, for so many turns */
    WHAT_STOP,
    WHAT_KEEPER,
    WHAT_ROWS, /* a page of rows that are rows of their tables: see peer/made.h */
    WHAT_POST, /* path u8, what follows after who it is: another message of the peer */
    WHAT_THIRD,
    WHAT_WAY,    /* how B is reached from now on: enum way_to_b */
    WHAT_ANSWER, /* to a call: lane u8, status u8, bytes */
    WHAT_MADE_PULL,
    WHAT_MADE_PAGE,
    WHAT_MADE_RESYNC,
    WHAT_ASK_RESYNC,
    WHAT_RELAY,
    WHAT_RELAYED,
    WHAT_COMPARED,
    WHAT_ASK_COMPARE,
    WHAT_ROT,
    WHAT_RESTART, /* without a goodbye */
    WHAT_N
};

static enum req_method method_take(const char **p, const char *end)
{
    for (int m = HTTP_M_GET; m < HTTP_M_OTHER; m++) {
        const char *word = api_method_word((enum req_method)m);
        size_t n = strlen(word);
        if ((size_t)(end - *p) > n && memcmp(*p, word, n) == 0 && (*p)[n] == ' ') {
            *p += n + 1;
            return (enum req_method)m;
        }
    }
    return HTTP_M_OTHER;
}

/* With an Idempotency-Key if the first line has a third word. */
static void request(struct rig *g, const char *p, size_t n)
{
    const char *end = p + n, *nl = n ? memchr(p, '\n', n) : NULL;
    enum req_method method = method_take(&p, nl ? nl : end);
    AUTOFREE char *path = mem_copy(p, (size_t)((nl ? nl : end) - p));
    struct request *r = request_new(g, method, path, nl ? nl + 1 : "", nl ? (size_t)(end - nl) - 1 : 0);
    char *key = strchr(r->path, ' ');
    if (key) {
        *key = 0;
        r->idempotency_key = mem_dup(key + 1);
    }
    char *query = strchr(r->path, '?');
    if (query) {
        *query = 0;
        r->query = mem_dup(query + 1);
    }
    r->who.role = ROLE_ADMIN;
    snprintf(r->who.name, sizeof r->who.name, "token:fuzz");
    if (strcmp(r->path, "/v1/peer/mail") == 0)
        r->who = (struct principal){.role = ROLE_PEER, .node = mate_b.id};
    asked(g, r);
}

static void post(struct rig *g, const struct mate *by, const char *p, size_t n)
{
    static const char *const paths[] = {RESYNC, COMPARE, RELAY_PATH};
    peer_posts(g, by, paths[byte(p, n, 0) % COUNT(paths)], p + (n > 0), n - (n > 0));
}

static uint64_t run_of(const struct rig *g)
{
    return g->runs_n ? g->runs[(g->runs_n - 1) % RUNS_MAX] : 0;
}

static void child(struct rig *g, enum what what, const char *p, size_t n)
{
    struct event ev = {.run = run_of(g)};
    if (what == WHAT_LINE) {
        ev.kind = EV_CHILD_LINE;
        ev.bytes = mem_copy(p, n);
        ev.bytes_n = n;
    } else if (what == WHAT_SPAWNED) {
        ev.kind = EV_CHILD_SPAWNED;
        ev.pid = 4711;
    } else {
        ev.kind = n > 2 ? EV_CHILD_FAILED : EV_CHILD_EXITED;
        ev.error = 2;
        ev.exit_status = (int)byte(p, n, 0);
        ev.signal = (int)byte(p, n, 1) % 65;
    }
    turn(g, ev);
}

static void answer_raw(struct rig *g, const struct mate *by, const char *p, size_t n)
{
    static const int statuses[] = {200, 200, 409, 503, 400, 0};
    struct peer_call *call = call_take(g, by, (enum net_lane)(byte(p, n, 0) % LANES));
    size_t head = n < 2 ? n : 2;
    answered(g, call, statuses[byte(p, n, 1) % COUNT(statuses)], p + head, n - head);
}

static void happens(struct rig *g, enum what what, const struct mate *by, const char *p, size_t n)
{
    struct feed f = {p, n};
    switch (what) {
    case WHAT_PING:
        pinged(g, &by->id, p, n);
        return;
    case WHAT_PULL:
        pulled(g, &by->id, p, n);
        return;
    case WHAT_PAGE:
        answered(g, call_take(g, by, LANE_BULK), 200, p, n);
        return;
    case WHAT_MAIL:
        peer_posts(g, by, "/v1/peer/mail", p, n);
        return;
    case WHAT_ROWS:
        make_rows(g, by, f);
        return;
    case WHAT_POST:
        post(g, by, p, n);
        return;
    case WHAT_REQUEST:
        request(g, p, n);
        return;
    case WHAT_PONG:
        answered(g, call_take(g, by, LANE_CONTROL), 200, p, n);
        return;
    case WHAT_MAILED:
        answered(g, call_take(g, by, LANE_FORWARD), byte(p, n, 0) ? 200 : 503, p, n);
        return;
    case WHAT_FAILED:
        failed(g, call_take(g, by, (enum net_lane)(byte(p, n, 0) % LANES)),
               (enum net_failure)(byte(p, n, 1) % (NET_UNREACHABLE + 1)));
        return;
    case WHAT_LINE:
    case WHAT_SPAWNED:
    case WHAT_ENDED:
        child(g, what, p, n);
        return;
    case WHAT_TIME:
        pass(g, (int64_t)(byte(p, n, 0) | byte(p, n, 1) << 8) * (n > 2 ? 1000 : 1));
        return;
    case WHAT_GOOD_PEER:
        good_peer(g, (int)byte(p, n, 0) % 32);
        return;
    case WHAT_STOP:
        turn(g, (struct event){.kind = n ? EV_STOP : EV_PEER_CLOSED, .node = by->id});
        return;
    case WHAT_KEEPER:
        turn(g, (struct event){.kind = EV_KEEPER_DIED});
        return;
    case WHAT_THIRD:
        third_comes(g);
        return;
    case WHAT_WAY:
        g->way = (enum way_to_b)(byte(p, n, 0) % WAYS);
        return;
    case WHAT_ANSWER:
        answer_raw(g, by, p, n);
        return;
    case WHAT_MADE_PULL:
        make_pull(g, by, f);
        return;
    case WHAT_MADE_PAGE:
        make_page(g, by, f);
        return;
    case WHAT_MADE_RESYNC:
        make_resync_page(g, by, f);
        return;
    case WHAT_ASK_RESYNC:
        make_resync_ask(g, by, f);
        return;
    case WHAT_RELAY:
        make_relay(g, by, f);
        return;
    case WHAT_RELAYED:
        make_relayed(g, by, f);
        return;
    case WHAT_COMPARED:
        make_comparison(g, by, f);
        return;
    case WHAT_ASK_COMPARE:
        make_compare_ask(g, by, f);
        return;
    case WHAT_ROT:
        make_rot(g, f);
        return;
    case WHAT_RESTART:
        rig_restart(g);
        return;
    case WHAT_N:
        return;
    }
}

/* A sum of all that the node said. */
static uint64_t run(const uint8_t *data, size_t n)
{
    struct rig g = {0};
    const char *p = (const char *)data, *end = p + n;
    rig_open(&g);
    for (int i = 0; i < EVENTS_MAX && end - p >= 3; i++) {
        enum what what = (enum what)((byte(p, 3, 0) & 0x7f) % WHAT_N);
        const struct mate *by = byte(p, 3, 0) & 0x80 ? &mate_c : &mate_b;
        size_t bytes = byte(p, 3, 1) | byte(p, 3, 2) << 8;
        p += 3;
        if (bytes > (size_t)(end - p))
            bytes = (size_t)(end - p);
        happens(&g, what, by, p, bytes);
        p += bytes;
    }
    rig_settle(&g);
    rig_close(&g);
    return g.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static unsigned count;
    uint64_t said = run(data, n);
    if (++count % TWICE_OF == 1)
        ensure(run(data, n) == said, "what one input left behind changes the next one");
    return 0;
}
