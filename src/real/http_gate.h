/* http_gate: how many connections one address may have at once, and how fast it may open them.
 *
 * Each address has a bucket of tokens that fills with `per_s`; a connection takes one. Who is too fast by
 * less than a second waits its turn, who is faster is refused: a busy client notices a delay, a flood is cut
 * off before any of it costs a TLS handshake. IPv6 addresses count by their /64, which is what one customer
 * has. Decides only; accepts, closes and waits nowhere. Times are the caller's, in ms.
 */
#ifndef SKEP_REAL_HTTP_GATE_H
#define SKEP_REAL_HTTP_GATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct http_gate;
struct http_guest; /* an address with a connection */

#define HTTP_GATE_REFUSED INT64_C(-1)

/* per_s: new connections of one address a second, bursts of two seconds' worth. open_max: its connections at
 * once. */
struct http_gate *http_gate_new(unsigned per_s, size_t open_max);
/* All guests must have left. NULL is allowed. */
void http_gate_free(struct http_gate *g);

/* A connection from this address. How many ms it must wait before anything is done for it, and *ret_guest,
 * for http_gate_leave; or HTTP_GATE_REFUSED. */
int64_t http_gate_enter(struct http_gate *g, const struct sockaddr *from, int64_t now_ms,
                        struct http_guest **ret_guest);
/* The connection is closed. NULL is allowed. */
void http_gate_leave(struct http_guest *guest);
/* A count that the caller keeps of an address: its unfinished handshakes. 0 at first. */
size_t *http_gate_unfinished(struct http_guest *guest);
/* Addresses that are remembered. */
size_t http_gate_count(const struct http_gate *g);

#endif
