/* own: who owns a name, and what follows from a claim. */
#ifndef SKEP_NODE_OWN_H
#define SKEP_NODE_OWN_H

#include "core/place.h"
#include "node/choice.h"
#include "store/store.h"

struct node;

bool node_open_now(struct node *n);
/* Home of a name; NULL id pointer never: self or a peer of the view. */
struct id own_home(struct node *n, const char *swarm, const char *name);
bool own_is_home(struct node *n, const char *swarm, const char *name);
/* Why a node takes nothing. */
enum target_why {
    TARGET_TAKES,
    TARGET_AWAY,  /* not in the view, leaving, or its brain stands still */
    TARGET_CLOCK, /* its clock is off */
    TARGET_DRAINS,
    TARGET_UNNAMED, /* not among the nodes that were named */
    TARGET_NOT_THIS,
    TARGET_NO_SERVE,
    TARGET_FULL,
};

/* The same for many: who may be home, as the view is now; and who may take something (target.c). Pick from
 * them. */
struct places {
    struct place_node *list; /* owned */
    enum target_why *why;    /* of each target; owned; NULL for homes */
    size_t n;
    struct choice choice; /* between targets */
};
void own_homes(struct node *n, struct places *ret);
void own_targets(struct node *n, const char *swarm, char *const *nodes, const struct id *not_this,
                 struct places *ret);
/* The same for a process by its claim. */
void own_takers(struct node *n, const struct name_row *row, struct places *ret);
/* By the swarm's distribution (choice.h). false: none of them. */
bool places_pick(struct node *n, struct places *p, const char *swarm, const char *name, struct id *ret);
/* Why that target takes nothing: "is draining". */
const char *target_word(enum target_why why);
/* Why none of these targets takes anything: SKEP_ENONODE, with each node's reason. */
int places_none(struct node *n, const struct places *p, struct err *e);
void places_fini(struct places *p);
/* Where the strategy puts it: of `nodes` (names, ids, patterns; NULL = all) that may take something. false:
 * none. */
bool own_target(struct node *n, const char *swarm, const char *name, char *const *nodes,
                const struct id *not_this, struct id *ret);
int64_t own_actor_of(struct node *n, const struct id *node);
/* What the claim and the log say of its changing hands. */
void own_taken(const char *from, const char *why, struct str *ret_json);
/* Fills owner, owner_actor, epoch (above `over`), view, cause (none); since if it is 0. */
void own_claim(struct node *n, struct name_row *row, const struct id *owner, int64_t over);

/* A start, at the home of its name: what it is for, and for whom (own_ask.c). */
struct own_start {
    const char *swarm, *name, *op, *who;
    const char *spec;     /* as spec_write has it */
    struct span metadata; /* {NULL, 0}: none */
    int64_t over;         /* rank of the row that it replaces */
};
/* Claims the name for that node, with nothing of its former life. */
int own_start(struct node *n, const struct own_start *s, const struct id *target, int64_t *ret_epoch);
/* The metadata of a name, under the epoch of its claim. */
int own_metadata(struct node *n, const char *swarm, const char *name, int64_t epoch, struct span data);
/* Written by a version that knew of no tags: again, by its owner, if it has one. */
int own_metadata_tagged(struct node *n, const struct metadata_row *row, int64_t epoch);
/* Whether its owner may end it: not at a moment at which the home may give it to another node. Its home does
 * that with claims of an older view of which nothing runs. waits: its row says that nothing runs. */
bool own_may_end(struct node *n, const struct name_row *row, bool waits);
/* Whether the claim has its second copy; if not, own_changed runs again once it has. */
int claim_covered(struct node *n, const struct name_row *row, bool *ret);
/* A name's row was written or merged: what follows here. Inside handlers. old_epoch: 0 if there was none. */
int own_changed(struct node *n, const char *swarm, const char *name);
/* The same in a transaction of its own, soon. Anywhere. */
void own_later(struct node *n, const char *swarm, const char *name);
/* After the view opened or a verdict fell: looks at every name again, in slices. */
void own_scan(struct node *n);
void own_scan_at(struct node *n, int64_t at_ms);
bool own_has_work(const struct node *n);
int own_work(struct node *n);
void own_fini(struct node *n);
/* The topology signature as text. */
void own_signature(const struct node *n, char ret[17]);

/* Leases of external names, at their home: the end of one (ms, real time), a renewal that is not written. */
int64_t lease_expires(struct node *n, const struct name_row *row);
void lease_renew(struct node *n, const struct name_row *row, int64_t expires_ms);
void lease_forget(struct node *n, const char *swarm, const char *name);
void leases_fini(struct node *n);
/* homeless.c: a process that no node may take, as its home has just found; said once per claim. Inside
 * handlers. */
int homeless_found(struct node *n, const struct name_row *row);
/* It has been given to somebody, or is no more. */
void homeless_over(struct node *n, const char *swarm, const char *name);
/* Whether this home has found that nobody may take this claim. */
bool homeless_is(struct node *n, const struct name_row *row);
/* Whether any claim of that name was: the rows may be others by now. */
bool homeless_was(struct node *n, const char *swarm, const char *name);
void homeless_fini(struct node *n);

/* Another name of a process is an address that is that process: bound to this life of it. */
bool alias_is(const struct name_row *row);
/* The claim of its process: 1, 0 if that life of it is over, < 0. ret is filled in any case; yours. */
int alias_child(struct store *s, const struct name_row *row, struct name_row *ret, struct err *e);
/* Whether it is another name of a process that is no more, and so free: 1, 0, < 0. */
int alias_dead(struct store *s, const struct name_row *row, struct err *e);
/* At the home: those whose process is gone go after it. */
int aliases_sweep(struct node *n);
/* Ends an external name: tombstone and log row. rank: of store_kill; a new stamp where nothing that was
 * written before may win, whoever has it still. */
int own_end_address(struct node *n, const struct name_row *row, int64_t rank, const char *type,
                    const char *who);
int own_expire(struct node *n);

#endif
