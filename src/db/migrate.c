#include "db/migrate.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "db/conn.h"

static int migrate_one(struct db *db, const struct db_migration *m, int version, struct err *e)
{
    char pragma[48];
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", version);
    int rc = db_begin(db, e);
    if (rc)
        return rc;
    if ((rc = db_exec(db, m->sql, e)) == 0 && (rc = db_exec(db, pragma, e)) == 0 &&
        (rc = db_commit(db, e)) == 0)
        return 0;
    db_rollback(db, NULL);
    return rc;
}

int db_migrate(struct db *db, const struct db_migration *list, int n, struct err *e)
{
    int64_t id = 0, version = 0;
    int bad = conn_ask_i64(db, "PRAGMA application_id", &id, e);
    if (bad || (bad = conn_ask_i64(db, "PRAGMA user_version", &version, e)))
        return bad;
    if (version < 0)
        return err_set(e, SKEP_EDAMAGED, "%s is damaged: its schema version is %d", db_path(db),
                       (int)version);
    if (id != db_application_id(db))
        return err_set(e, SKEP_EFOREIGN, "%s belongs to another program: its application_id is 0x%08x",
                       db_path(db), (unsigned)id);
    if (version > n)
        return err_set(e, SKEP_ENEWER,
                       "%s has schema version %d, this program knows %d: start the newer version "
                       "that wrote it, or restore an older backup",
                       db_path(db), (int)version, n);
    for (int v = (int)version; v < n; v++) {
        int rc = migrate_one(db, &list[v], v + 1, e);
        if (rc) {
            err_wrap(e, "migration %s of %s", list[v].name, db_path(db));
            return rc;
        }
    }
    return 0;
}

/* ---- comparing schemas ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The end of a comment that starts at p, or p. */
static const char *skip_comment(const char *p)
{
    if (p[0] == '-' && p[1] == '-')
        return p + strcspn(p, "\n");
    if (p[0] == '/' && p[1] == '*') {
        const char *end = strstr(p + 2, "*/");
        return end ? end + 2 : p + strlen(p);
    }
    return p;
}

/* Copies a quoted piece; a quoted word that needs no quotes loses them. Returns its end. */
static const char *copy_quoted(const char *p, struct str *ret)
{
    char quote = *p;
    const char *end = p + 1;
    while (*end && !(*end == quote && end[1] != quote))
        end += *end == quote ? 2 : 1;
    size_t n = (size_t)(end - p - 1), words = 0;
    while (words < n && is_word(p[1 + words]))
        words++;
    bool bare = quote != '\'' && n > 0 && words == n;
    for (size_t i = 0; bare && i < n; i++)
        str_putc(ret, (char)tolower((unsigned char)p[1 + i]));
    if (!bare)
        str_add(ret, p, n + 2 - (*end == 0));
    return *end ? end + 1 : end;
}

/* One form for all spellings of a statement: lower case, one space between two words, none elsewhere. */
static void normalise(const char *p, struct str *ret)
{
    bool gap = false;
    while (*p) {
        const char *after = skip_comment(p);
        if (after != p || isspace((unsigned char)*p)) {
            gap = true;
            p = after != p ? after : p + 1;
            continue;
        }
        bool wordy = is_word(*p) || *p == '"' || *p == '`';
        if (gap && wordy && ret->n && (is_word(ret->p[ret->n - 1]) || ret->p[ret->n - 1] == '"'))
            str_putc(ret, ' ');
        gap = false;
        if (*p == '\'' || *p == '"' || *p == '`')
            p = copy_quoted(p, ret);
        else
            str_putc(ret, (char)tolower((unsigned char)*p++));
    }
}

static const char list_sql[] =
    "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    "AND sql IS NOT NULL ORDER BY type, name";

/* One object of a schema; owned. */
struct object {
    char *type, *name, *sql;
};

struct objects {
    struct object *p;
    size_t n, cap;
};

static void objects_fini(struct objects *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->p[i].type);
        free(o->p[i].name);
        free(o->p[i].sql);
    }
    free(o->p);
}

static int objects_read(struct db *db, struct objects *ret, struct err *e)
{
    struct stmt *s = stmt_new(db, list_sql);
    int rc;
    while ((rc = stmt_step(s, e)) > 0) {
        struct str sql = STR_INIT;
        normalise(col_text(s, 2), &sql);
        ARRAY_GROW(ret->p, ret->n, ret->cap);
        ret->p[ret->n++] = (struct object){mem_dup(col_text(s, 0)), mem_dup(col_text(s, 1)), str_take(&sql)};
    }
    stmt_free(s);
    return rc;
}

static int object_compare(const struct object *a, const struct object *b)
{
    int c = strcmp(a->type, b->type);
    return c ? c : strcmp(a->name, b->name);
}

static void difference(struct str *ret, const struct object *is, const struct object *should)
{
    const struct object *any = is ? is : should;
    if (!is)
        str_printf(ret, "%s %s is missing\n", any->type, any->name);
    else if (!should)
        str_printf(ret, "%s %s is not ours\n", any->type, any->name);
    else
        str_printf(ret, "%s %s is\n  %s\nbut should be\n  %s\n", any->type, any->name, is->sql, should->sql);
}

/* What skep itself reads or writes: without it nothing goes. */
static bool is_vital(const struct object *o)
{
    return strcmp(o->type, "table") == 0 || strcmp(o->type, "index") == 0;
}

/* Both lists are sorted. */
static int objects_differ(const struct objects *is, const struct objects *should, struct str *ret)
{
    size_t i = 0, j = 0;
    int differ = 0;
    while (i < is->n || j < should->n) {
        int c = i == is->n ? 1 : j == should->n ? -1 : object_compare(&is->p[i], &should->p[j]);
        if (c || strcmp(is->p[i].sql, should->p[j].sql) != 0) {
            difference(ret, c <= 0 ? &is->p[i] : NULL, c >= 0 ? &should->p[j] : NULL);
            if (differ == 0)
                differ = 1;
            if (c >= 0 && is_vital(&should->p[j]))
                differ = 2;
        }
        i += c <= 0;
        j += c >= 0;
    }
    return differ;
}

int db_schema_differs(struct db *db, const char *schema_sql, struct str *ret_difference)
{
    CLEANUP(objects_fini) struct objects is = {0}, should = {0};
    struct err e = {0};
    struct db *model = NULL;
    int rc = db_open(&model, &(struct db_options){.path = ":memory:", .create = true}, &e);
    ensure(rc == 0, "a database in memory: %s", e.text);
    rc = db_exec(model, schema_sql, &e);
    ensure(rc == 0, "the schema does not run: %s", e.text);
    rc = objects_read(model, &should, &e);
    ensure(rc == 0, "the schema cannot be read: %s", e.text);
    db_close(model);
    rc = objects_read(db, &is, &e);
    if (rc) {
        str_printf(ret_difference, "the schema cannot be read: %s\n", e.text);
        return rc;
    }
    return objects_differ(&is, &should, ret_difference);
}
