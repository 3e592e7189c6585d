#include "real/http_gate.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

#define BURST_S      2
#define WAIT_S       1
#define FORGET_COUNT 4096 /* addresses without a connection, beyond which they are looked through */

struct http_guest {
    unsigned char address[16];
    size_t open, unfinished;
    double tokens;
    int64_t at_ms; /* of tokens */
    UT_hash_handle hh;
};

struct http_gate {
    double per_s;
    size_t open_max, forget_at;
    struct http_guest *guests;
};

struct http_gate *http_gate_new(unsigned per_s, size_t open_max)
{
    struct http_gate *g = mem_alloc(sizeof *g);
    g->per_s = per_s;
    g->open_max = open_max;
    g->forget_at = FORGET_COUNT;
    return g;
}

void http_gate_free(struct http_gate *g)
{
    struct http_guest *guest, *next;
    if (!g)
        return;
    HASH_ITER(hh, g->guests, guest, next)
    {
        HASH_DEL(g->guests, guest);
        free(guest);
    }
    free(g);
}

static void address_of(const struct sockaddr *from, unsigned char ret[16])
{
    memset(ret, 0, 16);
    if (from->sa_family == AF_INET) {
        memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        ret[10] = ret[11] = 0xff; /* as ::ffff:a.b.c.d, so that both kinds of listener count the same */
    } else if (from->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        memcpy(ret, a, IN6_IS_ADDR_V4MAPPED(a) ? 16 : 8);
    }
}

static void refill(const struct http_gate *g, struct http_guest *guest, int64_t now_ms)
{
    guest->tokens += (double)(now_ms - guest->at_ms) * g->per_s / 1000;
    if (guest->tokens > g->per_s * BURST_S)
        guest->tokens = g->per_s * BURST_S;
    guest->at_ms = now_ms;
}

/* Nothing is lost with an address that has no connection and a full bucket. What cannot be forgotten yet is
 * not looked through again before there is twice as much. */
static void forget(struct http_gate *g, int64_t now_ms)
{
    struct http_guest *guest, *next;
    HASH_ITER(hh, g->guests, guest, next)
    {
        refill(g, guest, now_ms);
        if (guest->open > 0 || guest->tokens < g->per_s * BURST_S)
            continue;
        HASH_DEL(g->guests, guest);
        free(guest);
    }
    size_t left = HASH_COUNT(g->guests);
    g->forget_at = left * 2 > FORGET_COUNT ? left * 2 : FORGET_COUNT;
}

static struct http_guest *guest_of(struct http_gate *g, const unsigned char address[16], int64_t now_ms)
{
    struct http_guest *guest;
    HASH_FIND(hh, g->guests, address, 16, guest);
    if (guest)
        return guest;
    if (HASH_COUNT(g->guests) >= g->forget_at)
        forget(g, now_ms);
    guest = mem_alloc(sizeof *guest);
    memcpy(guest->address, address, 16);
    guest->tokens = g->per_s * BURST_S;
    guest->at_ms = now_ms;
    HASH_ADD(hh, g->guests, address, 16, guest);
    return guest;
}

int64_t http_gate_enter(struct http_gate *g, const struct sockaddr *from, int64_t now_ms,
                        struct http_guest **ret_guest)
{
    unsigned char address[16];
    address_of(from, address);
    struct http_guest *guest = guest_of(g, address, now_ms);
    refill(g, guest, now_ms);
    double lacks = 1 - guest->tokens;
    if (guest->open >= g->open_max || lacks > g->per_s * WAIT_S)
        return HTTP_GATE_REFUSED;
    guest->tokens -= 1;
    guest->open++;
    *ret_guest = guest;
    return lacks <= 0 ? 0 : 1 + (int64_t)(lacks * 1000 / g->per_s);
}

void http_gate_leave(struct http_guest *guest)
{
    if (guest)
        guest->open--;
}

size_t *http_gate_unfinished(struct http_guest *guest)
{
    return &guest->unfinished;
}

size_t http_gate_count(const struct http_gate *g)
{
    return HASH_COUNT(g->guests);
}
