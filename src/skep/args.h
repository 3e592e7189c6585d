/* args: a command line, read by the verb table.
 *
 * Options may stand anywhere before "--", before the verb too. A word, verb or option that nobody knows is
 * SKEP_EUSAGE with the nearest known one. Every string is borrowed from argv.
 */
#ifndef SKEP_SKEP_ARGS_H
#define SKEP_SKEP_ARGS_H

#include <stddef.h>

#include "base/str.h"
#include "skep/verb.h"

struct args_option {
    const struct verb_option *option;
    const char *value; /* "" for a flag */
};

struct args {
    const struct verb *verb;   /* the innermost one found; NULL = none given */
    const struct verb *family; /* its parent; NULL = none */
    const char **word;         /* positional words, without the verb's own */
    size_t words_n, words_cap;
    char **tail; /* behind "--", NULL-terminated; NULL = no "--" or not a command */
    struct args_option *option;
    size_t options_n, options_cap;
    bool help; /* --help or -h stood somewhere */
};

/* The number of words and required tail are checked unless help was asked for. */
int args_parse(int argc, char **argv, struct args *ret_args, struct err *e);
void args_fini(struct args *a);

/* The last value given, or NULL. */
const char *args_text(const struct args *a, const char *name);
bool args_flag(const struct args *a, const char *name);
/* False when it was not given; its bounds were checked by args_parse. */
bool args_i64(const struct args *a, const char *name, int64_t *ret_value);
/* The i-th value of an OPT_MANY, or NULL past the last. */
const char *args_nth(const struct args *a, const char *name, size_t i);
/* The i-th positional word, or NULL. */
const char *args_word(const struct args *a, size_t i);

/* The verb of that name in a table, or NULL. */
const struct verb *verb_find(const struct verb *const *table, const char *name);
/* The usage line of a verb: "skep session new [options]". */
void verb_usage(const struct verb *family, const struct verb *v, struct str *s);

#endif
