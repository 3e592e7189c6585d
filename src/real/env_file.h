/* env_file: NAME=value lines for the environment of children. */
#ifndef SKEP_REAL_ENV_FILE_H
#define SKEP_REAL_ENV_FILE_H

#include "base/err.h"

#define ENV_FILE_BYTES_MAX (1 << 20)

/* Reads path. Empty lines and those that begin with # are skipped; blanks around a line are dropped; a value
 * in single or double quotes loses them, nothing is expanded. *ret is a NULL-terminated list of
 * "NAME=value", yours to free with env_file_free; of one name the last line stays. SKEP_ECONFIG names
 * path:line, never a value. A file that everybody can read is refused: it is the place for secrets. */
int env_file_read(const char *path, char ***ret, struct err *e);
void env_file_free(char **list);

#endif
