/* session: what the routes of sessions and of their turns share. */
#ifndef SKEP_API_SESSION_H
#define SKEP_API_SESSION_H

#include "api/api.h"
#include "node/session.h"

/* The query of their lists. */
struct session_page {
    int64_t limit;
    char *after, *status, *head;
};

int64_t session_page_limit(const struct session_page *q);
/* {"key":[ … ],"next":…} */
void session_page_open(struct jw *j, const char *key);
void session_page_close(struct jw *j, const char *next);
/* The hlc of a row, which is its rev; 0: there is none. */
int64_t session_version(struct store *s, enum table_id t, const void *row);

/* turn.c */
extern const struct json_table turn_table;
int session_turn_post(struct node *n, struct op *op, const struct call *c);
int session_turn_delete(struct node *n, struct op *op, const struct call *c);
int session_turn_get(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                     struct err *e);
int session_turn_list(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                      struct err *e);

#endif
