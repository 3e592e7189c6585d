/* cli: one run of the command line: what was asked, whom it talks to, how it prints. */
#ifndef SKEP_SKEP_CLI_H
#define SKEP_SKEP_CLI_H

#include <string.h>

#include "real/config.h"
#include "skep/args.h"
#include "skep/http.h"
#include "skep/print.h"
#include "wire/json.h"

struct cli {
    struct args args;
    struct config config;
    struct print_style style;
    struct http *http; /* NULL until a verb talks to a node */
};

int cli_init(struct cli *ret_c, int argc, char **argv, struct err *e);
void cli_fini(struct cli *c);

/* Which layer of the configuration a setting came from. */
enum config_layer cli_layer(const struct cli *c, const char *setting);
/* "flag --client.addr" in a text becomes "flag --addr", as people know it. */
void cli_plain_flags(char *text);
/* A whole file, or standard input for "-"; at most bytes_max. ret_text is replaced. */
int cli_read(const char *path, size_t bytes_max, struct str *ret_text, struct err *e);

/* The token of flag, environment, file or standard input; NULL if there is none. *ret_token is yours. */
int cli_token(const struct cli *c, char **ret_token, struct err *e);
/* Whom the command line talks to: --addr, else this machine's skepd, else the last `skep dev`. Borrowed. */
int cli_http(struct cli *c, struct http **ret_h, struct err *e);
/* body NULL = none. The answer is checked JSON; anything else is a failure. */
int cli_call_json(struct cli *c, const char *method, const char *path, const char *body,
                  struct http_answer *ret_a, struct err *e);
/* Every page of a list, or --limit items of it. `member` is the list's name in the answer. */
int cli_list(struct cli *c, const char *path, const char *member, const struct column *columns,
             struct err *e);
/* Calls, and shows the document that comes back. */
int cli_show(struct cli *c, const char *method, const char *path, const char *body, struct err *e);
/* Calls; for people one line (words of the answer at %-less {paths}: "started {name} on {node}"), for
 * programs the document. */
int cli_tell(struct cli *c, const char *method, const char *path, const char *body, const char *sentence,
             struct err *e);
/* The same for an answer that is there already. */
void cli_print_told(const struct cli *c, struct span document, const char *sentence);

/* --swarm, or "default". */
const char *cli_swarm(const struct cli *c);
/* "/v1/swarms/S/children/NAME" and what may follow; yours. */
char *cli_child_path(const struct cli *c, const char *name, const char *rest);

/* A value from the line or, for "-", from standard input: JSON stays as it is, anything else (and everything
 * with --text) becomes a JSON string. Yours. */
int cli_data(const struct cli *c, const char *word, char **ret_json, struct err *e);
/* An option that must be JSON; *ret_json stays NULL if it was not given. Yours. */
int cli_json_option(const struct cli *c, const char *name, enum json_type type, char **ret_json,
                    struct err *e);
/* Puts options into an object being written, under their names with _ for -, as they were given. */
void cli_put_text(const struct cli *c, struct jw *j, const char *option);
void cli_put_i64(const struct cli *c, struct jw *j, const char *option);
/* Every --env K=V as an object "env"; nothing if there is none. */
int cli_put_env(const struct cli *c, struct jw *j, struct err *e);
/* A NULL-terminated list as an array. */
void cli_put_words(struct jw *j, const char *key, char *const *word);
/* Adds "name=value" to a query when the option was given. */
void cli_query(const struct cli *c, struct str *path, const char *option);

static inline struct span span_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

#endif
