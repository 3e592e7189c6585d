/* One line of the channel as text and as its parts. Inner header of libskep: knows no socket. */
#ifndef SKEP_LIB_LINE_H
#define SKEP_LIB_LINE_H

#include <stddef.h>

#include "lib/skep.h"

/* Takes a line apart. text: n bytes and a 0, borrowed, and ret_line->text is it. *ret_parts is memory of
 * yours that the other members point into. 0, -EPROTO (no JSON object with a type) or -ENOMEM. */
int line_parse(const char *text, size_t n, struct skep_line *ret_line, char **ret_parts);

/* A member of a line to send. A NULL value is left out where `optional`, else -EINVAL. */
struct line_part {
    const char *member; /* NULL ends a list of parts */
    const char *value;
    enum { LINE_STRING, LINE_JSON } kind;
    int optional;
};

/* The line {"type":type, parts…} with its end; *ret_text (yours) and *ret_n. 0 or a code as in skep.h. */
int line_format(const char *type, const struct line_part *parts, char **ret_text, size_t *ret_n);

#endif
