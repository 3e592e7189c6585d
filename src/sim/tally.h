/* tally: several clients count in the metadata of one process: each reads the number and its rev, and writes
 * the next number if that is still the rev (PATCH with If-Match).
 *
 * As long as answers bind (sim_promised), what was written by compare-and-set with a second copy (acks=2) is
 * one register: no increment is lost, none is made twice, whoever owns the name by then, and a read of the
 * owner sees all of them. So the history of each must be linearizable; the checker is linear.h's. A refused
 * increment (412) says nothing: the rev moves with the claim, too.
 */
#ifndef SKEP_SIM_TALLY_H
#define SKEP_SIM_TALLY_H

#include "sim/linear.h"
#include "sim/sim.h"

enum tally_kind {
    TALLY_ADD,  /* from arg2 to arg */
    TALLY_READ, /* got: the number */
    TALLY_KINDS
};
#define TALLY_ANY INT64_MIN /* who knows: the state of a history that begins in the middle */
bool tally_step(int64_t state, const struct hist_op *op, int64_t *ret_state);

struct tally;

/* That many processes. Adds its check; the simulation must be freed first. */
struct tally *tally_new(struct sim *s, int processes);
void tally_free(struct tally *t); /* accepts NULL */
/* One operation of each of some more clients, if there are not many already. */
void tally_act(struct tally *t);
/* Reads every number once more. Only after the last operation has been answered. */
void tally_audit(struct tally *t);
/* Operations without an answer yet. */
int tally_open(const struct tally *t);
/* Notes how many operations were judged. */
void tally_summary(struct tally *t);

#endif
