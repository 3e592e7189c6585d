/* invariant: what must be true of every node's store at every moment, whatever struck.
 *
 * After each turn of a node:
 *   a vector never falls within a run; one actor writes what belongs to an epoch of a session; nothing is
 *   written under an epoch of which a better claim was merged before.
 * Each other simulated second (less often when there are many rows), one node after the other, and at the end
 * all of them: "change" describes exactly the rows that are there, with their hashes; no row falls back to a
 * lower stamp; the epochs of a name never fall; a stamp has one content; a write changes something; no stamp
 * is further ahead than may be accepted; a row that a vector covers is there, or what replaced it; nothing
 *   that was deleted is back where its deletion was known; equal vectors mean equal rows; what announces
 *   chunks has them; its log tells of each claim (heard.h); tombstones are dropped only when every member had
 * them, or is too old to wait for. Each simulated second, over all processes: never two of a name on one
 * node; none without a claim that its node knew.
 *
 * It reads the databases with statements of its own, and rests on nothing of what it checks but the canonical
 * bytes of rows. The names in brackets in invariant.c, as in [I4], are those of the proofs that go with the
 * protocol.
 */
#ifndef SKEP_SIM_INVARIANT_H
#define SKEP_SIM_INVARIANT_H

#include "sim/sim.h"

struct invariants;

/* Adds its checks to the simulation, whose brains must be nodes (sim/brain.h), and which must be freed first.
 */
struct invariants *invariants_new(struct sim *s);
void invariants_free(struct invariants *v);
/* All of it, of every node that is up, now. Appends to why and returns false if something is broken. */
bool invariants_hold(struct invariants *v, struct str *why);

#endif
