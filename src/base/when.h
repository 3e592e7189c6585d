/* when: RFC 3339 UTC text of real-time milliseconds, and back. Reads no clock. */
#ifndef SKEP_BASE_WHEN_H
#define SKEP_BASE_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#define WHEN_TEXT 32

/* 2026-01-31T12:00:00.123Z; writes into text and returns it. */
const char *when_text(int64_t real_ms, char text[WHEN_TEXT]);
bool when_parse(const char *text, int64_t *ret_real_ms);

#endif
