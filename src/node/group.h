/* group: who is in which group of processes.
 *
 * A member is a name of one life (its incarnation). The rows are an add-wins set: a join writes a row under a
 * tag of its own and takes away the rows it saw, a leave takes away the rows it saw; so a join that nobody
 * saw survives a leave. Rows of a former life of the name count for nothing, and are swept by its home.
 *
 * Functions run inside the caller's transaction and return 0 or a store's failure (< 0), unless said
 * otherwise.
 */
#ifndef SKEP_NODE_GROUP_H
#define SKEP_NODE_GROUP_H

#include "store/store.h"

struct node;

struct group_member {
    char *name, *metadata; /* JSON object */
    char *owner;           /* node id; NULL of an address */
    int64_t incarnation, at;
    bool address;
};

struct group_members {
    struct group_member *list;
    size_t n, cap;
    bool more; /* there are more behind the last */
};

/* The members behind `after`, in byte order of their names, at most limit of them. */
int group_members(struct store *s, const char *swarm, const char *group, const char *after, int64_t limit,
                  struct group_members *ret, struct err *e);
void group_members_fini(struct group_members *m);
/* The one of this name: 1, or 0 and nothing is filled in. */
int group_find(struct store *s, const char *swarm, const char *group, const char *name,
               struct group_member *ret, struct err *e);
void group_member_fini(struct group_member *m);
/* The stamp of the row that says so. 1, or 0: there is none. */
int group_member_stamp(struct store *s, const char *swarm, const char *group, const char *name,
                       struct stamp *ret, struct err *e);
/* What it does when a member fails: the word of its setting; "none" without one. Yours. */
char *group_restart(struct store *s, const char *swarm, const char *group);

/* The name in this life joins, or replaces its metadata. tag: unique to the join, the same when it is tried
 * again. ret_new: it was no member; ret_wrote: false if it all was so already. */
int group_join(struct node *n, const struct name_row *name, const char *group, const char *metadata,
               const char *tag, bool *ret_new, bool *ret_wrote);
/* Takes away what is seen of it there; *ret: how many rows. */
int group_leave(struct node *n, const char *swarm, const char *group, const char *name, size_t *ret);
/* The life of the name ends: with it every membership. */
int group_forget(struct node *n, const char *swarm, const char *name);
/* What an event about a membership says of it: JSON, appended. */
void group_data(const char *group, struct str *ret);
/* Everybody leaves. */
int group_empty(struct node *n, const char *swarm, const char *group);
/* A process of this name failed: what its groups want of the others is asked of their owners. */
int group_failed(struct node *n, const char *swarm, const char *name);
/* Looks at the next rows, and as the home of their names takes away those of a life that is over. */
int group_sweep(struct node *n);
void group_fini(struct node *n);

#endif
