/* conf_file: the configuration file's syntax, read into entries. The only door to libconfuse. */
#ifndef SKEP_REAL_CONF_FILE_H
#define SKEP_REAL_CONF_FILE_H

#include "real/setting.h"

/* One `name = value` or `name = {a, b}`. */
struct conf_entry {
    char *section;    /* "swarm" or "hook"; NULL at the top and for client, whose names are "client.x" */
    char *title;      /* of that section */
    const char *name; /* static: of setting_at(), conf_swarm_settings, conf_hook_settings; NULL: a swarm that
                         says nothing */
    struct texts value; /* one text, or a list's elements */
    int line;           /* 0 for an empty list */
};

struct conf_file {
    struct conf_entry *entries;
    size_t n, cap;
};

/* What a swarm section may declare, as text. NULL-terminated. */
extern const char *const conf_swarm_settings[];
/* Whether it is one of those that take a list. */
bool conf_swarm_list(const char *setting);
/* The same of a hook section. */
extern const char *const conf_hook_settings[];
bool conf_hook_list(const char *setting);

/* Reads the text of a file; path is for messages. SKEP_ECONFIG begins with path:line and, for an unknown
 * name, proposes the nearest. libconfuse keeps its state in statics: one call at a time in a process.
 * ret is to be finished with conf_file_fini, also after a failure (it is empty then). */
int conf_file_parse(const char *path, const char *text, size_t n, struct conf_file *ret, struct err *e);
void conf_file_fini(struct conf_file *f);

#endif
