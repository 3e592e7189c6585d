/* template: what the worker of a session is started from, as the JSON object of the API and as a struct. */
#ifndef SKEP_NODE_TEMPLATE_H
#define SKEP_NODE_TEMPLATE_H

#include "core/reap.h"
#include "node/brain.h"
#include "wire/json.h"

struct template
{
    struct json_strings argv;
    struct json_map env;
    int64_t idle_ms, turn_ms, approval_ms;
    int64_t max_messages; /* newest entries that a turn is given; 0: all */
    int resume;           /* enum resume */
};

extern const struct json_table template_table; /* its defaults are those of template_defaults */
extern const char *const resume_words[];       /* by enum resume, NULL-terminated */

void template_defaults(struct template *t);
void template_fini(struct template *t);
/* What the table cannot say, and that nothing in it looks like a credential: a template is replicated to
 * every node and kept in plain text. */
int template_check(const struct template *t, struct err *e);
/* The same of anything else that is kept so. url may be NULL. what: how the error calls it. */
int credentials_check(const struct json_strings *argv, const struct json_map *env, const char *url,
                      const char *what, struct err *e);
/* The members, without braces. */
void template_write(const struct template *t, struct jw *j);
/* The template of this id; the defaults if there is none (0), or none that can be read. 1 found. Yours, also
 * on failure: template_fini. */
int template_load(struct store *s, const char *id, struct template *ret, struct err *e);

#endif
