/* poke: whom a node tells that it has something new, and how long it waits before it asks untold.
 *
 * A poke says "pull from me". What a commit wrote decides who gets one. Rows of swarms that say
 * {"synchronization":"gossip"} are told to `recipients` others, drawn at random; whoever learns of such a row
 * by pulling pokes as many in its turn, once, and not the one it has it from. As soon as a commit wrote
 * anything else, all are told in a mesh, and FANOUT_PEERS beyond it, who pass that on in the same way.
 *
 * Pokes may be lost, and gossip may miss somebody: nothing rests on them. What has not come arrives with the
 * next pull that nobody asked for. One follows the other after sync_ms, or after the shortest
 * sync_interval_ms that any swarm says; which nodes serve it does not matter, for every node may be the home
 * of its names. Who waits for copies (cover.h), or writes for one node (poke_node), pokes whom it needs.
 *
 * Rumours by pulling that die with their first telling: Demers et al., "Epidemic Algorithms for Replicated
 * Database Maintenance", 1987, section 1.4.
 */
#ifndef SKEP_NODE_POKE_H
#define SKEP_NODE_POKE_H

#include "base/id.h"
#include "store/table.h"

struct node;
struct peer;

#define POKE_ALL ((size_t)-1)

struct gossip {
    bool known;       /* what the swarms say is read */
    int64_t pause_ms; /* between two pulls from a peer */
    struct rumour *list;
    size_t n, cap; /* swarms that gossip */
};

void poke_init(struct node *n);
void poke_fini(struct node *n);
/* Settings of swarms have changed: read again soon. */
void poke_changed(struct node *n);
/* Outside of handlers. */
void poke_tick(struct node *n);

/* Inside a transaction: to how many it is to be told what it wrote; POKE_ALL. */
size_t poke_written(struct node *n);
/* To how many a row is passed on that was merged. 0: whoever wrote it tells all. */
size_t poke_merged(struct node *n, enum table_id t, struct span key);

/* Some others that look well, each as likely as any, told apart by `fn`; not `but` (NULL: nobody). */
void peers_draw(struct node *n, size_t want, const struct peer *but,
                void (*fn)(struct node *n, struct peer *p));
/* So many others are poked at the end of this turn, those included that would be anyway. */
void poke_others(struct node *n, size_t count, const struct peer *but);
/* That node, or the home of that name, is among those who are poked after the commit; inside a handler. */
void poke_node(struct node *n, const struct id *node);
void poke_home(struct node *n, const char *swarm, const char *name);

#endif
