/* The reader of peer messages: reads of every kind in an order that the input itself chooses. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "wire/buf.h"

static void read_one(struct reader *r, unsigned op)
{
    switch (op % 9) {
    case 0:
        read_u8(r);
        break;
    case 1:
        read_u32(r);
        break;
    case 2:
        read_i64(r);
        break;
    case 3:
        read_varint(r);
        break;
    case 4: {
        struct span s = read_bytes(r);
        ensure(s.n == 0 || text_utf8_prefix(s.p, s.n) <= s.n, "a span of %zu bytes", s.n);
        break;
    }
    case 5: {
        AUTOFREE char *text = read_text(r);
        ensure(!text || !r->bad, "text of a bad reader");
        break;
    }
    case 6:
        read_id(r);
        break;
    case 7:
        ensure(read_count(r, op / 9 + 1) <= r->n / (op / 9 + 1), "a count that does not fit");
        break;
    case 8:
        read_bool(r);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t ops = n ? data[0] % 16 : 0;
    if (n < 1 + ops)
        return 0;
    struct reader r = reader_init(data + 1 + ops, n - 1 - ops);
    for (size_t i = 0; i < ops; i++) {
        size_t before = r.n;
        read_one(&r, data[1 + i]);
        ensure(r.bad || r.n < before, "a read that read nothing");
    }
    return 0;
}
