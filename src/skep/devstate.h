/* devstate: where the last `skep dev` of this user left word of its cluster, so that commands work without
 * any flag. One file, $XDG_STATE_HOME/skep/dev.json (~/.local/state by default), mode 0600: the very object
 * that `skep dev -o json` prints.
 */
#ifndef SKEP_SKEP_DEVSTATE_H
#define SKEP_SKEP_DEVSTATE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* The path of the file; yours. NULL when there is neither XDG_STATE_HOME nor HOME. */
char *devstate_path(void);
/* The object, checked; false if there is none. */
bool devstate_read(struct str *ret_json);
int devstate_write(const struct str *json, struct err *e);
/* Removes the file if it is still about this object. */
void devstate_forget(const struct str *json);
/* The socket of its first node that accepts connections; yours. NULL if none does. */
char *devstate_socket(const struct str *json);
/* A member of the node of that name, or of the first node with NULL: "db". Yours; NULL if there is none. */
char *devstate_of(const struct str *json, const char *node, const char *member);

#endif
