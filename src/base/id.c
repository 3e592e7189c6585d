#include "base/id.h"

#include <string.h>

bool id_is_zero(const struct id *id)
{
    static const struct id zero;
    return id_equal(id, &zero);
}

bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

int id_compare(const struct id *a, const struct id *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

const char *id_text(const struct id *id, char text[ID_TEXT])
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof id->b; i++) {
        text[2 * i] = digit[id->b[i] >> 4];
        text[2 * i + 1] = digit[id->b[i] & 15];
    }
    text[ID_TEXT - 1] = 0;
    return text;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool id_parse(const char *text, struct id *ret)
{
    struct id id;
    for (size_t i = 0; i < sizeof id.b; i++) {
        int hi = nibble(text[2 * i]);
        int lo = hi < 0 ? -1 : nibble(text[2 * i + 1]);
        if (lo < 0)
            return false;
        id.b[i] = (unsigned char)(hi << 4 | lo);
    }
    if (text[ID_TEXT - 1])
        return false;
    *ret = id;
    return true;
}
