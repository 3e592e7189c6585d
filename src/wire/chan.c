/* chan: lines of the worker's channel (the list is in chan.h). Two tables decide everything about lines from
 * a worker: `fields` says how each field is read, `lines` which of them a type needs and may carry. A type
 * with several meanings ("fail") has a row for each, told apart by the field that it needs. */
#include "wire/chan.h"

#include <string.h>

#include "base/ensure.h"
#include "wire/json.h"

#define TEXT_MAX   1024  /* bytes of ref, ack, turn, id, role */
#define PATH_BYTES 16384 /* bytes of a request's path with query */
#define DETAIL_MAX 65536

struct raw_line {
    char *type;
    struct chan_line line;
};

enum {
    F_TYPE,
    F_REF,
    F_ACK,
    F_TURN,
    F_ID,
    F_ROLE,
    F_METHOD,
    F_PATH,
    F_DETAIL,
    F_DATA,
    F_STATE,
    F_CONTENT,
    F_CALLS,
    F_RESULT,
    F_BODY,
    F_N
};

#define LINE(member) offsetof(struct raw_line, line.member)
#define TEXT(word, most)                                                                                     \
    .name = #word, .kind = JSON_STRING, .offset = LINE(word), .bytes_max = most, .nullable = true
#define RAW(word) .name = #word, .kind = JSON_RAW, .offset = LINE(word)

static const struct json_field fields[F_N] = {
    [F_TYPE] = {.name = "type",
                .kind = JSON_STRING,
                .offset = offsetof(struct raw_line, type),
                .required = true},
    [F_REF] = {TEXT(ref, TEXT_MAX)},
    [F_ACK] = {TEXT(ack, TEXT_MAX)},
    [F_TURN] = {TEXT(turn, TEXT_MAX)},
    [F_ID] = {TEXT(id, TEXT_MAX)},
    [F_ROLE] = {TEXT(role, TEXT_MAX)},
    [F_METHOD] = {TEXT(method, 16)},
    [F_PATH] = {TEXT(path, PATH_BYTES)},
    [F_DETAIL] = {TEXT(detail, DETAIL_MAX), .may_be_empty = true},
    [F_DATA] = {RAW(data)},
    [F_STATE] = {RAW(state)},
    [F_CONTENT] = {RAW(content)},
    [F_CALLS] = {.name = "calls", .kind = JSON_RAW_ARRAY, .offset = LINE(calls)},
    [F_RESULT] = {RAW(result)},
    [F_BODY] = {RAW(body)},
};

static const struct json_table table = JSON_TABLE(struct raw_line, fields);

#define BIT(f) (1u << (f))

static const struct {
    const char *word;
    unsigned needs, may;
} lines[] = {
    [CHAN_READY] = {"ready", 0, BIT(F_ACK)},
    [CHAN_STATE] = {"state", BIT(F_REF) | BIT(F_DATA), 0},
    [CHAN_IGNORE] = {"ignore", BIT(F_REF), 0},
    [CHAN_RESTORED] = {"restored", BIT(F_REF), 0},
    [CHAN_CHECKPOINT] = {"checkpoint", BIT(F_DATA), BIT(F_ACK)},
    [CHAN_REPLY] = {"reply", BIT(F_REF) | BIT(F_DATA), 0},
    [CHAN_FAIL_CALL] = {"fail", BIT(F_REF), BIT(F_DETAIL)},
    [CHAN_NEXT] = {"next", BIT(F_ID) | BIT(F_DATA), 0},
    [CHAN_DROP] = {"drop", BIT(F_ID), BIT(F_DETAIL)},
    [CHAN_FAIL_WORK] = {"fail", BIT(F_ID), BIT(F_DETAIL)},
    [CHAN_APPEND] = {"append", BIT(F_TURN) | BIT(F_ROLE) | BIT(F_CONTENT), BIT(F_ACK)},
    [CHAN_SAVE] = {"save", BIT(F_TURN) | BIT(F_STATE), BIT(F_ACK)},
    [CHAN_PARK] = {"park", BIT(F_TURN) | BIT(F_CALLS), BIT(F_ACK)},
    [CHAN_DONE] = {"done", BIT(F_TURN), BIT(F_RESULT) | BIT(F_ACK)},
    [CHAN_FAIL_TURN] = {"fail", BIT(F_TURN), BIT(F_DETAIL) | BIT(F_ACK)},
    [CHAN_REQUEST] = {"request", BIT(F_REF) | BIT(F_METHOD) | BIT(F_PATH), BIT(F_BODY)},
};

const char *chan_type_word(enum chan_type type)
{
    ensure((size_t)type < COUNT(lines), "line of type %d", (int)type);
    return lines[type].word;
}

void chan_line_fini(struct chan_line *line)
{
    struct raw_line raw = {.line = *line};
    json_release(&table, &raw);
    *line = raw.line;
}

static unsigned fields_of(const struct raw_line *raw)
{
    unsigned had = 0;
    for (unsigned f = F_REF; f < F_N; f++) {
        const void *member = (const char *)raw + fields[f].offset;
        bool text = fields[f].kind == JSON_STRING;
        if (text ? *(char *const *)member != NULL : ((const struct span *)member)->p != NULL)
            had |= BIT(f);
    }
    return had;
}

static void name_fields(struct str *s, unsigned set, const char *between)
{
    size_t start = s->n;
    for (unsigned f = 0; f < F_N; f++)
        if (set & BIT(f))
            str_printf(s, "%s%s", s->n > start ? between : "", fields[f].name);
}

static int unknown_type(const char *word, struct err *e)
{
    AUTOSTR struct str known = STR_INIT;
    for (size_t i = 0; i < COUNT(lines); i++) /* each word once; none is a part of another */
        if (!strstr(str_get(&known), lines[i].word))
            str_printf(&known, "%s%s", known.n ? ", " : "", lines[i].word);
    bool clean = strlen(word) < 64 && text_is_clean(word, strlen(word));
    return err_field(e, SKEP_EARG, "type", "unknown type of line \"%s\"; known: %s", clean ? word : "?",
                     str_get(&known));
}

/* A line whose type is known and whose fields are not those of any row of it. */
static int wrong_fields(const char *word, unsigned had, struct err *e)
{
    AUTOSTR struct str forms = STR_INIT, names = STR_INIT;
    unsigned known = 0;
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (strcmp(lines[i].word, word) != 0)
            continue;
        known |= lines[i].needs | lines[i].may;
        str_puts(&forms, forms.n ? "; or " : "");
        name_fields(&forms, lines[i].needs, ", ");
        str_printf(&forms, "%s[", lines[i].needs ? " " : "");
        name_fields(&forms, lines[i].may, ", ");
        str_putc(&forms, ']');
    }
    name_fields(&names, had & ~known ? had & ~known : had, ", ");
    if (had & ~known)
        return err_field(e, SKEP_EARG, str_get(&names), "a \"%s\" line has no field %s; its fields: %s", word,
                         str_get(&names), str_get(&forms));
    return err_set(e, SKEP_EARG, "a \"%s\" line with the fields [%s] is not complete; its fields: %s", word,
                   str_get(&names), str_get(&forms));
}

static int find_type(const struct raw_line *raw, enum chan_type *ret, struct err *e)
{
    unsigned had = fields_of(raw);
    bool known = false;
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (strcmp(lines[i].word, raw->type) != 0)
            continue;
        known = true;
        if ((had & lines[i].needs) == lines[i].needs && !(had & ~(lines[i].needs | lines[i].may))) {
            *ret = (enum chan_type)i;
            return 0;
        }
    }
    return known ? wrong_fields(raw->type, had, e) : unknown_type(raw->type, e);
}

static char *find_ack(struct span line)
{
    AUTOSTR struct str text = STR_INIT;
    struct span ack = json_raw_member(line.p, line.n, "ack");
    return ack.p && ack.n <= TEXT_MAX && json_unquote(ack, &text) ? str_take(&text) : NULL;
}

int chan_decode(const char *p, size_t n, struct chan_line *ret_line, char **ret_ack, struct err *e)
{
    struct raw_line raw = {0};
    if (ret_ack)
        *ret_ack = NULL;
    if (n > CHAN_LINE_MAX)
        return err_set(e, SKEP_ETOOLARGE, "a line of %zu bytes; %zu are allowed", n, CHAN_LINE_MAX);
    int rc = json_check(p, n, e);
    if (rc < 0)
        return rc;
    if (ret_ack)
        *ret_ack = find_ack((struct span){p, n});
    rc = json_read_checked((struct span){p, n}, NULL, &table, &raw, e);
    if (rc == 0)
        rc = find_type(&raw, &raw.line.type, e);
    if (rc == 0)
        *ret_line = raw.line;
    else
        chan_line_fini(&raw.line);
    free(raw.type);
    return rc;
}

/* ---- To the worker ---- */

static struct jw begin(struct str *s, const char *type)
{
    struct jw j = jw_init(s);
    j.one_line = true;
    jw_object(&j);
    jw_kv_string(&j, "type", type);
    return j;
}

static void end(struct jw *j)
{
    jw_object_close(j);
    jw_end(j);
}

void chan_start(struct str *s, struct span state, struct span metadata, bool active)
{
    struct jw j = begin(s, "start");
    if (state.p)
        jw_kv_raw(&j, "state", state);
    jw_kv_raw(&j, "metadata", metadata);
    jw_kv_string(&j, "mode", active ? "active" : "passive");
    end(&j);
}

void chan_begin_handoff(struct str *s, const char *ref, int64_t deadline_ms)
{
    struct jw j = begin(s, "begin_handoff");
    jw_kv_string(&j, "ref", ref);
    jw_kv_i64(&j, "deadline_ms", deadline_ms);
    end(&j);
}

void chan_end_handoff(struct str *s, const char *ref, struct span state)
{
    struct jw j = begin(s, "end_handoff");
    jw_kv_string(&j, "ref", ref);
    jw_kv_raw(&j, "state", state);
    end(&j);
}

void chan_resolve_conflict(struct str *s, struct span state, const char *node)
{
    struct jw j = begin(s, "resolve_conflict");
    jw_kv_raw(&j, "state", state);
    jw_kv_string(&j, "node", node);
    end(&j);
}

void chan_mode(struct str *s, bool active)
{
    struct jw j = begin(s, "mode");
    jw_kv_string(&j, "mode", active ? "active" : "passive");
    end(&j);
}

void chan_message(struct str *s, const char *id, const char *from, struct span data)
{
    struct jw j = begin(s, "message");
    jw_kv_string(&j, "id", id);
    jw_kv_string(&j, "from", from);
    jw_kv_raw(&j, "data", data);
    end(&j);
}

void chan_call(struct str *s, const char *ref, const char *from, struct span data)
{
    struct jw j = begin(s, "call");
    jw_kv_string(&j, "ref", ref);
    jw_kv_string(&j, "from", from);
    jw_kv_raw(&j, "data", data);
    end(&j);
}

void chan_work(struct str *s, const struct chan_work *w)
{
    struct jw j = begin(s, "work");
    jw_kv_string(&j, "id", w->id);
    jw_kv_string(&j, "chain", w->chain);
    jw_kv_string(&j, "stage", w->stage);
    jw_kv_string(&j, "key", w->key);
    jw_kv_raw(&j, "data", w->data);
    end(&j);
}

void chan_turn(struct str *s, const struct chan_turn *t)
{
    struct jw j = begin(s, "turn");
    jw_kv_string(&j, "session", t->session);
    jw_kv_string(&j, "turn", t->turn);
    jw_kv_i64_text(&j, "epoch", t->epoch);
    jw_kv_raw(&j, "input", t->input);
    jw_kv_raw(&j, "history", t->history.p ? t->history : (struct span){"[]", 2});
    jw_kv_raw(&j, "state", t->state);
    jw_kv_bool(&j, "resumed", t->resumed);
    end(&j);
}

void chan_approved(struct str *s, const char *turn, struct span decisions)
{
    struct jw j = begin(s, "approved");
    jw_kv_string(&j, "turn", turn);
    jw_kv_raw(&j, "decisions", decisions);
    end(&j);
}

void chan_cancel(struct str *s, const char *turn)
{
    struct jw j = begin(s, "cancel");
    jw_kv_string(&j, "turn", turn);
    end(&j);
}

void chan_response(struct str *s, const char *ref, int status, const char *body, size_t n)
{
    struct jw j = begin(s, "response");
    jw_kv_string(&j, "ref", ref);
    jw_kv_i64(&j, "status", status);
    jw_key(&j, "body");
    if (n == 0)
        jw_null(&j);
    else if (json_check(body, n, NULL) == 0)
        jw_raw(&j, (struct span){body, n});
    else
        jw_string_n(&j, body, n);
    end(&j);
}

void chan_ok(struct str *s, const char *ack, int copies)
{
    struct jw j = begin(s, "ok");
    jw_kv_string(&j, "ack", ack);
    if (copies >= 0)
        jw_kv_i64(&j, "copies", copies);
    end(&j);
}

void chan_error(struct str *s, const char *ack, const struct err *error)
{
    struct jw j = begin(s, "error");
    jw_kv_string(&j, "ack", ack);
    jw_kv_string(&j, "code", err_info(error->code)->word);
    jw_kv_string(&j, "detail", error->text);
    end(&j);
}

void chan_stop(struct str *s, enum chan_stop reason, int64_t deadline_ms)
{
    static const char *const words[] = {
        [CHAN_SHUTDOWN] = "shutdown", [CHAN_MOVED] = "moved",     [CHAN_NAME_CONFLICT] = "name_conflict",
        [CHAN_FENCED] = "fenced",     [CHAN_REMOVED] = "removed", [CHAN_RESTART] = "restart"};
    ensure((size_t)reason < COUNT(words), "stop for reason %d", (int)reason);
    struct jw j = begin(s, "stop");
    jw_kv_string(&j, "reason", words[reason]);
    jw_kv_i64(&j, "deadline_ms", deadline_ms);
    end(&j);
}
