/* verb: what one word of the command line is: its options, its arguments, one sentence, and what it does.
 *
 * The table in verbs.c is all there is: help, usage errors, suggestions and completion are read from it. A
 * verb lives in a file of its own (or with its family) and exports one const entry.
 */
#ifndef SKEP_SKEP_VERB_H
#define SKEP_SKEP_VERB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cli;

enum option_kind { OPT_FLAG, OPT_TEXT, OPT_MANY, OPT_INT };

/* What may stand in a place of the line: completion asks the cluster for the live ones. */
enum complete {
    COMPLETE_NOTHING,
    COMPLETE_FILE,
    COMPLETE_FOLDER,
    COMPLETE_COMMAND,
    COMPLETE_NODE,
    COMPLETE_CHILD,
    COMPLETE_NAME,
    COMPLETE_SESSION,
    COMPLETE_TEMPLATE,
    COMPLETE_VERB,
};

struct verb_option {
    const char *name; /* without "--"; NULL ends a table */
    char letter;      /* "-o", or 0 */
    enum option_kind kind;
    const char *value; /* how help calls its value; NULL with OPT_FLAG */
    const char *help;
    const char *words; /* the only values it takes, separated by spaces; NULL = any */
    enum complete complete;
    int64_t min, max; /* of OPT_INT; max 0 = no bound */
};

struct verb {
    const char *name;
    const char *args; /* "NAME [-- COMMAND…]", for usage */
    const char *help; /* one sentence */
    const char *more; /* what help adds below the options; NULL = nothing */
    const struct verb_option *options;
    int args_min, args_max;         /* words besides options and the tail; max -1 = any number */
    bool tail;                      /* takes what stands behind "--" as one command */
    enum complete complete;         /* what its words are */
    const struct verb *const *subs; /* session new, session ls, …; NULL = none */
    int (*run)(struct cli *c, struct err *e);
};

/* Every verb, in the order of help; NULL at its end. */
extern const struct verb *const verbs[];
/* The options that every verb takes. */
extern const struct verb_option options_common[];

#endif
