/* spec: what is wanted of a supervised process, as the JSON object of the API and as a struct.
 *
 * restart and handoff need not be said: then the swarm's count, at the moment they are needed
 * (settings_fill).
 */
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
    bool restart_said, handoff_said;
};

extern const char *const spec_restart_words[], *const spec_ready_words[];

#define SPEC_DAY_MS INT64_C(86400000)
#define SPEC_DEFAULTS                                                                                        \
    {                                                                                                        \
        .restart = RESTART_TRANSIENT, .ready = READY_SPAWN, .max_restarts = 3, .restart_window_ms = 5000,    \
        .backoff_min_ms = 100, .backoff_max_ms = 60000, .shutdown_ms = 5000, .start_ms = 10000,              \
        .handoff_ms = 1000, .handoff = true                                                                  \
    }

/* The fields of a spec, for tables of structs that begin with one. */
#define SPEC_ROWS                                                                                            \
    JSON_FIELD(struct spec, argv, JSON_STRINGS, .required = true, .bytes_max = 128 * 1024, .max = 1024,      \
               .may_be_empty = true),                                                                        \
        JSON_FIELD(struct spec, env, JSON_STRING_MAP, .bytes_max = 128 * 1024, .max = 1024,                  \
                   .may_be_empty = true),                                                                    \
        JSON_FIELD(struct spec, cwd, JSON_STRING, .nullable = true, .bytes_max = 4095),                      \
        JSON_FIELD(struct spec, restart, JSON_WORD, .words = spec_restart_words,                             \
                   .present = offsetof(struct spec, restart_said)),                                          \
        JSON_FIELD(struct spec, max_restarts, JSON_INT, .min = 0, .max = 1000000),                           \
        JSON_FIELD(struct spec, restart_window_ms, JSON_INT, .min = 1, .max = 365 * SPEC_DAY_MS),            \
        JSON_FIELD(struct spec, backoff_min_ms, JSON_INT, .min = 0, .max = SPEC_DAY_MS),                     \
        JSON_FIELD(struct spec, backoff_max_ms, JSON_INT, .min = 0, .max = 7 * SPEC_DAY_MS),                 \
        JSON_FIELD(struct spec, shutdown_ms, JSON_INT, .min = 0, .max = SPEC_DAY_MS),                        \
        JSON_FIELD(struct spec, ready, JSON_WORD, .words = spec_ready_words),                                \
        JSON_FIELD(struct spec, start_ms, JSON_INT, .min = 1, .max = SPEC_DAY_MS),                           \
        JSON_FIELD(struct spec, handoff, JSON_BOOL, .present = offsetof(struct spec, handoff_said)),         \
        JSON_FIELD(struct spec, handoff_ms, JSON_INT, .min = 0, .max = SPEC_DAY_MS),                         \
        JSON_FIELD(struct spec, nodes, JSON_STRINGS, .bytes_max = 1024, .max = 1000)

void spec_defaults(struct spec *s);
void spec_fini(struct spec *s);
/* What the table cannot say: argv without NUL or emptiness, env names, back-off in order. */
int spec_check(const struct spec *s, struct err *e);
/* Of text that spec_write made. */
int spec_parse(const char *text, struct spec *ret, struct err *e);
/* The whole object, defaults included, but what is left to the swarm: equal specs give equal text. */
void spec_write(const struct spec *s, struct str *out);

#endif
