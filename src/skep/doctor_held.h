/* doctor_held: the part of skep doctor that decides about rows that were set aside. */
#ifndef SKEP_SKEP_DOCTOR_HELD_H
#define SKEP_SKEP_DOCTOR_HELD_H

#include "skep/cli.h"
#include "skep/verb.h"

/* For doctor's table of options. */
#define DOCTOR_HELD_OPTIONS                                                                                  \
    {.name = "quarantine", .kind = OPT_FLAG, .help = "list the rows of a node that wait for a decision"},    \
        {.name = "export", .kind = OPT_FLAG, .help = "the same as JSON lines, with all that is known"},      \
        {.name = "keep", .kind = OPT_MANY, .value = "ID", .help = "write such a row again"},                 \
    {                                                                                                        \
        .name = "drop", .kind = OPT_MANY, .value = "ID", .help = "let go of such a row"                      \
    }

/* Whether one of them was given; then doctor_held does it. */
bool doctor_held_asked(const struct cli *c);
int doctor_held(struct cli *c, struct err *e);

#endif
