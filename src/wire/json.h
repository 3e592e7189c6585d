/* json: the only door to cJSON, and skep's dialect of JSON. Bytes in, structs out, and back.
 *
 * RFC 8259, strictly, and beyond it: valid UTF-8, no NUL (also not as \u0000), no half of a surrogate pair,
 * at most JSON_DEPTH_MAX levels, no key twice in an object (compared decoded), nothing behind the value.
 * What breaks that is SKEP_EJSON with the byte offset. Checking allocates only for the keys of open objects.
 *
 * A JSON document is used in one of three ways:
 *   - a request body is read into a struct by a table of fields (json_read), without a tree: JSON of users
 *     (data, state, metadata) stays the bytes it came in, as a borrowed span;
 *   - a document of unknown shape is walked as a tree (json_parse; the command line and the tests);
 *   - answers are written straight into a struct str (struct jw), without a tree.
 * A span called `checked` below must be a part of a text that passed json_check: exactly one value.
 *
 * 64-bit numbers (ids, epochs, stamps) travel as strings of digits: JSON_I64_TEXT. Plain integers must be
 * integral and within ±2^53.
 */
#ifndef SKEP_WIRE_JSON_H
#define SKEP_WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_MAX 64
#define JSON_INT_MAX   INT64_C(9007199254740992) /* 2^53 */

/* 0 if p[0..n) is one JSON document as described above, else SKEP_EJSON. */
int json_check(const char *p, size_t n, struct err *e);

/* ---- Looking at checked text ---- */

enum json_type { JSON_T_NULL, JSON_T_BOOL, JSON_T_NUMBER, JSON_T_STRING, JSON_T_ARRAY, JSON_T_OBJECT };

enum json_type json_type(struct span checked);
/* The same without white space around it. */
struct span json_trim(struct span checked);
/* The raw value of a member of the object at top; {NULL, 0} if there is none or it is no object. */
struct span json_raw_member(const char *p, size_t n, const char *name);
/* Appends the decoded text of a string value (or key) to ret_text; false if it is no string. */
bool json_unquote(struct span checked, struct str *ret_text);
/* An integral number within ±2^53 (5.0 and 1e3 are integral). */
bool json_int(struct span checked, int64_t *ret);

/* Walks the members of an object or the elements of an array; nothing else has any.
 *   struct json_iter it = json_iter_init(checked);
 *   while (json_iter_next(&it, &key, &value)) … */
struct json_iter {
    const char *p, *end;
    bool object;
};

struct json_iter json_iter_init(struct span checked);
/* ret_key (may be NULL): the key with its quotes; empty in arrays. */
bool json_iter_next(struct json_iter *it, struct span *ret_key, struct span *ret_value);

/* ---- Request bodies: a static table describes a struct ---- */

enum json_kind {
    JSON_STRING,     /* char *, owned; at most bytes_max */
    JSON_NAME,       /* char *, owned; a name (wire/uri.h name_check) */
    JSON_WORD,       /* int: index into words */
    JSON_INT,        /* int64_t in min..max (both 0: ±2^53) */
    JSON_I64_TEXT,   /* int64_t in min..max (both 0: any), written as a string of digits */
    JSON_BOOL,       /* bool */
    JSON_STRINGS,    /* struct json_strings, owned; each at most bytes_max, at most max many (0: no limit) */
    JSON_STRING_MAP, /* struct json_map, owned; each value at most bytes_max, at most max many */
    JSON_RAW,        /* struct span, borrowed from the text: any value, null too unless nullable */
    JSON_RAW_OBJECT, /* struct span, borrowed: the bytes of an object */
    JSON_RAW_ARRAY,  /* struct span, borrowed: the bytes of an array */
    JSON_OBJECT,     /* a struct inside the struct, read by `inner` */
    JSON_OBJECTS,    /* struct json_array of structs that `inner` reads, at most max many (0: no limit) */
};

struct json_strings {
    char **list; /* NULL-terminated, so that it serves as an argv; NULL if absent */
    size_t n;
};

struct json_pair {
    char *name, *value;
};

struct json_map {
    struct json_pair *list; /* in the order of the text */
    size_t n;
};

struct json_array {
    void *list; /* n structs of inner->bytes */
    size_t n;
};

struct json_table;

struct json_field {
    const char *name;
    enum json_kind kind;
    size_t offset;  /* of the member */
    size_t present; /* offset of a bool that becomes true if the field came (not as null); 0 = nobody asks */
    bool required;
    bool nullable;     /* null means absent; otherwise null is of the wrong type */
    bool may_be_empty; /* of strings: "" is refused unless this is set */
    int64_t min, max;
    size_t bytes_max;         /* 0 = no limit but the body's */
    const char *const *words; /* NULL-terminated */
    const struct json_table *inner;
};

struct json_table {
    const struct json_field *fields;
    size_t n;
    size_t bytes;         /* size of the struct */
    const void *defaults; /* what elements of JSON_OBJECTS start from; NULL = zeros. Owns nothing. */
};

/* JSON_FIELD(struct body, name, JSON_STRING, .required = true) */
#define JSON_FIELD(type, member, kind_, ...)                                                                 \
    {                                                                                                        \
        .name = #member, .kind = kind_, .offset = offsetof(type, member), __VA_ARGS__                        \
    }
#define JSON_TABLE(type, list, ...)                                                                          \
    {                                                                                                        \
        .fields = list, .n = COUNT(list), .bytes = sizeof(type), __VA_ARGS__                                 \
    }

/* Reads the object p[0..n) into the struct at ret. Absent fields leave their member alone, so fill in the
 * defaults first; members that own must be NULL or owned. SKEP_EJSON, or SKEP_EARG with the path of the field
 * to blame ("children[2].argv"): unknown (the known ones are named), missing, wrong type, out of range. On
 * failure as on success, json_release frees what was filled in. Spans are borrowed from p. An empty body (n =
 * 0) counts as {}. */
int json_read(const char *p, size_t n, const struct json_table *table, void *ret, struct err *e);
/* The same for text that was checked: a JSON_RAW member that turned out to be an object. `path` is put before
 * the fields in errors ("partition"), NULL = none. */
int json_read_checked(struct span checked, const char *path, const struct json_table *table, void *ret,
                      struct err *e);
/* Frees what the table owns in the struct and sets it to NULL. */
void json_release(const struct json_table *table, void *p);

void json_strings_fini(struct json_strings *s);
void json_map_fini(struct json_map *m);

/* ---- RFC 7396 merge patch ---- */

/* Appends target patched by patch to ret_text: members that the patch does not touch keep their bytes and
 * their place. target NULL = there is none. Both are checked here: SKEP_EJSON. */
int json_merge_patch(const char *target, size_t target_n, const char *patch, size_t patch_n,
                     struct str *ret_text, struct err *e);

/* ---- A tree, for documents of unknown shape ---- */

struct cJSON;

struct json {
    struct cJSON *root;
};

/* *ret is yours; it borrows nothing. SKEP_EJSON, also for what json_check takes and the installed cJSON does
 * not: some take no number of over 63 characters. */
int json_parse(const char *p, size_t n, struct json **ret, struct err *e);
void json_free(struct json *j);

/* Borrowed from the tree; NULL wherever there is no such thing, and NULL is a fine argument. */
const struct cJSON *json_root(const struct json *j);
const struct cJSON *json_member(const struct cJSON *v, const char *name);
const struct cJSON *json_at(const struct cJSON *v, size_t index);
/* A path of members and indices: "nodes.0.name". */
const struct cJSON *json_path(const struct cJSON *v, const char *path);
const struct cJSON *json_first(const struct cJSON *v);
const struct cJSON *json_next(const struct cJSON *v);
size_t json_count(const struct cJSON *v);
bool json_is(const struct cJSON *v, enum json_type type);
const char *json_key(const struct cJSON *v);
const char *json_text(const struct cJSON *v); /* of a string */
double json_real(const struct cJSON *v, double otherwise);
int64_t json_i64(const struct cJSON *v, int64_t otherwise); /* of a number, or of a string of digits */
bool json_bool(const struct cJSON *v, bool otherwise);
/* Appends v as compact JSON. */
void json_print(const struct cJSON *v, struct str *ret_text);

/* ---- Writing ---- */

/* Commas are put by themselves. Text is escaped, invalid UTF-8 becomes U+FFFD. NULL text is null. */
struct jw {
    struct str *s;
    bool comma;
    bool one_line; /* line breaks in raw values become spaces: for line protocols */
    unsigned depth;
};

struct jw jw_init(struct str *s);
/* Everything that was opened is closed: ensured. */
void jw_end(const struct jw *j);

void jw_object(struct jw *j);
void jw_object_close(struct jw *j);
void jw_array(struct jw *j);
void jw_array_close(struct jw *j);
void jw_key(struct jw *j, const char *key);
void jw_string(struct jw *j, const char *text);
void jw_string_n(struct jw *j, const char *p, size_t n);
void jw_i64(struct jw *j, int64_t v);
void jw_i64_text(struct jw *j, int64_t v); /* "123" */
void jw_real(struct jw *j, double v);      /* shortest of up to 6 decimals; null unless finite */
void jw_bool(struct jw *j, bool v);
void jw_null(struct jw *j);
void jw_raw(struct jw *j, struct span checked); /* {NULL, 0} is null */
void jw_time(struct jw *j, int64_t real_ms);    /* RFC 3339 text; 0 is null */

void jw_kv_object(struct jw *j, const char *key);
void jw_kv_array(struct jw *j, const char *key);
void jw_kv_string(struct jw *j, const char *key, const char *text);
void jw_kv_i64(struct jw *j, const char *key, int64_t v);
void jw_kv_i64_text(struct jw *j, const char *key, int64_t v);
void jw_kv_real(struct jw *j, const char *key, double v);
void jw_kv_bool(struct jw *j, const char *key, bool v);
void jw_kv_null(struct jw *j, const char *key);
void jw_kv_raw(struct jw *j, const char *key, struct span checked);
void jw_kv_time(struct jw *j, const char *key, int64_t real_ms);

/* Appends the RFC 9457 document of an error: type, title, status, detail, code, and field if one is to blame.
 * extras: the inside of an object ("\"child\":{…}") that is added, or {NULL, 0}. */
void json_problem(struct str *s, const struct err *error, struct span extras);

#endif
