/* alias: other names of a process. One is a row like that of an address, whose address is the process: so
 * everything that holds for addresses holds for it (who decides, two copies, what a merge does). It is bound
 * to one life of the process, its incarnation: it moves with it, outlives its restarts, and ends with it.
 * Whoever reads it looks whether that life goes on, so its end needs no word of anybody; the row is taken
 * away later.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"

#define AT_ONCE 200
#define GONE_MS 10000 /* a claim that is on its way here may bring that life back until then */

bool alias_is(const struct name_row *row)
{
    return row->kind && strcmp(row->kind, "address") == 0 && row->spec && row->address;
}

int alias_child(struct store *s, const struct name_row *row, struct name_row *ret, struct err *e)
{
    *ret = (struct name_row){.swarm = mem_dup(row->swarm), .name = mem_dup(row->address)};
    int rc = store_load(s, T_NAME, ret, e);
    if (rc != 1)
        return rc;
    return ret->kind && strcmp(ret->kind, "child") == 0 && ret->incarnation == row->since;
}

int alias_dead(struct store *s, const struct name_row *row, struct err *e)
{
    struct name_row child;
    if (!alias_is(row))
        return 0;
    int rc = alias_child(s, row, &child, e);
    row_fini(T_NAME, &child);
    return rc < 0 ? rc : rc == 0;
}

/* How long its process has been another one, or none. A tombstone that was dropped is old. */
static int gone_long(struct node *n, const struct name_row *row)
{
    struct name_row child = {.swarm = row->swarm, .name = row->address};
    struct stamp stamp = {0};
    int rc = store_version(n->store, T_NAME, &child, &stamp, NULL, &n->fault);
    return rc < 0 ? rc : n->real_ms - hlc_ms(stamp.hlc) >= GONE_MS;
}

static int sweep_one(struct node *n, const struct name_row *row)
{
    if (!own_is_home(n, row->swarm, row->name))
        return 0;
    int rc = gone_long(n, row);
    return rc == 1 ? own_end_address(n, row, 0, "name_released", NULL) : rc;
}

int aliases_sweep(struct node *n)
{
    struct name_row rows[AT_ONCE] = {0};
    size_t count = 0;
    int rc = 0;
    if (!node_open_now(n) || watch_frozen(n))
        return 0;
    struct stmt *q = store_ask(n->store, Q_ALIAS_DANGLING, "i", (int64_t)AT_ONCE);
    while (count < AT_ONCE && (rc = store_next(q, T_NAME, &rows[count], &n->fault)) == 1)
        count++;
    stmt_reset(q);
    for (size_t i = 0; i < count; i++) {
        rc = rc < 0 ? rc : sweep_one(n, &rows[i]);
        row_fini(T_NAME, &rows[i]);
    }
    return rc < 0 ? rc : 0;
}
