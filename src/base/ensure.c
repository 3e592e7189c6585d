#include "base/ensure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void ensure_failed(const char *file, int line, const char *func, const char *cond, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "skep: bug at %s:%d in %s(): ensure(%s): ", file, line, func, cond);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}
