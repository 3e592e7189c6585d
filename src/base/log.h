/* log: one line per stopped error or change of state, on standard error (journald-friendly: "<N>" priority
 * prefix only when asked). Who stops an error logs it, once. Thread safe. The clock is handed in by
 * log_init, so that the simulator's lines carry virtual time.
 */
#ifndef SKEP_BASE_LOG_H
#define SKEP_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    enum log_level min;
    int fd;                     /* -1: silent */
    int64_t (*real_ms)(void *); /* may be NULL: no time in the lines */
    void *clock;
    const char *who; /* borrowed; the node's name */
};

void log_write(const struct log *l, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(l, ...) log_write((l), LOG_DEBUG, __VA_ARGS__)
#define log_info(l, ...)  log_write((l), LOG_INFO, __VA_ARGS__)
#define log_warn(l, ...)  log_write((l), LOG_WARN, __VA_ARGS__)
#define log_error(l, ...) log_write((l), LOG_ERROR, __VA_ARGS__)

#endif
