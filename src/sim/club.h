/* club: clients whose processes join groups, get other names, and are sent messages, to one or to all.
 *
 * As long as answers bind (sim_promised) and have a second copy:
 *
 *  - a group has exactly those as members whose join was answered, who have not left and whose life has not
 *    ended; an other name leads to the process that it was given to, until it is taken away or that life
 *    ends; and the same on every node.
 *
 * And whatever strikes (ear.h):
 *
 *  - a message or a call is heard once at most; once, if the answer says so, never, if it was refused; one to
 *    all by nobody who had left before.
 *
 * One change at a time is under way of each process; messages do not wait. What has no definite answer is not
 * known for FOG_US. At the end every node is asked, and what is sent to all then reaches all.
 */
#ifndef SKEP_SIM_CLUB_H
#define SKEP_SIM_CLUB_H

#include "sim/sim.h"

struct club;

/* Adds its checks; the simulation must be freed first. */
struct club *club_new(struct sim *s);
void club_free(struct club *c); /* accepts NULL */
void club_act(struct club *c);
/* Only after the last operation has been answered. */
void club_audit(struct club *c);
int club_open(const struct club *c);
void club_summary(struct club *c);

#endif
