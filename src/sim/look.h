/* look: what is known of the store of a simulated node, and what any of them ever had. For invariant.c only.
 */
#ifndef SKEP_SIM_LOOK_H
#define SKEP_SIM_LOOK_H

#include "base/list.h"
#include "node/brain.h"
#include "sim/sim.h"
#include "wire/digest.h"

#define LOOK_KEY_MAX 400

/* A row of "change" as it was read. */
struct row {
    char *key; /* owned: table, blank, key */
    struct stamp stamp;
    bool dead;
    unsigned char hash[DIGEST16_BYTES];
    uint64_t round; /* the reading that saw it last */
    UT_hash_handle hh;
};

/* What any node has ever had under a key; or, of a session and an epoch, who writes it. */
struct fact {
    char *key;           /* owned */
    struct stamp newest; /* alive or dead */
    struct stamp grave;  /* the newest tombstone that was read */
    bool deleted;        /* there was one, read or not */
    int64_t writer;
    UT_hash_handle hh;
};

/* What is known of a node. */
struct look {
    int64_t actor;   /* of the run that was looked at last; 0 = never */
    int64_t born;    /* its first stamp; 0 = it had written nothing */
    struct vv vv;    /* as its last turn left it */
    int64_t written; /* own rows up to here were looked at */
    int64_t real_max_ms;
    struct row *rows; /* uthash */
    uint64_t round;
    struct vv proven; /* with the rows */
    bool exact;       /* there was no row beyond it */
    uint64_t sum;     /* of the live rows */
    int64_t writes;   /* store_writes then */
    struct stmt *own; /* of its store, which frees it */
    bool forgot;      /* its files went back once */
};

struct invariants {
    struct sim *sim;
    struct look looks[SIM_NODES_MAX];
    struct fact *keys;    /* uthash */
    struct fact *writers; /* by "session/epoch": uthash */
    int turn_of;          /* the node that is read next … */
    int64_t read_us;      /* … not before that moment */
    struct str *why;      /* of the check under way */
};

/* The inside of a node that is up and part of the cluster, or NULL. */
struct node *look_node(const struct invariants *v, int i);
const char *look_name(const struct invariants *v, int i);
/* Adds to v->why. */
void look_broken(struct invariants *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* NULL if there is none. */
struct fact *fact_get(struct fact *all, const char *key);
struct fact *fact_new(struct fact **all, const char *key);
void facts_free(struct fact **all);

/* Forgets what the store said. */
void look_clear(struct look *l);
/* Whether the row of that key lies aside there and waits for a person to decide: it is not applied. */
bool look_in_doubt(struct node *n, const char *key);
/* How far its clock has ever been. */
void look_clock(struct look *l, const struct node *n);
/* The session that a row belongs to, if that is alive, else NULL; of a row that belongs to none: itself. */
const struct row *look_parent(const struct look *l, const struct row *r);
/* Reads the version table of a node that is up, if there is news, and compares it with what it was. */
void look_read(struct invariants *v, int i);

#endif
