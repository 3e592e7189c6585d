/* event: what happened, over HTTP: this node's log as events, as audit and as incidents. Reads only.
 *
 * One row of the log serves all three. A page looks at a bounded number of rows, so a filter that nothing
 * passes costs no more than one that everything passes; `next` is then a place to go on from, with an empty
 * page before it.
 */
#include <stdio.h>
#include <string.h>

#include "api/follow.h"

#define LOOKED_MAX 20000 /* rows of the log that one request looks at */

struct log_query {
    char *after, *type, *swarm, *name;
    int64_t limit;
};

static const struct uri_param events_params[] = {
    URI_PARAM(struct log_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct log_query, after, URI_TEXT, .max = 1100),
    URI_PARAM(struct log_query, type, URI_NAME),
    URI_PARAM(struct log_query, swarm, URI_NAME),
    URI_PARAM(struct log_query, name, URI_NAME),
};
static const struct uri_param page_params[] = {
    URI_PARAM(struct log_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct log_query, after, URI_TEXT, .max = 1100),
};

/* Where a page begins: "seq", or "node:seq" as in an event's id, which must be of this node, and of this log:
 * that of a node made anew under an old name begins anew, too. field: where it was said. */
static int after_of(const struct log_query *q, const struct reading *r, const char *field, int64_t *ret,
                    struct err *e)
{
    const struct frozen *f = r->frozen;
    const char *colon = q->after ? strrchr(q->after, ':') : NULL;
    const char *digits = colon ? colon + 1 : q->after;
    *ret = 0;
    if (colon && (strlen(f->name) != (size_t)(colon - q->after) ||
                  strncmp(q->after, f->name, (size_t)(colon - q->after)) != 0))
        return err_field(
            e, SKEP_EARG, field,
            "this is a place in the log of another node; each node has a sequence of its own, and this is "
            "node %.100s",
            f->name);
    if (q->after && !text_i64(digits, 0, INT64_MAX, ret))
        return err_field(e, SKEP_EARG, field,
                         "not an event's id; it is what \"next\" or an event's \"id\" says");
    if (*ret > store_number(r->store, Q_LOG_NEWEST, 0, ""))
        return err_field(e, SKEP_EARG, field,
                         "node %.100s has had no such event: its log is another one, of a node made anew or "
                         "restored; begin without it",
                         f->name);
    return 0;
}

static bool same(const char *wanted, const char *got)
{
    return !wanted || (got && strcmp(wanted, got) == 0);
}

static bool incident(const char *type)
{
    static const char *const types[] = {
        "brake_pulled", "child_alter_failed", "child_failed", "child_unplaced",  "clock_frozen",
        "clock_off",    "clock_skew",         "clone_seen",   "disk_full",       "file_damaged",
        "hook_dropped", "hook_failed",        "keeper_died",  "name_conflict",   "node_down",
        "row_damaged",  "row_healed",         "row_late",     "row_quarantined", "row_set_aside"};
    for (size_t i = 0; i < COUNT(types); i++)
        if (type && strcmp(type, types[i]) == 0)
            return true;
    return false;
}

enum log_view { EVENTS, AUDIT, INCIDENTS };

static bool passes(enum log_view view, const struct log_query *q, struct stmt *s)
{
    switch (view) {
    case EVENTS:
        return same(q->type, col_text(s, 2)) && same(q->swarm, col_text(s, 3)) &&
               same(q->name, col_text(s, 4));
    case AUDIT:
        return !col_is_null(s, 7);
    case INCIDENTS:
        return incident(col_text(s, 2));
    }
    return false;
}

static int page(enum log_view view, const char *plural, const struct call *c, const struct reading *r,
                struct str *body, struct err *e)
{
    const struct log_query *q = c->query;
    int64_t seq, left = q->limit ? q->limit : API_LIST_LIMIT, looked = 0;
    int rc = after_of(q, r, "after", &seq, e);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, plural);
    struct stmt *s = store_ask(r->store, Q_LOG_PAGE, "ii", seq, (int64_t)LOOKED_MAX);
    bool full = false;
    while (!full && (rc = stmt_step(s, e)) == 1) {
        bool wanted = passes(view, q, s);
        full = wanted && left-- == 0; /* there is more than a page */
        if (full)
            break;
        seq = col_i64(s, 0);
        looked++;
        if (wanted)
            show_event(s, r->frozen->name, &j);
    }
    stmt_reset(s);
    bool more = full || looked == LOOKED_MAX;
    AUTOFREE char *next = more ? mem_printf("%s:%lld", r->frozen->name, (long long)seq) : NULL;
    jw_array_close(&j);
    jw_kv_string(&j, "next", next);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

static int events_read(const struct call *c, const struct reading *r, struct str *body,
                       struct answer *ret UNUSED, struct err *e)
{
    return page(EVENTS, "events", c, r, body, e);
}

static int audit_read(const struct call *c, const struct reading *r, struct str *body,
                      struct answer *ret UNUSED, struct err *e)
{
    return page(AUDIT, "audit", c, r, body, e);
}

static int incidents_read(const struct call *c, const struct reading *r, struct str *body,
                          struct answer *ret UNUSED, struct err *e)
{
    return page(INCIDENTS, "incidents", c, r, body, e);
}

/* ---- the types there are ---- */

/* What a hook may listen to: all of docs/api.md but those about hooks, which call none. */
static const char *const types[] = {
    "brake_pulled",
    "child_alter_failed",
    "child_checkpoint_set",
    "child_claimed",
    "child_data_alter",
    "child_data_altered",
    "child_exited",
    "child_failed",
    "child_fenced",
    "child_metadata_changed",
    "child_move_asked",
    "child_moved",
    "child_pid_updated",
    "child_registered",
    "child_restart_asked",
    "child_start_failed",
    "child_started",
    "child_stop_asked",
    "child_stopped",
    "child_unplaced",
    "child_unregistered",
    "children_forwarded",
    "clock_frozen",
    "clock_good",
    "clock_off",
    "clock_restamped",
    "clock_skew",
    "clock_thawed",
    "clone_seen",
    "cluster_healed",
    "cluster_partitioned",
    "conflict_resolved",
    "coordinator_shutdown",
    "disk_full",
    "disk_room",
    "drain_began",
    "drain_ended",
    "entry_appended",
    "file_damaged",
    "group_changed",
    "group_deleted",
    "group_restarted",
    "handover_delivered",
    "held_row_dropped",
    "held_row_kept",
    "keeper_died",
    "member_changed",
    "member_joined",
    "member_left",
    "migration_completed",
    "name_conflict",
    "name_expired",
    "name_registered",
    "name_released",
    "name_renewed",
    "node_direct",
    "node_down",
    "node_enrolled",
    "node_forgotten",
    "node_joined",
    "node_left",
    "node_restarted",
    "node_restored",
    "node_started",
    "node_suspect",
    "node_up",
    "node_via",
    "operation_begun",
    "operation_ended",
    "operation_rolled_back",
    "operation_taken",
    "post_children_start",
    "post_node_join",
    "post_node_leave",
    "post_redistribution",
    "pre_children_redistribution",
    "pre_children_start",
    "pre_node_join",
    "pre_node_leave",
    "pre_redistribution",
    "resync_done",
    "resync_started",
    "row_damaged",
    "row_healed",
    "row_late",
    "row_quarantined",
    "row_set_aside",
    "scoreboard_updated",
    "session_claimed",
    "session_created",
    "session_ended",
    "session_expired",
    "session_fenced",
    "session_state_put",
    "swarm_changed",
    "swarm_deleted",
    "swarm_joined",
    "swarm_left",
    "template_put",
    "template_removed",
    "token_created",
    "token_deleted",
    "turn_cancelled",
    "turn_done",
    "turn_failed",
    "turn_queued",
    "turn_resumed",
    "turn_started",
};

bool api_event_named(const char *pattern)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (text_matches(pattern, types[i]))
            return true;
    return false;
}

/* ---- the stream ---- */

#define FOLLOW_ROWS  256
#define FOLLOW_BYTES (256 * 1024)

struct follow {
    char *type, *swarm, *name;
    int64_t seq;
};

static bool has_param(const char *query, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = query; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == '=' || p[n] == '&' || p[n] == 0))
            return true;
    return false;
}

bool follow_wanted(const struct request *r)
{
    if (r->method != HTTP_M_GET || strcmp(r->path, "/v1/events") != 0)
        return false;
    if (r->accept && strstr(r->accept, FOLLOW_TYPE))
        return true;
    return !(r->accept && strstr(r->accept, "application/json")) && !has_param(r->query, "limit") &&
           !has_param(r->query, "after");
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    free(f->type);
    free(f->swarm);
    free(f->name);
    free(f);
}

int follow_new(const struct route *route, const struct request *r, const struct reading *reading,
               struct follow **ret, struct err *e)
{
    CLEANUP(call_fini) struct call c;
    int64_t seq;
    int rc = api_parse(route, r, &c, e);
    if (rc < 0)
        return rc;
    struct log_query *q = c.query;
    if (r->last_event_id)
        mem_replace(&q->after, r->last_event_id);
    rc = after_of(q, reading, r->last_event_id ? "Last-Event-ID" : "after", &seq, e);
    if (rc < 0)
        return rc;
    struct follow *f = mem_alloc(sizeof *f);
    *f = (struct follow){TAKE(q->type), TAKE(q->swarm), TAKE(q->name), seq};
    if (!q->after)
        f->seq = store_number(reading->store, Q_LOG_NEWEST, 0, "");
    *ret = f;
    return 0;
}

static void frame(struct stmt *s, const struct frozen *f, struct str *ret)
{
    str_printf(ret, "id: %s:%lld\ndata: ", f->name, (long long)col_i64(s, 0));
    struct jw j = jw_init(ret);
    size_t at = ret->n;
    show_event(s, f->name, &j);
    for (size_t i = at; i < ret->n; i++) /* a user's JSON may have line ends between its tokens */
        if (ret->p[i] == '\n' || ret->p[i] == '\r')
            ret->p[i] = ' ';
    str_puts(ret, "\n\n");
}

int follow_read(struct follow *f, const struct reading *reading, struct str *ret, struct err *e)
{
    int rows = 0, rc = 1;
    struct log_query q = {.type = f->type, .swarm = f->swarm, .name = f->name};
    struct stmt *s = store_ask(reading->store, Q_LOG_PAGE, "ii", f->seq, (int64_t)FOLLOW_ROWS);
    while (ret->n < FOLLOW_BYTES && (rc = stmt_step(s, e)) == 1) {
        f->seq = col_i64(s, 0);
        rows++;
        if (passes(EVENTS, &q, s))
            frame(s, reading->frozen, ret);
    }
    stmt_reset(s);
    return rc < 0 ? rc : rows;
}

const struct route event_routes[] = {
    {HTTP_M_GET, "/v1/events", ROLE_READ, API_READER, API_BODY_BYTES, false, events_params,
     COUNT(events_params), sizeof(struct log_query), NULL, events_read, NULL,
     "List what happened, as this node saw it, oldest first."},
    {HTTP_M_GET, "/v1/audit", ROLE_READ, API_READER, API_BODY_BYTES, false, page_params, COUNT(page_params),
     sizeof(struct log_query), NULL, audit_read, NULL,
     "List who changed what through this node, oldest first."},
    {HTTP_M_GET, "/v1/incidents", ROLE_READ, API_READER, API_BODY_BYTES, false, page_params,
     COUNT(page_params), sizeof(struct log_query), NULL, incidents_read, NULL,
     "List what went wrong, as this node saw it, oldest first."},
    {0},
};
