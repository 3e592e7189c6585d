/* settings: what a swarm is told to be, read from its JSON; and the check that what is told is carried out.
 *
 * A swarm's settings are kept as the text they came in; a swarm without a row ("default" may be one) has the
 * defaults. A strategy is a word, or an object {"kind": word, its options}. The words that this program
 * carries out, and their options, are one table in settings.c: a setting that would be kept and not obeyed is
 * worse than one that is refused. What a newer program wrote is read as far as it is understood; the rest has
 * its default here.
 */
#ifndef SKEP_NODE_SETTINGS_H
#define SKEP_NODE_SETTINGS_H

#include "core/dot.h"
#include "store/store.h"
#include "wire/json.h"

struct node;
struct spec;

/* What each strategy's kind may be. The first of each is meant without a word. */
enum distribution {
    DISTRIBUTION_CONSISTENT_HASH,
    DISTRIBUTION_GUIDED,
    DISTRIBUTION_LOAD_BALANCER,
    DISTRIBUTION_RANDOM
};
enum redundancy { REDUNDANCY_SINGULARITY };
enum migration { MIGRATION_COLD_SWAP };
enum partition { PARTITION_DIVERGENCE };
enum synchronization { SYNCHRONIZATION_PUBSUB, SYNCHRONIZATION_GOSSIP };
enum conflict_policy { CONFLICT_NEWEST, CONFLICT_OLDEST, CONFLICT_CALLBACK };
enum serve { SERVE_ALL, SERVE_JOINED }; /* joined: by the nodes that declare or join it */

struct strategy {
    int kind;
    struct span options; /* the object it was said as; {NULL, 0}: as a word, or not at all */
};

struct settings {
    char *text;           /* the JSON object as it is kept; owned */
    struct stamp version; /* of the row; zeros without one */
    int restart;          /* enum restart: of children that do not say theirs */
    bool handoff;         /* the same */
    bool strict;          /* only a process itself changes its entry, or an admin */
    int serve;            /* enum serve */
    int64_t max_children; /* of this swarm, on each node; 0: no limit */
    int worker_role;      /* index into settings_role_words; -1: as each node says */
    struct strategy distribution, redundancy, migration, partition, synchronization, conflict;
    bool has_nodes;            /* without: every node */
    struct json_strings nodes; /* names, ids or patterns of them; with a ! in front: not those; owned */
    struct json_map labels;    /* a node must have these, their values as patterns; owned */
};

extern const char *const settings_role_words[];

/* A PUT's body: what was said of each, as it came. */
struct settings_said {
    struct span restart, handoff, strict, distribution, redundancy, migration, partition, synchronization,
        conflict;
    struct span limits, worker_role, serve;
    struct json_strings nodes;
    struct json_map labels;
};
extern const struct json_table settings_table;
/* Every value is one that this program carries out; else SKEP_EARG with the field and what is allowed. */
int settings_check(const struct settings_said *s, struct err *e);

/* Of text that passed the check, here or in another version of this program. text NULL: the defaults. */
void settings_parse(const char *text, struct settings *ret);
void settings_fini(struct settings *s);
/* The settings as they are in the store, off the brain. 1, 0 without a row (ret has the defaults), < 0. */
int settings_load(struct store *s, const char *swarm, struct settings *ret, struct err *e);
/* All of them with their defaults filled in, as members of an object that is open; not the nodes. */
void settings_write(const struct settings *s, struct jw *j);
/* The settings of a swarm ("": sessions, the defaults). Inside a handler: as its transaction sees them.
 * Borrowed until that row changes or the handler ends. Never NULL. */
const struct settings *node_settings(struct node *n, const char *swarm);
void node_settings_fini(struct node *n);

/* An option of a strategy, or `otherwise` where it is not said. */
int64_t strategy_int(const struct strategy *s, const char *option, int64_t otherwise);
bool strategy_bool(const struct strategy *s, const char *option, bool otherwise);
/* Yours; NULL where it is not said. */
char *strategy_text(const struct strategy *s, const char *option);
/* The word of this swarm's distribution, and whether the same names in the same view go to the same nodes. */
const char *settings_distribution(const struct settings *s);
bool settings_deterministic(const struct settings *s);

/* Whether a list of names, ids and patterns means this node: at least one of those without a ! (if there are
 * any), none of those with one. NULL or empty: every node. */
bool settings_means(char *const *nodes, const char *name, const char *id);
/* Whether a node with these labels (a JSON object of texts, NULL: none) has all that are wanted. */
bool settings_labels(const struct json_map *wanted, const char *labels);

/* What the specification of a child leaves to its swarm: restart and handoff, as they are now. */
void settings_fill(const struct settings *s, struct spec *spec);

#endif
