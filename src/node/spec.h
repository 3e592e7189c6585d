/* spec: what is wanted of a supervised process, as the JSON object of the API and as a struct. */
#ifndef SKEP_NODE_SPEC_H
#define SKEP_NODE_SPEC_H

#include "core/restart.h"
#include "wire/json.h"

enum ready { READY_SPAWN, READY_PROTOCOL };

struct spec {
    struct json_strings argv, nodes;
    struct json_map env;
    char *cwd;
    int restart; /* enum restart */
    int ready;   /* enum ready */
    int64_t max_restarts, restart_window_ms, backoff_min_ms, backoff_max_ms;
    int64_t shutdown_ms, start_ms, handoff_ms;
    bool handoff;
};

/* The fields of a spec, for tables that hold more than it (the struct must begin with a struct spec). */
#define SPEC_FIELDS 14
extern const struct json_field spec_fields[SPEC_FIELDS];

void spec_defaults(struct spec *s);
void spec_fini(struct spec *s);
/* What the table cannot say: argv without NUL or emptiness, env names, back-off in order. */
int spec_check(const struct spec *s, struct err *e);
/* Of text that spec_write made. */
int spec_parse(const char *text, struct spec *ret, struct err *e);
/* The whole object, defaults included: equal specs give equal text. */
void spec_write(const struct spec *s, struct str *out);

#endif
