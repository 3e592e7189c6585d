/* follow: GET /v1/events as a stream of server-sent events, one reader of this node's log at a time.
 *
 * Without Last-Event-ID it begins with what happens from now on. The frames are
 *
 *     id: NODE:SEQ
 *     data: {"id","type","at","node","swarm","name",…}
 *
 * All functions on the reader's thread, except follow_wanted.
 */
#ifndef SKEP_API_FOLLOW_H
#define SKEP_API_FOLLOW_H

#include "api/api.h"

#define FOLLOW_TYPE "text/event-stream"

struct follow;

/* Whether this is a request for a stream, and not for a page: a page has limit or after, or is asked for by
 * "Accept: application/json". */
bool follow_wanted(const struct request *r);
int follow_new(const struct route *route, const struct request *r, const struct reading *reading,
               struct follow **ret, struct err *e);
void follow_free(struct follow *f); /* accepts NULL */
/* Appends frames of what came since, of a bounded number. How many rows it looked at: 0 = it is up to date; <
 * 0. */
int follow_read(struct follow *f, const struct reading *reading, struct str *ret, struct err *e);

#endif
