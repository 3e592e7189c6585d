/* notify: what the service manager is told (sd_notify). Nothing happens where there is none. */
#ifndef SKEP_REAL_NOTIFY_H
#define SKEP_REAL_NOTIFY_H

#include <stdint.h>

/* Lines as sd_notify takes them: "READY=1", "STATUS=…". */
void notify_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Within how many ms it wants to hear WATCHDOG=1; 0 = it does not. */
int64_t notify_watchdog_ms(void);

#endif
