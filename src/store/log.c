/* log: what happened here. One sequence of numbers, never given twice; bounded by age, as a whole, and for
 * each name, so that a busy one takes none of the others' room. What a name has lost leaves gaps in the
 * sequence, whose number is kept: so nobody has to count rows.
 */
#include <stdlib.h>

#include "store/inside.h"

#define LOOK_ROWS 5000 /* of names that had something to say since the last look */
#define GO_ROWS   1000
#define GAPS_KEY  "log_gaps"

int store_log(struct store *s, const struct log_entry *l, struct err *e)
{
    struct stmt *q = s->query[Q_LOG_ADD];
    stmt_i64(q, 1, s->clock->real_ms(s->clock->self));
    stmt_text(q, 2, l->type);
    stmt_text(q, 3, l->swarm);
    stmt_text(q, 4, l->name);
    stmt_text(q, 5, l->node);
    if (l->epoch)
        stmt_i64(q, 6, l->epoch);
    stmt_text(q, 7, l->who);
    stmt_text(q, 8, l->data);
    return stmt_run(q, e);
}

struct names {
    char **list; /* swarm, name, swarm, name … */
    size_t n, cap;
};

static void names_fini(struct names *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->list[i]);
    free(a->list);
}

/* Those of the next rows behind *after, which moves. */
static int names_look(struct store *s, int64_t *after, int64_t last, struct names *ret, struct err *e)
{
    int64_t to = last - *after > LOOK_ROWS ? *after + LOOK_ROWS : last;
    struct stmt *q = store_ask(s, Q_LOG_NAMES, "ii", *after, to);
    int rc;
    while ((rc = stmt_step(q, e)) == 1)
        for (int c = 0; c < 2; c++) {
            ARRAY_GROW(ret->list, ret->n, ret->cap);
            ret->list[ret->n++] = mem_dup(col_text(q, c));
        }
    *after = to;
    return rc;
}

static int trim_names(struct store *s, int64_t keep, int64_t *after, int64_t last, int64_t *gone,
                      struct err *e)
{
    CLEANUP(names_fini) struct names all = {0};
    int rc = names_look(s, after, last, &all, e);
    for (size_t i = 0; rc == 0 && i < all.n; i += 2) {
        rc = store_do(s, Q_LOG_TRIM_NAME, e, "ttii", all.list[i], all.list[i + 1], keep, (int64_t)LOOK_ROWS);
        *gone += store_number(s, Q_CHANGES, 0, "");
    }
    return rc;
}

int store_log_trim(struct store *s, const struct log_keep *k, int64_t *after, struct err *e)
{
    AUTOFREE char *text = store_meta(s, GAPS_KEY);
    int64_t first = store_number(s, Q_LOG_OLDEST, 0, ""), last = store_number(s, Q_LOG_NEWEST, 0, ""),
            gaps = text ? strtoll(text, NULL, 10) : 0, gone = 0;
    int64_t rows = last - first + 1 - gaps;
    if (last == 0)
        return 0;
    if (*after < first - 1)
        *after = first - 1;
    int rc = trim_names(s, k->of_name, after, last, &gone, e);
    int64_t over = rows - gone - k->rows;
    if (rc == 0)
        rc = store_do(s, Q_LOG_TRIM, e, "ii", k->from_ms, over < 0 ? 0 : over > GO_ROWS ? GO_ROWS : over);
    if (rc == 0)
        gone += store_number(s, Q_CHANGES, 0, "");
    int64_t now = last - store_number(s, Q_LOG_OLDEST, 0, "") + 1 - (rows - gone);
    if (rc < 0 || now == gaps)
        return rc;
    AUTOFREE char *left = mem_printf("%lld", (long long)now);
    return store_meta_set(s, GAPS_KEY, left, e);
}
