/* id: 128-bit random identifiers (cluster, node, boot, operation, entry), 32 lower-case hex digits as text.
 */
#ifndef SKEP_BASE_ID_H
#define SKEP_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id {
    unsigned char b[16];
};

#define ID_TEXT 33 /* bytes of an id as text, with the 0 */

bool id_is_zero(const struct id *id);
bool id_equal(const struct id *a, const struct id *b);
int id_compare(const struct id *a, const struct id *b);
/* Writes ID_TEXT bytes to text and returns it. */
const char *id_text(const struct id *id, char text[ID_TEXT]);
/* Exactly 32 hex digits. */
bool id_parse(const char *text, struct id *ret);

#endif
