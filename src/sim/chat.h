/* chat: clients that talk in sessions: entries, each sent again through another node until somebody says that
 * it is there, and turns that a worker runs.
 *
 * What is promised: an entry that was answered 201 is there, once and only once, on every node, in the
 * conversation or, if its writer was cut off or fenced, on a branch of it; the same key gives the same entry
 * through any node; the conversation is one chain, each entry behind its parent, and their numbers rise. What
 * may have been deleted while two sides did not hear of each other for longer than tombstones are kept is in
 * quarantine instead (GET /v1/quarantine). An answer binds when its node still had its files some time later.
 */
#ifndef SKEP_SIM_CHAT_H
#define SKEP_SIM_CHAT_H

#include "sim/sim.h"

struct chat;

/* Adds its check; the simulation must be freed first. */
struct chat *chat_new(struct sim *s, int sessions);
void chat_free(struct chat *c); /* accepts NULL */
/* One more thing that a client does: makes a session, or says something in one. */
void chat_act(struct chat *c);
/* Reads every session at every node that is up. Only after the last operation has been answered. */
void chat_audit(struct chat *c);
int chat_open(const struct chat *c);
void chat_summary(struct chat *c);

#endif
