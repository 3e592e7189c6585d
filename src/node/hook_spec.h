/* hook_spec: what a hook listens to and what it runs, as the JSON object of the API and as a struct. */
#ifndef SKEP_NODE_HOOK_SPEC_H
#define SKEP_NODE_HOOK_SPEC_H

#include "core/hook.h"
#include "wire/json.h"

enum hook_kind { HOOK_EXEC, HOOK_URL, HOOK_MESSAGE };

#define HOOK_ALTER         "child_data_alter" /* the only event that is waited for */
#define HOOK_ID_MAX        100
#define HOOK_EVENT_MAX     100
#define HOOK_URL_BYTES_MAX 2000

/* A worker, by its name. */
struct hook_to {
    char *swarm, *name; /* swarm NULL: default */
};

struct hook_spec {
    int kind, where; /* enum hook_kind, enum hook_where */
    struct json_strings argv, nodes;
    struct json_map env;
    char *cwd, *url, *secret; /* secret: name of one in the configuration of the node */
    struct hook_to to;
    char *swarm, *name; /* patterns; NULL = any */
    int64_t priority, timeout_ms, concurrency, queue;
    int64_t attempts; /* 0: HOOK_ATTEMPTS, or 1 of a program */
    bool required;    /* of HOOK_ALTER: without a good answer there is no start */
};

#define HOOK_ATTEMPTS 20

extern const struct json_table hook_spec_table;
extern const char *const hook_kind_words[], *const hook_where_words[];

void hook_spec_fini(struct hook_spec *s);
/* What the table cannot say, for a hook of this event and id. */
int hook_spec_check(const struct hook_spec *s, const char *event, const char *id, struct err *e);
/* Of text that hook_spec_write made. ret may be finished also after a failure. */
int hook_spec_parse(const char *text, struct hook_spec *ret, struct err *e);
/* The whole object, defaults included: equal hooks give equal text. */
void hook_spec_write(const struct hook_spec *s, struct str *out);
/* The same, only its members. */
void hook_spec_members(const struct hook_spec *s, struct jw *j);
int64_t hook_spec_attempts(const struct hook_spec *s);
/* Whether an http URL stays on this machine. Of a URL that passed hook_spec_check. */
bool hook_url_is_local(const char *url);

#endif
