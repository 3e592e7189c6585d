/* Lines of the worker's channel, taken apart and put together.
 *
 * JSON of others is kept as the bytes it came in: cJSON says whether a text is JSON and what a string means;
 * where a member's value begins and ends is found by counting brackets, because cJSON's numbers are doubles.
 */
#include "lib/line.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {
    [SKEP_START] = "start",
    [SKEP_BEGIN_HANDOFF] = "begin_handoff",
    [SKEP_END_HANDOFF] = "end_handoff",
    [SKEP_RESOLVE_CONFLICT] = "resolve_conflict",
    [SKEP_MODE] = "mode",
    [SKEP_MESSAGE] = "message",
    [SKEP_CALL] = "call",
    [SKEP_WORK] = "work",
    [SKEP_TURN] = "turn",
    [SKEP_APPROVED] = "approved",
    [SKEP_CANCEL] = "cancel",
    [SKEP_RESPONSE] = "response",
    [SKEP_OK] = "ok",
    [SKEP_ERROR] = "error",
    [SKEP_STOP] = "stop",
};

enum field_kind { FIELD_STRING, FIELD_JSON, FIELD_LONG, FIELD_INT, FIELD_BOOL };

static const struct field {
    const char *member;
    size_t offset;
    enum field_kind kind;
} fields[] = {
#define STRING(name)                                                                                         \
    {                                                                                                        \
#name, offsetof(struct skep_line, name), FIELD_STRING                                                \
    }
#define JSON(name)                                                                                           \
    {                                                                                                        \
#name, offsetof(struct skep_line, name), FIELD_JSON                                                  \
    }
    STRING(ack),
    STRING(chain),
    STRING(code),
    STRING(epoch),
    STRING(from),
    STRING(id),
    STRING(key),
    STRING(mode),
    STRING(node),
    STRING(reason),
    STRING(ref),
    STRING(session),
    STRING(stage),
    STRING(turn),
    JSON(body),
    JSON(data),
    JSON(decisions),
    JSON(history),
    JSON(input),
    JSON(metadata),
    JSON(state),
    {"deadline_ms", offsetof(struct skep_line, deadline_ms), FIELD_LONG},
    {"status", offsetof(struct skep_line, status), FIELD_INT},
    {"copies", offsetof(struct skep_line, copies), FIELD_INT},
    {"resumed", offsetof(struct skep_line, resumed), FIELD_BOOL},
#undef STRING
#undef JSON
};

static char *skip_space(char *p)
{
    while (*p && (unsigned char)*p <= ' ')
        p++;
    return p;
}

/* p at the opening quote; returns what follows the closing one. */
static char *skip_string(char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : p;
}

static char *skip_value(char *p)
{
    int depth = 0;

    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        p++;
    } while (*p && (depth > 0 || (*p != ',' && *p != '}' && *p != ']' && (unsigned char)*p > ' ')));
    return p;
}

/* A member of a JSON object that is known to be one. */
struct member {
    char *name, *name_end; /* without quotes, escapes as they are */
    char *value, *value_end;
};

/* The member at or after p; returns what follows it, NULL at the end of the object. */
static char *member_next(char *p, struct member *ret)
{
    p = skip_space(p);
    if (*p == '{' || *p == ',')
        p = skip_space(p + 1);
    if (*p != '"')
        return NULL;
    ret->name = p + 1;
    p = skip_string(p);
    ret->name_end = p - 1;
    p = skip_space(p);
    if (*p != ':')
        return NULL;
    ret->value = skip_space(p + 1);
    ret->value_end = skip_value(ret->value);
    return skip_space(ret->value_end);
}

static bool member_is(const struct member *m, const char *name)
{
    size_t n = strlen(name);

    return (size_t)(m->name_end - m->name) == n && !memcmp(m->name, name, n);
}

static bool is_json(const char *text)
{
    cJSON *json = cJSON_ParseWithOpts(text, NULL, 1);

    cJSON_Delete(json);
    return json != NULL;
}

/* Turns the JSON string at p, which ends with a 0, into what it means, in place: it never gets longer. */
static int unescape(char *p, char **ret)
{
    cJSON *json = cJSON_Parse(p);
    const char *meaning = cJSON_GetStringValue(json);

    if (!meaning) {
        cJSON_Delete(json);
        return -EPROTO;
    }
    strcpy(p, meaning);
    cJSON_Delete(json);
    *ret = p;
    return 0;
}

static int field_set(const struct field *f, char *value, struct skep_line *line)
{
    void *to = (char *)line + f->offset;

    switch (f->kind) {
    case FIELD_STRING:
        if (*value == '"')
            return unescape(value, to);
        *(const char **)to = strcmp(value, "null") ? value : NULL;
        return 0;
    case FIELD_JSON:
        *(const char **)to = value;
        return 0;
    case FIELD_LONG:
        *(long long *)to = strtoll(value, NULL, 10);
        return 0;
    case FIELD_INT:
        *(int *)to = (int)strtol(value, NULL, 10);
        return 0;
    case FIELD_BOOL:
        *(bool *)to = !strcmp(value, "true");
        return 0;
    }
    return 0;
}

static int type_set(char *value, struct skep_line *line)
{
    char *name;

    if (unescape(value, &name) < 0)
        return -EPROTO;
    line->type = SKEP_OTHER;
    for (int i = 0; i < SKEP_OTHER; i++)
        if (!strcmp(name, type_names[i]))
            line->type = (enum skep_line_type)i;
    return 1;
}

/* 1 = that was the type, 0 = another member, < 0 an error. */
static int member_set(const struct member *m, struct skep_line *line)
{
    if (member_is(m, "type"))
        return type_set(m->value, line);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (member_is(m, fields[i].member))
            return field_set(&fields[i], m->value, line);
    return 0;
}

static int line_fill(char *parts, struct skep_line *line)
{
    struct member m;
    int typed = 0;

    if (!is_json(parts) || *skip_space(parts) != '{')
        return -EPROTO;
    for (char *p = parts; (p = member_next(p, &m)) && *p;) {
        bool last = *p == '}';
        *m.value_end = 0;
        int r = member_set(&m, line);
        if (r < 0)
            return r;
        typed |= r;
        if (last)
            break;
        p++;
    }
    return typed ? 0 : -EPROTO;
}

int line_parse(const char *text, size_t n, struct skep_line *ret_line, char **ret_parts)
{
    struct skep_line line = {.type = SKEP_OTHER, .text = text, .copies = -1};
    char *parts = malloc(n + 1);
    int r;

    if (!parts)
        return -ENOMEM;
    memcpy(parts, text, n + 1);
    r = line_fill(parts, &line);
    if (r < 0) {
        free(parts);
        return r;
    }
    *ret_line = line;
    *ret_parts = parts;
    return 0;
}

static bool is_utf8(const unsigned char *p)
{
    while (*p) {
        int more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        uint32_t c = more ? *p & (0x3fu >> more) : *p;

        if ((*p >= 0x80 && *p < 0xc2) || *p > 0xf4)
            return false;
        p++;
        for (int i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p & 0x3fu);
        }
        if ((more == 2 && c < 0x800) || (more == 3 && c < 0x10000) || c > 0x10ffff ||
            (c >= 0xd800 && c < 0xe000))
            return false;
    }
    return true;
}

static void put_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < ' ')
            fprintf(f, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void put_json(FILE *f, const char *s)
{
    for (; *s; s++)
        fputc(*s == '\n' || *s == '\r' ? ' ' : *s, f);
}

static int part_put(FILE *f, const struct line_part *part)
{
    if (!part->value)
        return part->optional ? 0 : -EINVAL;
    if (!is_utf8((const unsigned char *)part->value) || (part->kind == LINE_JSON && !is_json(part->value)))
        return -EINVAL;
    fprintf(f, ",\"%s\":", part->member);
    if (part->kind == LINE_JSON)
        put_json(f, part->value);
    else
        put_string(f, part->value);
    return 0;
}

int line_format(const char *type, const struct line_part *parts, char **ret_text, size_t *ret_n)
{
    char *text = NULL;
    size_t n = 0;
    int r = 0;
    FILE *f = open_memstream(&text, &n);

    if (!f)
        return -ENOMEM;
    fprintf(f, "{\"type\":\"%s\"", type);
    for (; parts->member && r == 0; parts++)
        r = part_put(f, parts);
    fputs("}\n", f);
    if (fclose(f) != 0)
        r = -ENOMEM;
    else if (r == 0 && n > SKEP_LINE_MAX)
        r = -EMSGSIZE;
    if (r < 0) {
        free(text);
        return r;
    }
    *ret_text = text;
    *ret_n = n;
    return 0;
}

bool skep_json_integer(const char *json, const char *member, long long *ret)
{
    struct member m;
    bool found = false;
    char *copy;

    if (!json || !is_json(json) || !(copy = strdup(json)))
        return false;
    for (char *p = *skip_space(copy) == '{' ? copy : NULL; p && (p = member_next(p, &m));) {
        char *end;
        long long value = strtoll(m.value, &end, 10);
        if (member_is(&m, member) && end == m.value_end) {
            *ret = value;
            found = true;
        }
    }
    free(copy);
    return found;
}

bool skep_json_says(const char *json, const char *text)
{
    cJSON *value = json ? cJSON_ParseWithOpts(json, NULL, 1) : NULL;
    const char *meaning = cJSON_GetStringValue(value);
    bool same = meaning && !strcmp(meaning, text);

    cJSON_Delete(value);
    return same;
}
