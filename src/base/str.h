/* str: a growing byte string. Always has a 0 byte behind its end; may hold any bytes. */
#ifndef SKEP_BASE_STR_H
#define SKEP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct str {
    char *p; /* NULL while empty and never written: use str_get */
    size_t n, cap;
};

#define STR_INIT ((struct str){NULL, 0, 0})

void str_fini(struct str *s);
void str_clear(struct str *s); /* empty, keeps the memory */
void str_reserve(struct str *s, size_t more);
void str_add(struct str *s, const void *bytes, size_t n);
void str_puts(struct str *s, const char *text);
void str_putc(struct str *s, char c);
void str_printf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_hex(struct str *s, const void *bytes, size_t n);
/* The bytes of hex digits, appended; false, with nothing appended, if they are none. */
bool str_unhex(struct str *s, const char *hex);
/* Borrowed, never NULL, 0-terminated. */
const char *str_get(const struct str *s);
/* Yours, never NULL, 0-terminated; s is empty afterwards. */
char *str_take(struct str *s);

#define AUTOSTR CLEANUP(str_fini)

/* Borrowed bytes. */
struct span {
    const char *p;
    size_t n;
};

bool text_is_utf8(const char *p, size_t n);
/* How many bytes from the start are whole, valid UTF-8 characters; n if all are. */
size_t text_utf8_prefix(const char *p, size_t n);
/* How many bytes the control character (C0, DEL, C1) takes that begins here; 0: none does. */
size_t text_control(const char *p, size_t n);
/* No control characters, valid UTF-8. */
bool text_is_clean(const char *p, size_t n);
/* Ends the text before the first byte that is no whole character, as where snprintf ran out of room. */
void text_whole(char *text);
bool text_starts(const char *s, const char *prefix);
/* A pattern with * and ?, as in allow_exec. */
bool text_matches(const char *pattern, const char *s);
/* A whole decimal number in the range, nothing else around it. */
bool text_i64(const char *s, int64_t min, int64_t max, int64_t *ret);

/* Standard base64 with padding. str_unbase64 fails (false) on any byte that does not belong. */
void str_base64(struct str *s, const void *bytes, size_t n);
bool str_unbase64(struct str *s, const char *text, size_t n);

#endif
