/* place: the folder of a node on this machine, for verbs that look at files: sql, cert, doctor. */
#ifndef SKEP_SKEP_PLACE_H
#define SKEP_SKEP_PLACE_H

#include "skep/cli.h"

/* That of --node in the last `skep dev`; else that of a unix:// address; else the configured one; else that
 * of the first node of the last `skep dev`. *ret_dir is yours. */
int place_dir(const struct cli *c, char **ret_dir, struct err *e);

#endif
