/* print: the one door to libsmartcols. Refuses to know what it prints: columns say where a value is. */
#include "skep/print.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/when.h"
#include "wire/json.h"

struct print {
    struct print_style style;
    const struct column *columns;
    struct libscols_table *table; /* NULL but for tables */
    bool color;
    bool headed; /* the header of csv is out */
};

/* Standard output. */

void put(const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t w = write(STDOUT_FILENO, bytes, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EPIPE)
            _exit(0);
        if (w < 0) {
            fprintf(stderr, "skep: cannot write to standard output: %s\n", strerror(errno));
            _exit(1);
        }
        bytes += w;
        n -= (size_t)w;
    }
}

void put_text(const char *text)
{
    put(text, strlen(text));
}

void put_line(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    ensure(n >= 0, "cannot format \"%s\"", fmt);
    put(text, (size_t)n);
    put("\n", 1);
    free(text);
}

/* Values. */

struct span span_at(struct span item, const char *path)
{
    char name[64];
    while (item.p && *path) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        item = json_raw_member(item.p, item.n, name);
        path += n + (path[n] == '.');
    }
    return item;
}

static void add_text(struct str *s, struct span value)
{
    if (!value.p || json_type(value) == JSON_T_NULL)
        return;
    if (json_unquote(value, s))
        return;
    struct span raw = json_trim(value);
    str_add(s, raw.p, raw.n);
}

char *text_at(struct span item, const char *path)
{
    struct str s = STR_INIT;
    add_text(&s, span_at(item, path));
    return str_take(&s);
}

void shell_word(struct str *s, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";
    if (*text && !text[strspn(text, plain)]) {
        str_puts(s, text);
        return;
    }
    str_putc(s, '\'');
    for (const char *p = text; *p; p++)
        if (*p == '\'')
            str_puts(s, "'\\''");
        else
            str_putc(s, *p);
    str_putc(s, '\'');
}

static void add_words(struct str *s, struct span array)
{
    struct span value;
    if (!array.p || json_type(array) != JSON_T_ARRAY) {
        add_text(s, array);
        return;
    }
    struct json_iter it = json_iter_init(array);
    for (bool first = true; json_iter_next(&it, NULL, &value); first = false) {
        if (!first)
            str_putc(s, ' ');
        struct str word AUTOSTR = STR_INIT;
        add_text(&word, value);
        shell_word(s, str_get(&word));
    }
}

static void add_duration(struct str *s, int64_t ms)
{
    int64_t sec = ms / 1000;
    if (sec < 10)
        str_printf(s, "%lld.%llds", (long long)sec, (long long)(ms % 1000 / 100));
    else if (sec < 120)
        str_printf(s, "%llds", (long long)sec);
    else if (sec < 120 * 60)
        str_printf(s, "%lldm", (long long)sec / 60);
    else if (sec < 48 * 3600)
        str_printf(s, "%lldh", (long long)sec / 3600);
    else
        str_printf(s, "%lldd", (long long)sec / 86400);
}

/* "12s", or the time itself where it is no time or lies far ahead. */
static void add_ago(struct str *s, struct span value)
{
    struct str text AUTOSTR = STR_INIT;
    struct timespec now;
    int64_t at;
    add_text(&text, value);
    clock_gettime(CLOCK_REALTIME, &now);
    if (!text.n || !when_parse(str_get(&text), &at)) {
        str_puts(s, str_get(&text));
        return;
    }
    int64_t ago = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - at;
    if (ago < -1000)
        str_puts(s, "in ");
    add_duration(s, ago < -1000 ? -ago : ago < 0 ? 0 : ago);
}

/* Control characters and broken lines would wreck a table. */
static char *cleaned(struct str *s)
{
    for (size_t i = 0; i < s->n; i++)
        memset(s->p + i, ' ', text_control(s->p + i, s->n - i));
    return str_take(s);
}

static char *cell_text(const struct column *c, struct span item, bool people)
{
    struct str s = STR_INIT;
    struct span value = span_at(item, c->path);
    switch (c->cell) {
    case CELL_WORDS:
        add_words(&s, value);
        break;
    case CELL_TIME:
        if (people)
            add_ago(&s, value);
        else
            add_text(&s, value);
        break;
    case CELL_TEXT:
    case CELL_NUMBER:
    case CELL_MS:
    case CELL_STATUS:
    case CELL_LONG:
        add_text(&s, value);
        break;
    }
    return people ? cleaned(&s) : str_take(&s);
}

/* Tables. */

static const char *status_color(const char *status)
{
    static const struct {
        const char *words, *color;
    } colors[] = {
        {" running healthy done published idle active ", "green"},
        {" starting backoff stopping moving suspect queued awaiting_approval draining left ", "yellow"},
        {" failed down stopped cancelled expired ", "red"},
    };
    char word[32];
    snprintf(word, sizeof word, " %.28s ", status);
    for (size_t i = 0; i < COUNT(colors); i++)
        if (strstr(colors[i].words, word))
            return colors[i].color;
    return NULL;
}

static int cell_flags(enum cell cell, bool last)
{
    switch (cell) {
    case CELL_NUMBER:
    case CELL_MS:
        return SCOLS_FL_RIGHT;
    case CELL_WORDS:
    case CELL_LONG:
        return last ? SCOLS_FL_TRUNC : 0;
    case CELL_TEXT:
    case CELL_TIME:
    case CELL_STATUS:
        break;
    }
    return 0;
}

static struct libscols_table *table_new(const struct print_style *style, bool color)
{
    struct libscols_table *t = scols_new_table();
    ensure(t, "no memory for a table");
    scols_table_enable_noheadings(t, !style->header);
    scols_table_enable_colors(t, color);
    /* Into a pipe or a file nothing is ever cut. */
    if (!isatty(STDOUT_FILENO)) {
        scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER);
        scols_table_set_termwidth(t, 1u << 20);
    }
    return t;
}

static void table_columns(struct print *p)
{
    for (const struct column *c = p->columns; c->head; c++) {
        bool last = !c[1].head;
        struct libscols_column *col =
            scols_table_new_column(p->table, c->head, last ? 0 : 0.1, cell_flags(c->cell, last));
        ensure(col, "no memory for a column");
    }
}

static void table_item(struct print *p, struct span item)
{
    struct libscols_line *line = scols_table_new_line(p->table, NULL);
    ensure(line, "no memory for a line");
    size_t i = 0;
    for (const struct column *c = p->columns; c->head; c++, i++) {
        char *text = cell_text(c, item, true);
        const char *color = c->cell == CELL_STATUS && p->color ? status_color(text) : NULL;
        if (!*text)
            mem_replace(&text, "-");
        scols_line_refer_data(line, i, TAKE(text));
        if (color)
            scols_cell_set_color(scols_line_get_cell(line, i), color);
    }
}

/* CSV (RFC 4180, with a plain line feed). */

static void csv_value(struct str *s, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        str_puts(s, text);
        return;
    }
    str_putc(s, '"');
    for (; *text; text++) {
        if (*text == '"')
            str_putc(s, '"');
        str_putc(s, *text);
    }
    str_putc(s, '"');
}

static void csv_header(struct print *p)
{
    struct str s AUTOSTR = STR_INIT;
    for (const struct column *c = p->columns; c->head; c++) {
        const char *dot = strrchr(c->path, '.');
        if (s.n)
            str_putc(&s, ',');
        csv_value(&s, dot ? dot + 1 : c->path);
    }
    str_putc(&s, '\n');
    put(s.p, s.n);
    p->headed = true;
}

static void csv_item(struct print *p, struct span item)
{
    struct str s AUTOSTR = STR_INIT;
    for (const struct column *c = p->columns; c->head; c++) {
        char *text AUTOFREE = cell_text(c, item, false);
        if (c != p->columns)
            str_putc(&s, ',');
        csv_value(&s, text);
    }
    str_putc(&s, '\n');
    put(s.p, s.n);
}

/* Items. */

static bool colors_wanted(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

struct print *print_new(const struct print_style *style, const struct column *columns)
{
    struct print *p = mem_alloc(sizeof *p);
    *p = (struct print){.style = *style, .columns = columns, .color = colors_wanted()};
    if (style->format == FORMAT_TABLE && !style->quiet) {
        p->table = table_new(style, p->color);
        table_columns(p);
    }
    if (style->format == FORMAT_CSV && style->header && !style->quiet)
        csv_header(p);
    return p;
}

void print_item(struct print *p, struct span item)
{
    if (p->style.quiet) {
        char *text AUTOFREE = text_at(item, p->columns->path);
        put_line("%s", text);
        return;
    }
    switch (p->style.format) {
    case FORMAT_TABLE:
        table_item(p, item);
        break;
    case FORMAT_JSON:
    case FORMAT_JSONL: {
        struct span raw = json_trim(item);
        char *line AUTOFREE = mem_copy(raw.p, raw.n);
        /* Line breaks of a valid document stand between its values only. */
        for (size_t i = 0; i < raw.n; i++)
            if (line[i] == '\n' || line[i] == '\r')
                line[i] = ' ';
        line[raw.n] = '\n';
        put(line, raw.n + 1);
        break;
    }
    case FORMAT_CSV:
        csv_item(p, item);
        break;
    }
}

void print_end(struct print *p)
{
    if (!p)
        return;
    if (p->table) {
        char *text = NULL;
        if (scols_table_get_nlines(p->table) && scols_print_table_to_string(p->table, &text) == 0 && text) {
            put_text(text);
            size_t n = strlen(text);
            if (n && text[n - 1] != '\n')
                put("\n", 1);
        }
        free(text);
        scols_unref_table(p->table);
    }
    free(p);
}

/* One document. */

static bool is_argv(struct span key)
{
    return key.n == 6 && memcmp(key.p, "\"argv\"", 6) == 0;
}

static void member_lines(struct print *p, const char *prefix, struct span object)
{
    struct span key, value;
    struct json_iter it = json_iter_init(object);
    while (json_iter_next(&it, &key, &value)) {
        struct str path AUTOSTR = STR_INIT, line AUTOSTR = STR_INIT, text AUTOSTR = STR_INIT;
        str_printf(&path, "%s%s", prefix, *prefix ? "." : "");
        json_unquote(key, &path);
        bool nested = json_type(value) == JSON_T_OBJECT;
        struct span k, v;
        struct json_iter inner = json_iter_init(value);
        if (nested && json_iter_next(&inner, &k, &v)) {
            member_lines(p, str_get(&path), value);
            continue;
        }
        if (json_type(value) == JSON_T_ARRAY && is_argv(key))
            add_words(&text, value);
        else
            add_text(&text, value);
        struct jw j = jw_init(&line);
        jw_object(&j);
        jw_kv_string(&j, "field", str_get(&path));
        jw_kv_string(&j, "value", str_get(&text));
        jw_object_close(&j);
        jw_end(&j);
        print_item(p, (struct span){line.p, line.n});
    }
}

void print_document(const struct print_style *style, struct span document)
{
    static const struct column columns[] = {
        {"FIELD", "field", CELL_TEXT}, {"VALUE", "value", CELL_TEXT}, {NULL, NULL, CELL_TEXT}};
    if (style->format == FORMAT_JSON) {
        put(document.p, document.n);
        if (!document.n || document.p[document.n - 1] != '\n')
            put("\n", 1);
        return;
    }
    struct print *p = print_new(style, columns);
    if (style->format == FORMAT_JSONL || json_type(document) != JSON_T_OBJECT)
        print_item(p, document);
    else
        member_lines(p, "", document);
    print_end(p);
}
