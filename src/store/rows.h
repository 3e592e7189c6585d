/* The rows of the replicated tables as structs: one struct a table, one member a column of schema/.
 *
 * Every char * and blob is owned by the row; NULL is SQL's NULL. A row of zero bytes is an empty row of
 * defaults. row_fini empties any of them by their table (store/table.h).
 */
#ifndef SKEP_STORE_ROWS_H
#define SKEP_STORE_ROWS_H

#include <stddef.h>
#include <stdint.h>

struct blob {
    char *p;
    size_t n;
};

struct node_row {
    char *node, *boot, *labels, *name, *state, *url, *version;
    int64_t actor, draining, max_children, member, schema, started_at, weight;
    struct blob extra;
};
struct node_mark_row {
    char *node, *role;
    int64_t forgotten_at;
    struct blob extra;
};
struct actor_row {
    int64_t actor, born_at;
    char *boot, *node;
    struct blob extra;
};
struct swarm_row {
    char *swarm, *settings;
    struct blob extra;
};
struct token_row {
    char *token, *hash, *name, *role, *swarm;
    int64_t created_at, expires_at, used_at;
    struct blob extra;
};
struct idem_row {
    char *key, *answer, *request;
    int64_t at, status;
    struct blob extra;
};
struct name_row {
    char *swarm, *name, *address, *cause, *kind, *metadata, *op, *owner, *spec, *view;
    int64_t epoch, expires_at, incarnation, owner_actor, since, ttl_ms;
    struct blob extra;
};
struct child_row {
    char *swarm, *name, *node, *reason, *status;
    int64_t at, epoch, pid, restarts, started_at;
    struct blob extra;
};
struct metadata_row {
    char *swarm, *name, *data, *tag;
    int64_t epoch;
    struct blob extra;
};
struct checkpoint_row {
    char *swarm, *name;
    int64_t at, epoch;
    struct blob data, extra;
};
struct handoff_row {
    char *swarm, *name, *node;
    int64_t at, bytes, chunks, epoch, expires_at;
    struct blob extra;
};
struct chunk_row {
    char *swarm, *name;
    int64_t epoch, idx;
    struct blob data, extra;
};
struct conflict_row {
    char *swarm, *name, *node;
    int64_t at, epoch;
    struct blob data, extra;
};
struct template_row {
    char *template, *spec;
    struct blob extra;
};
struct session_row {
    char *session, *consistency, *head, *metadata, *resume, *status, *template;
    int64_t created_at, epoch, ttl_ms, updated_at;
    struct blob extra;
};
struct entry_row {
    char *session, *entry, *content, *parent, *role, *turn;
    int64_t at, epoch, seq;
    struct blob extra;
};
struct turn_row {
    char *session, *turn, *detail, *input, *node, *result, *status;
    int64_t attempts, created_at, ended_at, epoch;
    struct blob extra;
};
struct session_state_row {
    char *session, *state;
    int64_t epoch;
    struct blob extra;
};
struct serve_row {
    char *swarm, *node;
    int64_t at;
    struct blob extra;
};
struct score_row {
    char *node, *data;
    int64_t at, permille;
    struct blob extra;
};
struct hook_row {
    char *event, *hook, *spec;
    struct blob extra;
};
struct operation_row {
    char *operation, *kind, *node, *options, *state, *swarm, *who;
    int64_t at, deadline, ended_at, epoch;
    struct blob extra;
};
struct operation_part_row {
    char *operation, *body, *node, *result, *state;
    int64_t part, epoch;
    struct blob extra;
};
struct process_group_row {
    char *swarm, *process_group, *settings;
    struct blob extra;
};
struct member_row {
    char *swarm, *process_group, *name, *tag, *metadata;
    int64_t at, incarnation;
    struct blob extra;
};
struct news_row {
    char *node, *about, *data, *name, *swarm, *type;
    int64_t slot, seq, epoch;
    struct blob extra;
};

#endif
