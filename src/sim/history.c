/* Keeps operations in the order of their begin. What they mean is the model's (linear.h). */
#include "sim/history.h"

#include "base/ensure.h"

void history_fini(struct history *h)
{
    free(h->ops);
    *h = (struct history){0};
}

void history_clear(struct history *h)
{
    ensure(h->open == 0, "%lld operations are open", (long long)h->open);
    h->n = 0;
}

size_t history_begin(struct history *h, int64_t now_us, int client, int kind, int64_t arg, int64_t arg2)
{
    ensure(h->n == 0 || h->ops[h->n - 1].begun_us <= now_us, "time runs back");
    ARRAY_GROW(h->ops, h->n, h->cap);
    h->ops[h->n] = (struct hist_op){
        .begun_us = now_us, .ended_us = INT64_MAX, .kind = kind, .arg = arg, .arg2 = arg2, .client = client};
    h->open++;
    return h->n++;
}

void history_end(struct history *h, size_t op, int64_t now_us, enum hist_end end, int verdict, int64_t got)
{
    ensure(op < h->n && h->ops[op].end == HIST_OPEN && end != HIST_OPEN, "operation %zu of %zu", op, h->n);
    struct hist_op *o = &h->ops[op];
    ensure(now_us >= o->begun_us, "it ends before it begins");
    o->end = end;
    o->ended_us = end == HIST_UNKNOWN ? INT64_MAX : now_us;
    o->verdict = end == HIST_OK ? verdict : 0;
    o->got = end == HIST_OK ? got : 0;
    h->open--;
}

void history_print(const struct history *h, const char *const *words, struct str *ret_text)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_op *o = &h->ops[i];
        str_printf(ret_text, "%zu: n%d %s %lld from %.6f", i, o->client + 1, words[o->kind],
                   (long long)o->arg, (double)o->begun_us / 1e6);
        if (o->end == HIST_OK)
            str_printf(ret_text, " to %.6f: %d %lld", (double)o->ended_us / 1e6, o->verdict,
                       (long long)o->got);
        else
            str_puts(ret_text, o->end == HIST_FAILED    ? ": refused"
                               : o->end == HIST_UNKNOWN ? ": nobody knows"
                                                        : ": open");
        str_putc(ret_text, '\n');
    }
}
