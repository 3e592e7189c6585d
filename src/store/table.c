#include "store/table.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "core/dot.h"
#include "wire/json.h"

#define INT(m)                                                                                               \
    {                                                                                                        \
#m, VAL_INT,                                                                                         \
        {                                                                                                    \
            .type = VAL_INT                                                                                  \
        }                                                                                                    \
    }
#define TEXT(m)                                                                                              \
    {                                                                                                        \
#m, VAL_TEXT,                                                                                        \
        {                                                                                                    \
            .type = VAL_NULL                                                                                 \
        }                                                                                                    \
    }
#define BLOB(m)                                                                                              \
    {                                                                                                        \
#m, VAL_BLOB,                                                                                        \
        {                                                                                                    \
            .type = VAL_NULL                                                                                 \
        }                                                                                                    \
    }
#define AT(S, m) offsetof(struct S, m)
#define BIT(i)   (UINT32_C(1) << (i))

#define TABLE(id, S, n, ...)                                                                                 \
    [id] = {.name = n, .row_bytes = sizeof(struct S), .extra = offsetof(struct S, extra), __VA_ARGS__}

static const struct table tables[T_N] = {
#ifdef SKEP_TABLES_OLD /* as in 0001: what an older program knows, for the test of a mixed cluster */
    TABLE(T_NODE, node_row, "node", .cols_n = 11,
          .cols = {INT(actor), TEXT(boot), INT(draining), INT(member), TEXT(name), TEXT(node),
                   INT(started_at), TEXT(state), TEXT(url), TEXT(version), INT(weight)},
          .offset = {AT(node_row, actor), AT(node_row, boot), AT(node_row, draining), AT(node_row, member),
                     AT(node_row, name), AT(node_row, node), AT(node_row, started_at), AT(node_row, state),
                     AT(node_row, url), AT(node_row, version), AT(node_row, weight)},
          .keys_n = 1, .key = {5}, .epoch = -1, .actors = BIT(0)),
#else
    TABLE(T_NODE, node_row, "node", .cols_n = 14,
          .cols = {INT(actor), TEXT(boot), INT(draining), TEXT(labels), INT(max_children), INT(member),
                   TEXT(name), TEXT(node), INT(schema), INT(started_at), TEXT(state), TEXT(url),
                   TEXT(version), INT(weight)},
          .offset = {AT(node_row, actor), AT(node_row, boot), AT(node_row, draining), AT(node_row, labels),
                     AT(node_row, max_children), AT(node_row, member), AT(node_row, name), AT(node_row, node),
                     AT(node_row, schema), AT(node_row, started_at), AT(node_row, state), AT(node_row, url),
                     AT(node_row, version), AT(node_row, weight)},
          .keys_n = 1, .key = {7}, .epoch = -1, .json = BIT(3), .actors = BIT(0)),
#endif
    TABLE(T_NODE_MARK, node_mark_row, "node_mark", .cols_n = 3,
          .cols = {INT(forgotten_at), TEXT(node), TEXT(role)},
          .offset = {AT(node_mark_row, forgotten_at), AT(node_mark_row, node), AT(node_mark_row, role)},
          .keys_n = 1, .key = {1}, .epoch = -1),
    TABLE(T_ACTOR, actor_row, "actor", .cols_n = 4,
          .cols = {INT(actor), TEXT(boot), INT(born_at), TEXT(node)},
          .offset = {AT(actor_row, actor), AT(actor_row, boot), AT(actor_row, born_at), AT(actor_row, node)},
          .keys_n = 1, .key = {0}, .epoch = -1, .actors = BIT(0)),
    TABLE(T_SWARM, swarm_row, "swarm", .cols_n = 2, .cols = {TEXT(settings), TEXT(swarm)},
          .offset = {AT(swarm_row, settings), AT(swarm_row, swarm)}, .keys_n = 1, .key = {1}, .epoch = -1,
          .json = BIT(0), .needed = BIT(0)),
    TABLE(T_TOKEN, token_row, "token", .cols_n = 8,
          .cols = {INT(created_at), INT(expires_at), TEXT(hash), TEXT(name), TEXT(role), TEXT(swarm),
                   TEXT(token), INT(used_at)},
          .offset = {AT(token_row, created_at), AT(token_row, expires_at), AT(token_row, hash),
                     AT(token_row, name), AT(token_row, role), AT(token_row, swarm), AT(token_row, token),
                     AT(token_row, used_at)},
          .keys_n = 1, .key = {6}, .epoch = -1),
    TABLE(T_IDEM, idem_row, "idem", .cols_n = 5,
          .cols = {TEXT(answer), INT(at), TEXT(key), TEXT(request), INT(status)},
          .offset = {AT(idem_row, answer), AT(idem_row, at), AT(idem_row, key), AT(idem_row, request),
                     AT(idem_row, status)},
          .keys_n = 1, .key = {2}, .epoch = -1),
#ifdef SKEP_TABLES_OLD
    TABLE(T_NAME, name_row, "name", .cols_n = 15,
          .cols = {TEXT(address), INT(epoch), INT(expires_at), INT(incarnation), TEXT(kind), TEXT(metadata),
                   TEXT(name), TEXT(op), TEXT(owner), INT(owner_actor), INT(since), TEXT(spec), TEXT(swarm),
                   INT(ttl_ms), TEXT(view)},
          .offset = {AT(name_row, address), AT(name_row, epoch), AT(name_row, expires_at),
                     AT(name_row, incarnation), AT(name_row, kind), AT(name_row, metadata),
                     AT(name_row, name), AT(name_row, op), AT(name_row, owner), AT(name_row, owner_actor),
                     AT(name_row, since), AT(name_row, spec), AT(name_row, swarm), AT(name_row, ttl_ms),
                     AT(name_row, view)},
          .keys_n = 2, .key = {12, 6}, .epoch = 1, .json = BIT(5) | BIT(11), .needed = BIT(4),
          .actors = BIT(9)),
#else
    TABLE(T_NAME, name_row, "name", .cols_n = 16,
          .cols = {TEXT(address), TEXT(cause), INT(epoch), INT(expires_at), INT(incarnation), TEXT(kind),
                   TEXT(metadata), TEXT(name), TEXT(op), TEXT(owner), INT(owner_actor), INT(since),
                   TEXT(spec), TEXT(swarm), INT(ttl_ms), TEXT(view)},
          .offset = {AT(name_row, address), AT(name_row, cause), AT(name_row, epoch),
                     AT(name_row, expires_at), AT(name_row, incarnation), AT(name_row, kind),
                     AT(name_row, metadata), AT(name_row, name), AT(name_row, op), AT(name_row, owner),
                     AT(name_row, owner_actor), AT(name_row, since), AT(name_row, spec), AT(name_row, swarm),
                     AT(name_row, ttl_ms), AT(name_row, view)},
          .keys_n = 2, .key = {13, 7}, .epoch = 2, .json = BIT(1) | BIT(6) | BIT(12), .needed = BIT(5),
          .actors = BIT(10)),
#endif
    TABLE(T_CHILD, child_row, "child", .cols_n = 10,
          .cols = {INT(at), INT(epoch), TEXT(name), TEXT(node), INT(pid), TEXT(reason), INT(restarts),
                   INT(started_at), TEXT(status), TEXT(swarm)},
          .offset = {AT(child_row, at), AT(child_row, epoch), AT(child_row, name), AT(child_row, node),
                     AT(child_row, pid), AT(child_row, reason), AT(child_row, restarts),
                     AT(child_row, started_at), AT(child_row, status), AT(child_row, swarm)},
          .keys_n = 2, .key = {9, 2}, .epoch = 1, .json = BIT(5)),
#ifdef SKEP_TABLES_OLD
    TABLE(T_METADATA, metadata_row, "metadata", .cols_n = 4,
          .cols = {TEXT(data), INT(epoch), TEXT(name), TEXT(swarm)},
          .offset = {AT(metadata_row, data), AT(metadata_row, epoch), AT(metadata_row, name),
                     AT(metadata_row, swarm)},
          .keys_n = 2, .key = {3, 2}, .epoch = 1, .json = BIT(0), .needed = BIT(0)),
#else
    TABLE(T_METADATA, metadata_row, "metadata", .cols_n = 5,
          .cols = {TEXT(data), INT(epoch), TEXT(name), TEXT(swarm), TEXT(tag)},
          .offset = {AT(metadata_row, data), AT(metadata_row, epoch), AT(metadata_row, name),
                     AT(metadata_row, swarm), AT(metadata_row, tag)},
          .keys_n = 2, .key = {3, 2}, .epoch = 1, .json = BIT(0), .needed = BIT(0)),
#endif
    TABLE(T_CHECKPOINT, checkpoint_row, "checkpoint", .cols_n = 5,
          .cols = {INT(at), BLOB(data), INT(epoch), TEXT(name), TEXT(swarm)},
          .offset = {AT(checkpoint_row, at), AT(checkpoint_row, data), AT(checkpoint_row, epoch),
                     AT(checkpoint_row, name), AT(checkpoint_row, swarm)},
          .keys_n = 2, .key = {4, 3}, .epoch = 2, .json = BIT(1)),
    TABLE(T_HANDOFF, handoff_row, "handoff", .cols_n = 8,
          .cols = {INT(at), INT(bytes), INT(chunks), INT(epoch), INT(expires_at), TEXT(name), TEXT(node),
                   TEXT(swarm)},
          .offset = {AT(handoff_row, at), AT(handoff_row, bytes), AT(handoff_row, chunks),
                     AT(handoff_row, epoch), AT(handoff_row, expires_at), AT(handoff_row, name),
                     AT(handoff_row, node), AT(handoff_row, swarm)},
          .keys_n = 2, .key = {7, 5}, .epoch = 3),
    TABLE(T_CHUNK, chunk_row, "chunk", .cols_n = 5,
          .cols = {BLOB(data), INT(epoch), INT(idx), TEXT(name), TEXT(swarm)},
          .offset = {AT(chunk_row, data), AT(chunk_row, epoch), AT(chunk_row, idx), AT(chunk_row, name),
                     AT(chunk_row, swarm)},
          .keys_n = 4, .key = {4, 3, 1, 2}, .epoch = -1),
    TABLE(T_TEMPLATE, template_row, "template", .cols_n = 2, .cols = {TEXT(spec), TEXT(template)},
          .offset = {AT(template_row, spec), AT(template_row, template)}, .keys_n = 1, .key = {1},
          .epoch = -1, .json = BIT(0)),
    TABLE(T_SESSION, session_row, "session", .cols_n = 11,
          .cols = {TEXT(consistency), INT(created_at), INT(epoch), TEXT(head), TEXT(metadata), TEXT(resume),
                   TEXT(session), TEXT(status), TEXT(template), INT(ttl_ms), INT(updated_at)},
          .offset = {AT(session_row, consistency), AT(session_row, created_at), AT(session_row, epoch),
                     AT(session_row, head), AT(session_row, metadata), AT(session_row, resume),
                     AT(session_row, session), AT(session_row, status), AT(session_row, template),
                     AT(session_row, ttl_ms), AT(session_row, updated_at)},
          .keys_n = 1, .key = {6}, .epoch = 2, .json = BIT(4)),
    TABLE(T_ENTRY, entry_row, "entry", .cols_n = 9,
          .cols = {INT(at), TEXT(content), TEXT(entry), INT(epoch), TEXT(parent), TEXT(role), INT(seq),
                   TEXT(session), TEXT(turn)},
          .offset = {AT(entry_row, at), AT(entry_row, content), AT(entry_row, entry), AT(entry_row, epoch),
                     AT(entry_row, parent), AT(entry_row, role), AT(entry_row, seq), AT(entry_row, session),
                     AT(entry_row, turn)},
          .keys_n = 2, .key = {7, 2}, .epoch = -1, .json = BIT(1), .needed = BIT(1) | BIT(5),
          .under = T_SESSION, .distance = 6),
    TABLE(T_TURN, turn_row, "turn", .cols_n = 11,
          .cols = {INT(attempts), INT(created_at), TEXT(detail), INT(ended_at), INT(epoch), TEXT(input),
                   TEXT(node), TEXT(result), TEXT(session), TEXT(status), TEXT(turn)},
          .offset = {AT(turn_row, attempts), AT(turn_row, created_at), AT(turn_row, detail),
                     AT(turn_row, ended_at), AT(turn_row, epoch), AT(turn_row, input), AT(turn_row, node),
                     AT(turn_row, result), AT(turn_row, session), AT(turn_row, status), AT(turn_row, turn)},
          .keys_n = 2, .key = {8, 10}, .epoch = 4, .json = BIT(5) | BIT(7), .under = T_SESSION),
    TABLE(T_SESSION_STATE, session_state_row, "session_state", .cols_n = 3,
          .cols = {INT(epoch), TEXT(session), TEXT(state)},
          .offset = {AT(session_state_row, epoch), AT(session_state_row, session),
                     AT(session_state_row, state)},
          .keys_n = 1, .key = {1}, .epoch = 0, .json = BIT(2), .under = T_SESSION),
    TABLE(T_CONFLICT, conflict_row, "conflict", .cols_n = 6,
          .cols = {INT(at), BLOB(data), INT(epoch), TEXT(name), TEXT(node), TEXT(swarm)},
          .offset = {AT(conflict_row, at), AT(conflict_row, data), AT(conflict_row, epoch),
                     AT(conflict_row, name), AT(conflict_row, node), AT(conflict_row, swarm)},
          .keys_n = 3, .key = {5, 3, 2}, .epoch = -1, .json = BIT(1)),
    TABLE(T_SERVE, serve_row, "serve", .cols_n = 3, .cols = {INT(at), TEXT(node), TEXT(swarm)},
          .offset = {AT(serve_row, at), AT(serve_row, node), AT(serve_row, swarm)}, .keys_n = 2,
          .key = {2, 1}, .epoch = -1),
    TABLE(T_SCORE, score_row, "score", .cols_n = 4, .cols = {INT(at), TEXT(data), TEXT(node), INT(permille)},
          .offset = {AT(score_row, at), AT(score_row, data), AT(score_row, node), AT(score_row, permille)},
          .keys_n = 1, .key = {2}, .epoch = -1, .json = BIT(1)),
    TABLE(T_HOOK, hook_row, "hook", .cols_n = 3, .cols = {TEXT(event), TEXT(hook), TEXT(spec)},
          .offset = {AT(hook_row, event), AT(hook_row, hook), AT(hook_row, spec)}, .keys_n = 2, .key = {0, 1},
          .epoch = -1, .json = BIT(2), .needed = BIT(2)),
    TABLE(T_OPERATION, operation_row, "operation", .cols_n = 11,
          .cols = {INT(at), INT(deadline), INT(ended_at), INT(epoch), TEXT(kind), TEXT(node), TEXT(operation),
                   TEXT(options), TEXT(state), TEXT(swarm), TEXT(who)},
          .offset = {AT(operation_row, at), AT(operation_row, deadline), AT(operation_row, ended_at),
                     AT(operation_row, epoch), AT(operation_row, kind), AT(operation_row, node),
                     AT(operation_row, operation), AT(operation_row, options), AT(operation_row, state),
                     AT(operation_row, swarm), AT(operation_row, who)},
          .keys_n = 1, .key = {6}, .epoch = 3, .json = BIT(7), .needed = BIT(4) | BIT(8) | BIT(9)),
    TABLE(T_OPERATION_PART, operation_part_row, "operation_part", .cols_n = 7,
          .cols = {TEXT(body), INT(epoch), TEXT(node), TEXT(operation), INT(part), TEXT(result), TEXT(state)},
          .offset = {AT(operation_part_row, body), AT(operation_part_row, epoch),
                     AT(operation_part_row, node), AT(operation_part_row, operation),
                     AT(operation_part_row, part), AT(operation_part_row, result),
                     AT(operation_part_row, state)},
          .keys_n = 2, .key = {3, 4}, .epoch = 1, .json = BIT(0) | BIT(5), .needed = BIT(0) | BIT(6)),
    TABLE(T_PROCESS_GROUP, process_group_row, "process_group", .cols_n = 3,
          .cols = {TEXT(process_group), TEXT(settings), TEXT(swarm)},
          .offset = {AT(process_group_row, process_group), AT(process_group_row, settings),
                     AT(process_group_row, swarm)},
          .keys_n = 2, .key = {2, 0}, .epoch = -1, .json = BIT(1)),
    TABLE(T_MEMBER, member_row, "member", .cols_n = 7,
          .cols = {INT(at), INT(incarnation), TEXT(metadata), TEXT(name), TEXT(process_group), TEXT(swarm),
                   TEXT(tag)},
          .offset = {AT(member_row, at), AT(member_row, incarnation), AT(member_row, metadata),
                     AT(member_row, name), AT(member_row, process_group), AT(member_row, swarm),
                     AT(member_row, tag)},
          .keys_n = 4, .key = {5, 4, 3, 6}, .epoch = -1, .json = BIT(2)),
    TABLE(T_NEWS, news_row, "news", .cols_n = 9,
          .cols = {TEXT(about), TEXT(data), INT(epoch), TEXT(name), TEXT(node), INT(seq), INT(slot),
                   TEXT(swarm), TEXT(type)},
          .offset = {AT(news_row, about), AT(news_row, data), AT(news_row, epoch), AT(news_row, name),
                     AT(news_row, node), AT(news_row, seq), AT(news_row, slot), AT(news_row, swarm),
                     AT(news_row, type)},
          .keys_n = 2, .key = {4, 6}, .epoch = -1, .json = BIT(1), .needed = BIT(8)),
};

const struct table *table_get(enum table_id t)
{
    ensure((unsigned)t < T_N, "table %d", (int)t);
    return &tables[t];
}

#ifdef SKEP_TABLES_OLD
#define TABLES_KNOWN T_CONFLICT
#else
#define TABLES_KNOWN T_N
#endif

enum table_id table_find(struct span name)
{
    for (int t = 0; t < TABLES_KNOWN; t++)
        if (strlen(tables[t].name) == name.n && memcmp(tables[t].name, name.p, name.n) == 0)
            return (enum table_id)t;
    return T_N;
}

static struct val text_val(const char *s)
{
    return s ? (struct val){.type = VAL_TEXT, .p = s, .n = strlen(s)} : (struct val){.type = VAL_NULL};
}

static struct val blob_val(const struct blob *b)
{
    return b->p ? (struct val){.type = VAL_BLOB, .p = b->p, .n = b->n} : (struct val){.type = VAL_NULL};
}

void table_vals(const struct table *t, const void *row, struct val ret[TABLE_COLS_MAX])
{
    for (int i = 0; i < t->cols_n; i++) {
        const char *at = (const char *)row + t->offset[i];
        if (t->cols[i].type == VAL_INT)
            ret[i] = (struct val){.type = VAL_INT, .i = *(const int64_t *)(const void *)at};
        else if (t->cols[i].type == VAL_TEXT)
            ret[i] = text_val(*(char *const *)(const void *)at);
        else
            ret[i] = blob_val((const struct blob *)(const void *)at);
    }
}

int64_t table_rank(const struct table *t, const struct val vals[TABLE_COLS_MAX])
{
    if (t->epoch >= 0)
        return vals[t->epoch].i;
    if (!t->distance)
        return 0;
    int64_t far = vals[t->distance].i;
    return RANK_ROOT - (far < 0 ? 0 : far > RANK_FAR ? RANK_FAR : far);
}

bool table_is_key(const struct table *t, int col)
{
    for (int k = 0; k < t->keys_n; k++)
        if (t->key[k] == col)
            return true;
    return false;
}

bool table_fits(const struct table *t, const struct val vals[TABLE_COLS_MAX])
{
    for (int i = 0; i < t->cols_n; i++) {
        const struct val *v = &vals[i];
        if (v->type == VAL_NULL) {
            if (t->cols[i].type == VAL_INT || table_is_key(t, i) || t->needed & BIT(i))
                return false;
        } else if (t->json & BIT(i)) {
            if (json_check(v->p, v->n, NULL) < 0)
                return false;
        } else if (v->type == VAL_INT && !(t->actors & BIT(i)) &&
                   (v->i > TABLE_INT_MAX || v->i < -TABLE_INT_MAX)) {
            return false;
        } else if (v->type == VAL_TEXT && !text_is_utf8(v->p, v->n)) {
            return false;
        }
    }
    return true;
}

void table_fill(const struct table *t, void *row, const struct val vals[TABLE_COLS_MAX])
{
    for (int i = 0; i < t->cols_n; i++) {
        char *at = (char *)row + t->offset[i];
        const struct val *v = &vals[i];
        if (t->cols[i].type == VAL_INT)
            *(int64_t *)(void *)at = v->i;
        else if (t->cols[i].type == VAL_TEXT)
            *(char **)(void *)at = v->type == VAL_NULL ? NULL : mem_copy(v->p, v->n);
        else
            *(struct blob *)(void *)at =
                v->type == VAL_NULL ? (struct blob){0} : (struct blob){mem_copy(v->p, v->n), v->n};
    }
}

void table_key(const struct table *t, const struct val vals[TABLE_COLS_MAX], struct str *ret)
{
    for (int k = 0; k < t->keys_n; k++) {
        const struct val *v = &vals[t->key[k]];
        if (k)
            str_putc(ret, '/');
        if (v->type == VAL_INT) {
            str_printf(ret, "%lld", (long long)v->i);
            continue;
        }
        for (size_t i = 0; i < v->n; i++)
            if (v->p[i] == '/' || v->p[i] == '%')
                str_puts(ret, v->p[i] == '/' ? "%2F" : "%25");
            else
                str_putc(ret, v->p[i]);
    }
}

/* One part of a key into memory, decoded. */
static bool unescape(struct span part, struct str *memory)
{
    for (size_t i = 0; i < part.n; i++) {
        if (part.p[i] != '%') {
            str_putc(memory, part.p[i]);
            continue;
        }
        if (i + 2 >= part.n)
            return false;
        if (memcmp(part.p + i, "%2F", 3) != 0 && memcmp(part.p + i, "%25", 3) != 0)
            return false;
        str_putc(memory, part.p[i + 2] == 'F' ? '/' : '%');
        i += 2;
    }
    return text_is_utf8(part.p, part.n) && !memchr(part.p, 0, part.n);
}

bool table_unkey(const struct table *t, struct span key, struct str *memory, struct val ret[TABLE_KEYS_MAX])
{
    str_clear(memory);
    str_reserve(memory, key.n + 1); /* never moves below: decoded is never longer */
    for (int k = 0; k < t->keys_n; k++) {
        const char *slash = key.n ? memchr(key.p, '/', key.n) : NULL;
        bool last = k + 1 == t->keys_n;
        if (last != !slash)
            return false;
        struct span part = {key.p, slash ? (size_t)(slash - key.p) : key.n};
        size_t start = memory->n;
        if (t->cols[t->key[k]].type == VAL_INT) {
            AUTOFREE char *digits = mem_copy(part.p, part.n);
            ret[k] = (struct val){.type = VAL_INT};
            if (!text_i64(digits, INT64_MIN, INT64_MAX, &ret[k].i))
                return false;
        } else {
            if (!unescape(part, memory))
                return false;
            ret[k] = (struct val){.type = VAL_TEXT, .p = str_get(memory) + start, .n = memory->n - start};
        }
        if (slash)
            key = (struct span){slash + 1, key.n - part.n - 1};
    }
    return true;
}

struct span table_parent(struct span key)
{
    const char *slash = key.n ? memchr(key.p, '/', key.n) : NULL;
    return (struct span){key.p, slash ? (size_t)(slash - key.p) : key.n};
}

void row_fini(enum table_id id, void *row)
{
    const struct table *t = table_get(id);
    for (int i = 0; i < t->cols_n; i++) {
        char *at = (char *)row + t->offset[i];
        if (t->cols[i].type == VAL_TEXT)
            free(*(char **)(void *)at);
        else if (t->cols[i].type == VAL_BLOB)
            free(((struct blob *)(void *)at)->p);
    }
    free(((struct blob *)(void *)((char *)row + t->extra))->p);
    memset(row, 0, t->row_bytes);
}
