/* json_patch: RFC 7396 merge patch on text, without a tree: what the patch does not touch keeps its bytes and
 * its place. The members of each patch object are sorted once, so that a large patch on a large target costs
 * n log n. */
#include <string.h>

#include "base/mem.h"
#include "wire/json_scan.h"

/* A member of a patch object. key comes first: the array is sorted and searched with key_compare. */
struct change {
    struct key key;
    struct span raw_key, value;
    bool used;
};

static void merge(const struct span *target, struct span patch, struct str *out);

static size_t changes_get(struct span patch, struct change **ret_list)
{
    struct json_iter it = json_iter_init(patch);
    struct change *list = NULL;
    size_t n = 0, cap = 0;
    for (struct span key, value; json_iter_next(&it, &key, &value);) {
        ARRAY_GROW(list, n, cap);
        list[n++] = (struct change){key_init(key.p), key, value, false};
    }
    *ret_list = list;
    return n;
}

static void put_key(struct str *out, struct span key, bool *first)
{
    if (!*first)
        str_putc(out, ',');
    *first = false;
    str_add(out, key.p, key.n);
    str_putc(out, ':');
}

static int by_place(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    return (x->key.quote > y->key.quote) - (x->key.quote < y->key.quote);
}

/* The target's members: dropped, merged or as they were. */
static void merge_members(struct span target, struct change *list, size_t n, struct str *out, bool *first)
{
    struct json_iter it = json_iter_init(target);
    for (struct span key, value; json_iter_next(&it, &key, &value);) {
        struct key wanted = key_init(key.p);
        struct change *c = n ? bsearch(&wanted, list, n, sizeof *list, key_compare) : NULL;
        if (c)
            c->used = true;
        if (c && *c->value.p == 'n')
            continue;
        put_key(out, key, first);
        if (c)
            merge(&value, c->value, out);
        else
            str_add(out, value.p, value.n);
    }
}

static void merge(const struct span *target, struct span patch, struct str *out)
{
    AUTOFREE struct change *list = NULL;
    bool first = true;
    if (*patch.p != '{') {
        str_add(out, patch.p, patch.n);
        return;
    }
    size_t n = changes_get(patch, &list);
    str_putc(out, '{');
    if (target && *target->p == '{') {
        if (n)
            qsort(list, n, sizeof *list, key_compare);
        merge_members(*target, list, n, out, &first);
        if (n)
            qsort(list, n, sizeof *list, by_place);
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].used || *list[i].value.p == 'n')
            continue;
        put_key(out, list[i].raw_key, &first);
        merge(NULL, list[i].value, out);
    }
    str_putc(out, '}');
}

int json_merge_patch(const char *target, size_t target_n, const char *patch, size_t patch_n,
                     struct str *ret_text, struct err *e)
{
    int rc = json_check(patch, patch_n, e);
    if (rc == 0 && target)
        rc = json_check(target, target_n, e);
    if (rc < 0)
        return rc;
    struct span old = target ? json_trim((struct span){target, target_n}) : (struct span){NULL, 0};
    merge(target ? &old : NULL, json_trim((struct span){patch, patch_n}), ret_text);
    return 0;
}
