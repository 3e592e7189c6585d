/* metadata: what a change of a process's metadata makes of it: a merge patch, and then increments. */
#ifndef SKEP_API_METADATA_H
#define SKEP_API_METADATA_H

#include "base/err.h"
#include "base/str.h"

/* old: the object as it is, NULL = {}. patch, increment: checked objects, {NULL, 0} = nothing. Each member of
 * increment is a whole number that is added to the member of that name; one that is absent or null counts as
 * 0. Appends the new object to ret_text (which may hold anything on failure). SKEP_EARG names
 * "increment.NAME": no whole number there or here, or a sum beyond 2^53, up to which every reader of JSON is
 * exact. */
int metadata_change(const char *old, struct span patch, struct span increment, struct str *ret_text,
                    struct err *e);

#endif
