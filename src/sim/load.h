/* load: the standard load of a simulated cluster, and what its clients may conclude from their answers.
 *
 * Clients start, stop, look up and call counters, and register and remove external names, at random nodes.
 * For each name the load keeps what must be true of it, one operation at a time:
 *
 *  - there: the last definite answer says that it exists; a counter is at least at the last value replied.
 *  - absent: the last definite answer says that it does not.
 *  - unknown: an operation has no definite answer (timeout, lost connection, 5xx but 503). For FOG_US its
 *    effect may still come, and whatever is heard in that time proves nothing.
 *
 * Wrong in any case, and a violation at once: a second 201 for a name that is there, a 404 for a stop or a
 * call of one, a call whose reply does not exceed the last one, or exceeds the number of calls since the
 * start, an address "taken" by itself, and any 400, 401, 403, 405 or 500. A look-up is local and may be
 * behind: it proves nothing before the audit. What a fault suspends (sim_promised) proves nothing either.
 *
 * Some names have several clients at once (crowd.h), some clients talk (chat.h), count (tally.h), start many
 * at once (bulk.h), join groups and send messages (club.h), wait for hooks (bell.h), change the settings
 * of a swarm (rules.h), or are in each other's way (brawl.h).
 */
#ifndef SKEP_SIM_LOAD_H
#define SKEP_SIM_LOAD_H

#include "sim/sim.h"

struct load;

struct load_opts {
    int per_second;      /* operations of a simulated second */
    int children, names; /* how many of each there are to play with */
    bool rich;           /* also what a toy of a cluster has not: all those clients, and moves */
    bool gossip;         /* now and then somebody changes how the nodes tell each other of all this */
};
#define LOAD_OPTS_DEFAULT ((struct load_opts){20, 24, 12, false, false})

/* Adds its checks to the simulation, which must be freed first. */
struct load *load_new(struct sim *s, const struct load_opts *o);
void load_free(struct load *l);
/* Operations from now until that moment. */
void load_begin(struct load *l, int64_t until_us);
/* A few operations at once, for a fault that strikes in the midst of them. Only after load_begin. */
void load_burst(struct load *l);
/* Asks every node that is up about every name; the checks judge what came back. Run the simulation some
 * seconds longer before you ask them. Only after the last operation has been answered. */
void load_audit(struct load *l);
/* Operations without an answer yet. */
int load_open(const struct load *l);
/* The cluster has to tell of something yet, or to believe a clock, and takes its time; when it never does, a
 * check fails. */
bool load_owed(const struct load *l);
/* Notes how many operations ended how. */
void load_summary(struct load *l);

#endif
