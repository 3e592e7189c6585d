/* swarm: which nodes serve a swarm, and how many of its processes each may have.
 *
 * A node serves a swarm if the settings' `nodes` and `labels` let it and, where they say "serve":"joined", it
 * has joined: its configuration declares the swarm, or somebody told it to (skep swarm join). Each node
 * writes its own row of the directory (table serve), and writes it again if it is missing; the home of the
 * row takes it away when the node has been gone for an hour, or is forgotten.
 *
 * Knowledge of all this may differ between nodes for a moment. So it decides where a process goes, never who
 * decides about its name (docs/decisions/0018); and the node that is to run a process has the last word about
 * itself.
 */
#ifndef SKEP_NODE_SWARM_H
#define SKEP_NODE_SWARM_H

#include "node/settings.h"

struct child;

#define SWARM_GONE_KEEP_MS (INT64_C(3600) * 1000)

/* Whether there is a swarm of this name ("default" always is). Inside a handler. */
bool swarm_exists(struct node *n, const char *swarm);
/* Whether a node of this id, name and labels (JSON or NULL) serves the swarm, as the store says. */
bool swarm_serves(struct store *s, const struct settings *settings, const char *swarm, const struct id *node,
                  const char *name, const char *labels);
/* The same of this node, inside a handler. swarm "" (sessions): yes. */
bool swarm_serves_here(struct node *n, const char *swarm);
/* What places the processes of a swarm, as one number: the view's signature, the settings, and which nodes of
 * the view serve it, in any order. */
uint64_t swarm_signature(uint64_t view, const struct settings *settings, const struct id *serving, size_t n);
/* The same as this node sees it, inside a handler. */
uint64_t swarm_topology(struct node *n, const char *swarm);

/* Whether that run of a node may have one more process of the swarm: the node's own limit and the swarm's. */
bool swarm_room(struct node *n, const struct settings *settings, const char *swarm, int64_t actor,
                int64_t max_children);
/* How many more it may have, up to `wanted`. */
int64_t swarm_room_left(struct node *n, const struct settings *settings, const char *swarm, int64_t actor,
                        int64_t max_children, int64_t wanted);
/* A claim for this run was written, which counts from now on. */
void swarm_taken(struct node *n, const char *swarm, int64_t actor);
/* Whether this node, with what runs here now, may run one more. */
bool swarm_room_here(struct node *n, const char *swarm);
void swarm_seats_fini(struct node *n);

/* This node joins or leaves at somebody's wish; for good. Inside a handler. */
int swarm_join(struct node *n, const char *swarm);
int swarm_leave(struct node *n, const char *swarm);
/* The swarm was deleted: nobody serves it any more, nor the next one of its name unasked. */
int swarm_ended(struct node *n, const char *swarm);
/* Whether the configuration says that it serves it. */
bool swarm_declared(const struct node *n, const char *swarm);
/* The rows of this node are as it was told. Inside a handler, at any time. */
int swarm_keep(struct node *n);
/* A row of this node came from another one. */
int swarm_serve_merged(struct node *n, const char *swarm, const struct remote_row *row);
/* Takes away the rows of nodes that are gone, where this node is their home. */
int swarm_sweep(struct node *n);

/* Something that decides about where processes may run has changed: what must not be here moves, and what
 * could not be placed is tried again. */
void swarm_changed(struct node *n);
int swarm_settle(struct node *n); /* that work, inside a handler */

#endif
