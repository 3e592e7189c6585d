/* ear: a program that remembers what it was told, and who may be told what.
 *
 * Processes ear-0, ear-1 … run it; whatever they hear is a letter, a number of its own. A violation at once:
 * a letter that one name hears twice, that two hear though it was for one, that somebody hears who may not,
 * or that is heard though its sender was told that it never will be. At the end: a letter of which fewer
 * heard than its sender was told. What left skepd and was in the pipe when its reader ended counts as heard.
 */
#ifndef SKEP_SIM_EAR_H
#define SKEP_SIM_EAR_H

#include "sim/sim.h"

#define EARS_MAX 16

struct ears;

/* Makes the program known and adds the check; the simulation must be freed first. */
struct ears *ears_new(struct sim *s);
void ears_free(struct ears *e); /* accepts NULL */
/* A new letter: to one name (whoever it is), or to all of a group, which stays borrowed. */
int64_t ears_letter(struct ears *e, bool one, const void *group);
/* Asked when a name hears a letter to a group: whether it may, one that was written at that moment. */
void ears_guard(struct ears *e, bool (*may)(void *ctx, const void *group, int ear, int64_t written_us),
                void *ctx);
/* From now on only these (bits) may hear it: 0 = it was refused. */
void ears_only(struct ears *e, int64_t letter, unsigned ears);
/* Its sender was told that so many heard it. */
void ears_reached(struct ears *e, int64_t letter, int count);
/* Who heard it, as bits. */
unsigned ears_heard(const struct ears *e, int64_t letter);
/* Letters, and those among them that were heard. */
void ears_count(const struct ears *e, int64_t *ret_letters, int64_t *ret_heard);

#endif
