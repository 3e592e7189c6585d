/* file: whole small files, read with a bound and written so that a crash leaves the old or the new one. */
#ifndef SKEP_REAL_FILE_H
#define SKEP_REAL_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* Reads a regular file of at most bytes_max into ret (replaced). ret_mode, when not NULL, gets its
 * permission bits. SKEP_ENOTFOUND when there is none, SKEP_EFORBIDDEN when we may not read it,
 * SKEP_ETOOLARGE, SKEP_EARG for a directory, a pipe or a device, SKEP_EIO otherwise; ret is empty then. */
int file_read(const char *path, size_t bytes_max, struct str *ret, mode_t *ret_mode, struct err *e);

/* Puts the bytes at path with exactly this mode: a temporary file beside it, fsync, rename, fsync of the
 * folder. SKEP_EDISKFULL or SKEP_EIO; what was at path is untouched then. */
int file_replace(const char *path, mode_t mode, const void *bytes, size_t n, struct err *e);
/* The same, but refuses (SKEP_ETAKEN) when something is at path, also against a race. */
int file_create(const char *path, mode_t mode, const void *bytes, size_t n, struct err *e);

#endif
