#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"

static void *must(void *p)
{
    if (p)
        return p;
    static const char gone[] = "skep: out of memory\n";
    fwrite(gone, 1, sizeof gone - 1, stderr);
    abort();
}

void *mem_alloc(size_t bytes)
{
    return must(calloc(1, bytes ? bytes : 1));
}

void *mem_array(size_t count, size_t bytes)
{
    return must(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *mem_resize(void *p, size_t count, size_t bytes)
{
    size_t total;
    ensure(!__builtin_mul_overflow(count, bytes, &total), "%zu x %zu overflows", count, bytes);
    return must(realloc(p, total ? total : 1));
}

char *mem_dup(const char *s)
{
    return s ? must(strdup(s)) : NULL;
}

void *mem_copy(const void *p, size_t bytes)
{
    char *copy = must(malloc(bytes + 1));
    if (bytes)
        memcpy(copy, p, bytes);
    copy[bytes] = 0;
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : text);
}

void mem_replace(char **p, const char *s)
{
    char *copy = mem_dup(s);
    free(*p);
    *p = copy;
}
