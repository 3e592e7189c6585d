/* ensure: an assertion that stays on in production and dies with a story.
 *
 * For bugs only. Nothing that a peer, a user or a disk can cause may ever reach one: those are
 * errors (base/err.h).
 */
#ifndef SKEP_BASE_ENSURE_H
#define SKEP_BASE_ENSURE_H

_Noreturn void ensure_failed(const char *file, int line, const char *func, const char *cond, const char *fmt,
                             ...) __attribute__((format(printf, 5, 6)));

/* ensure(cond, "story with %d", x): aborts with place, condition and story when cond is false. */
#define ensure(cond, ...)                                                                                    \
    do {                                                                                                     \
        if (__builtin_expect(!(cond), 0))                                                                    \
            ensure_failed(__FILE__, __LINE__, __func__, #cond, __VA_ARGS__);                                 \
    } while (0)

#define unreachable(...) ensure_failed(__FILE__, __LINE__, __func__, "unreachable", __VA_ARGS__)

#endif
