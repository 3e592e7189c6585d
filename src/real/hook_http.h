/* hook_http: what hooks send to somebody outside, over libcurl, on a thread of its own that only runs once
 * there was a call. Neither a receiver that hangs nor a name that does not resolve is felt by anybody else.
 *
 * Decides how a call is signed and whom it believes: TLS with the certificates of the system and those of
 * hook_ca, no redirections, no proxy, http only to this machine. Refuses to know what is sent, and to try
 * again.
 */
#ifndef SKEP_REAL_HOOK_HTTP_H
#define SKEP_REAL_HOOK_HTTP_H

#include "real/setup.h"
#include "world/net.h"

#define HOOK_HTTP_ANSWER_MAX (1u << 20) /* a longer answer is a failure */

struct hook_http;

/* answered: exactly once for each call, on the thread of hook_http; status 0: none, and text says why. */
struct hook_http *
hook_http_new(void (*answered)(void *ctx, uint64_t id, int status, char *text TAKES, size_t n), void *ctx);
/* Calls under way end without a word. Accepts NULL. */
void hook_http_free(struct hook_http *h);
/* From one thread. setup: its secrets and certificates; a reference is taken. */
void hook_http_call(struct hook_http *h, struct setup *setup, struct hook_call *c TAKES);

/* Appends the value of the header Skep-Signature: "t=SECONDS,v1=HEX", HEX being the HMAC-SHA-256 of
 * "SECONDS.BODY". */
void hook_sign(const char *secret, int64_t at_s, struct span body, struct str *ret);

#endif
