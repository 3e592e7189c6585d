#include "node/crasher.h"

#include <stdio.h>
#include <string.h>

#include "node/brain.h"

#define META_KEY "crashers" /* "actor hlc ends;…" */
#define ENDS_MAX 2

static void read_meta(struct crashers *c, const char *text)
{
    long long actor, hlc;
    int ends;
    for (; text && c->n < CRASHERS_MAX && sscanf(text, "%lld %lld %d;", &actor, &hlc, &ends) == 3;
         text = strchr(text, ';'), text = text ? text + 1 : NULL)
        c->rows[c->n++] = (struct crasher){actor, hlc, ends};
}

static int write_meta(struct node *n)
{
    AUTOSTR struct str s = STR_INIT;
    for (int i = 0; i < n->crashers.n; i++)
        str_printf(&s, "%lld %lld %d;", (long long)n->crashers.rows[i].actor,
                   (long long)n->crashers.rows[i].hlc, n->crashers.rows[i].ends);
    return store_meta_set(n->store, META_KEY, str_get(&s), &n->fault);
}

static struct crasher *find(struct crashers *c, int64_t actor, int64_t hlc)
{
    for (int i = 0; i < c->n; i++)
        if (c->rows[i].actor == actor && c->rows[i].hlc == hlc)
            return &c->rows[i];
    return NULL;
}

int crashers_load(struct node *n)
{
    struct crashers *c = &n->crashers;
    const struct disk_note *note = n->w.disk.note;
    AUTOFREE char *text = store_meta(n->store, META_KEY);
    read_meta(c, text);
    if (!note || note->actor == 0)
        return 0;
    struct crasher *known = find(c, note->actor, note->hlc);
    if (!known) {
        c->n -= c->n == CRASHERS_MAX;
        memmove(c->rows + 1, c->rows, (size_t)c->n * sizeof *c->rows);
        c->n++;
        known = &c->rows[0];
        *known = (struct crasher){note->actor, note->hlc, 0};
    }
    known->ends++;
    log_warn(n->w.log, "the last run ended while it applied the row (%lld, %lld) of a peer, %s",
             (long long)known->actor, (long long)known->hlc,
             known->ends < ENDS_MAX ? "once" : "again: it is kept aside from now on");
    crasher_clear(n);
    return write_meta(n);
}

void crasher_note(struct node *n, const struct remote_row *row)
{
    if (n->w.disk.note)
        *n->w.disk.note = (struct disk_note){row->stamp.actor, row->stamp.hlc};
}

void crasher_clear(struct node *n)
{
    if (n->w.disk.note)
        *n->w.disk.note = (struct disk_note){0, 0};
}

const char *crasher_why(const struct node *n, const struct remote_row *row)
{
    const struct crasher *c =
        find((struct crashers *)(uintptr_t)&n->crashers, row->stamp.actor, row->stamp.hlc);
    return c && c->ends >= ENDS_MAX ? STORE_ASIDE_CRASHED : NULL;
}
