/* doctor_repair: the part of skep doctor that mends the database of a stopped node. */
#ifndef SKEP_SKEP_DOCTOR_REPAIR_H
#define SKEP_SKEP_DOCTOR_REPAIR_H

#include "skep/cli.h"
#include "skep/verb.h"

/* For doctor's table of options. */
#define DOCTOR_REPAIR_OPTION                                                                                 \
    {                                                                                                        \
        .name = "repair", .kind = OPT_TEXT, .value = "DIR", .complete = COMPLETE_FOLDER,                     \
        .help = "mend the damaged database of the stopped node in this folder"                               \
    }

int doctor_repair(struct cli *c, struct err *e);

#endif
