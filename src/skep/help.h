/* help: what the verb table says, as text. */
#ifndef SKEP_SKEP_HELP_H
#define SKEP_SKEP_HELP_H

#include "skep/verb.h"

/* Prints the list of verbs, of a family's verbs, or everything about one verb; v NULL = all. */
void help_print(const struct verb *family, const struct verb *v);

#endif
