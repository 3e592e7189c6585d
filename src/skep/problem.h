/* problem: a problem document (RFC 9457) becomes a struct err. */
#ifndef SKEP_SKEP_PROBLEM_H
#define SKEP_SKEP_PROBLEM_H

#include <stddef.h>

#include "base/err.h"

/* Of an answer of 300 and up, whatever its body is. Always returns a code below 0. */
int problem_err(int status, const char *body, size_t n, struct err *e);

#endif
