/* own_ask: what is asked of a name: its start at the home, its end at the owner. Who may be asked, and when,
 * is said by own.c; what the answer is, by those who ask.
 */
#include <string.h>

#include "node/child.h"
#include "wire/json.h"

/* What a former life of the name left: its state must not reach the new one. */
static int forget_past(struct node *n, const struct own_start *s)
{
    struct checkpoint_row checkpoint = {.swarm = (char *)(uintptr_t)s->swarm,
                                        .name = (char *)(uintptr_t)s->name};
    struct metadata_row metadata = {.swarm = checkpoint.swarm, .name = checkpoint.name};
    int rc = store_kill(n->store, T_CHECKPOINT, &checkpoint, 0, &n->fault);
    if (rc == 0)
        rc = store_kill(n->store, T_METADATA, &metadata, 0, &n->fault);
    if (rc == 0)
        rc = group_forget(n, s->swarm, s->name);
    return rc < 0 ? rc : handoff_forget(n, s->swarm, s->name);
}

/* Its member "tag", where that is a text: what is asked for most has an index. NULL: none. */
static char *tag_of(struct span data)
{
    struct str tag = STR_INIT;
    struct span value = json_raw_member(data.p, data.n, "tag");
    return value.p && json_unquote(value, &tag) ? str_take(&tag) : NULL;
}

int own_metadata(struct node *n, const char *swarm, const char *name, int64_t epoch, struct span data)
{
    AUTOFREE char *text = mem_copy(data.p, data.n), *tag = tag_of(data);
    struct metadata_row row = {.swarm = (char *)(uintptr_t)swarm,
                               .name = (char *)(uintptr_t)name,
                               .data = text,
                               .epoch = epoch,
                               .tag = tag};
    node_wake(n, swarm, name);
    return store_set(n->store, T_METADATA, &row, &n->fault);
}

int own_metadata_tagged(struct node *n, const struct metadata_row *row, int64_t epoch)
{
    struct span data = {row->data, row->data ? strlen(row->data) : 0};
    bool old = data.n && !row->tag && json_check(data.p, data.n, NULL) == 0;
    AUTOFREE char *tag = old ? tag_of(data) : NULL;
    return tag ? own_metadata(n, row->swarm, row->name, epoch, data) : 0;
}

int own_start(struct node *n, const struct own_start *s, const struct id *target, int64_t *ret_epoch)
{
    struct name_row row = {.swarm = mem_dup(s->swarm),
                           .name = mem_dup(s->name),
                           .kind = mem_dup("child"),
                           .op = mem_dup(s->op),
                           .spec = mem_dup(s->spec)};
    own_claim(n, &row, target, s->over);
    int rc = forget_past(n, s);
    if (rc == 0 && s->metadata.n > 2)
        rc = own_metadata(n, s->swarm, s->name, row.epoch, s->metadata);
    if (rc == 0)
        rc = store_save(n->store, T_NAME, &row, &n->fault);
    if (rc == 0)
        rc = node_log(n, "child_claimed", row.swarm, row.name, node_name_of(n, row.owner), row.epoch, s->who,
                      NULL);
    node_wake(n, row.swarm, row.name);
    if (rc == 0)
        *ret_epoch = row.epoch;
    row_fini(T_NAME, &row);
    return rc;
}

bool own_may_end(struct node *n, const struct name_row *row, bool waits)
{
    char view[17];
    const struct child *child = child_find(n, row->swarm, row->name);
    own_signature(n, view);
    if (!child)
        return false;
    return child->s.run || !waits || (node_open_now(n) && row->view && strcmp(row->view, view) == 0);
}
