/* notify: the only door to libsystemd, which a build may lack. */
#include "real/notify.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#ifdef SKEP_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

void notify_say(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
#ifdef SKEP_HAVE_SYSTEMD
    sd_notify(0, text);
#endif
}

int64_t notify_watchdog_ms(void)
{
#ifdef SKEP_HAVE_SYSTEMD
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 1000) : 0;
#else
    return 0;
#endif
}
