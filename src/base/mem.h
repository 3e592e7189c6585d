/* mem: memory that cannot fail (out of memory aborts), and cleanup attributes.
 *
 * Ownership is readable from a signature: `const char *` is borrowed, a returned `char *` is yours, a
 * parameter marked TAKES is gone after the call, also when the call fails.
 */
#ifndef SKEP_BASE_MEM_H
#define SKEP_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define TAKES
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define UNUSED       __attribute__((unused))
#define CLEANUP(f)   __attribute__((cleanup(f)))

void *mem_alloc(size_t bytes);               /* zeroed */
void *mem_array(size_t count, size_t bytes); /* zeroed, overflow checked */
void *mem_resize(void *p, size_t count, size_t bytes);
char *mem_dup(const char *s);                /* NULL gives NULL */
void *mem_copy(const void *p, size_t bytes); /* with a 0 byte behind it that does not count */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline void mem_free_ptr(void *p)
{
    free(*(void **)p);
}
/* A local that owns what malloc gave. */
#define AUTOFREE CLEANUP(mem_free_ptr)

/* Moves a pointer out, leaving NULL behind. */
#define TAKE(p)                                                                                              \
    ({                                                                                                       \
        __typeof__(p) taken_ = (p);                                                                          \
        (p) = NULL;                                                                                          \
        taken_;                                                                                              \
    })

/* Replaces an owned string by a copy of another. */
void mem_replace(char **p, const char *s);

/* Makes room for one more element in a growing array: ptr, count and capacity are lvalues. */
#define ARRAY_GROW(ptr, count, cap)                                                                          \
    do {                                                                                                     \
        if ((count) == (cap)) {                                                                              \
            (cap) = (cap) ? (cap)*2 : 8;                                                                     \
            (ptr) = mem_resize((ptr), (cap), sizeof *(ptr));                                                 \
        }                                                                                                    \
    } while (0)

#endif
