#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/when.h"

static const char *const names[] = {"debug", "info", "warn", "error"};

void log_write(const struct log *l, enum log_level level, const char *fmt, ...)
{
    char line[1024], at[WHEN_TEXT] = "";
    if (!l || l->fd < 0 || level < l->min)
        return;
    if (l->real_ms)
        when_text(l->real_ms(l->clock), at);
    int n = snprintf(line, sizeof line, "%s%s%-5s %s%s", at, at[0] ? " " : "", names[level],
                     l->who ? l->who : "", l->who ? ": " : "");
    va_list ap;
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    if ((size_t)n > sizeof line - 2)
        n = sizeof line - 2;
    line[n] = '\n';
    /* one write a line: lines of several threads never mix */
    if (write(l->fd, line, (size_t)n + 1) < 0)
        return;
}
