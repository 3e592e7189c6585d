/* tail: what children wrote, from the files that `skep-keeper --log` keeps (NAME.log, NAME.log.1, …). */
#ifndef SKEP_REAL_TAIL_H
#define SKEP_REAL_TAIL_H

#include <stdint.h>

#include "base/str.h"

#define TAIL_BYTES_MAX (256 * 1024)

/* See world/proc.h, tail. A place names a file by its inode and an offset in it, so it survives rotation; the
 * place in a file that is gone means the oldest one that is left. */
int tail_read(const char *dir, const char *log, int64_t lines, int64_t after, struct str *ret_text,
              int64_t *ret_next);

#endif
