/* batch: starts and stops of many by the command line (skep start --batch, skep stop of several). */
#ifndef SKEP_SKEP_BATCH_H
#define SKEP_SKEP_BATCH_H

#include "skep/cli.h"

/* The body of a POST …/children, as far as the file says it. */
int batch_file(const char *file, struct str *ret_body, struct err *e);
/* skep start --batch FILE: a JSON document, an array of children, or a child a line. */
int batch_start(struct cli *c, const char *file, struct err *e);
/* The names on the line; "-": those on standard input, one a line. */
int batch_stop(struct cli *c, struct err *e);
/* Waits for the end of an operation and says what became of it. */
int batch_wait(struct cli *c, const char *id, struct err *e);

#endif
