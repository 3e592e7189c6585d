/* args: decides what a word of the line is, by the verb table; refuses to know what any verb does. */
#include "skep/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Levenshtein distance, words of at most 31 bytes; more is simply far. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[32];
    if (n > 31 || m > 31)
        return 99;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

/* Keeps the candidate if it is nearer than what was found, and near enough to be meant. */
static void nearer(const char *word, const char *candidate, const char **best, size_t *best_distance)
{
    size_t d = distance(word, candidate);
    if (strlen(word) >= 2 && text_starts(candidate, word))
        d = 1;
    if (d < *best_distance && d <= 2 && d < strlen(candidate)) {
        *best = candidate;
        *best_distance = d;
    }
}

static const char *nearest_verb(const struct verb *const *table, const char *word)
{
    const char *best = NULL;
    size_t d = 99;
    for (; *table; table++)
        nearer(word, (*table)->name, &best, &d);
    return best;
}

static const char *nearest_option(const struct verb *v, const char *word)
{
    const char *best = NULL;
    size_t d = 99;
    for (const struct verb_option *o = v ? v->options : NULL; o && o->name; o++)
        nearer(word, o->name, &best, &d);
    for (const struct verb_option *o = options_common; o->name; o++)
        nearer(word, o->name, &best, &d);
    return best;
}

const struct verb *verb_find(const struct verb *const *table, const char *name)
{
    for (; table && *table; table++)
        if (strcmp((*table)->name, name) == 0)
            return *table;
    return NULL;
}

void verb_usage(const struct verb *family, const struct verb *v, struct str *s)
{
    str_puts(s, "skep");
    if (family)
        str_printf(s, " %s", family->name);
    if (v)
        str_printf(s, " %s", v->name);
    str_puts(s, v && v->subs ? " VERB …" : v ? "" : " VERB [object] [options] [-- argv…]");
    if (v && v->options)
        str_puts(s, " [options]");
    if (v && v->args && *v->args)
        str_printf(s, " %s", v->args);
}

static int usage_error(const struct args *a, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int usage_error(const struct args *a, struct err *e, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_whole(text);
    struct str usage AUTOSTR = STR_INIT;
    verb_usage(a->family, a->verb, &usage);
    return err_set(e, SKEP_EUSAGE, "%s. Usage: %s", text, str_get(&usage));
}

static const struct verb_option *find_in(const struct verb_option *o, const char *name, size_t n, char letter)
{
    for (; o && o->name; o++)
        if (letter ? o->letter == letter : strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

static const struct verb_option *find(const struct args *a, const char *name, size_t n, char letter)
{
    const struct verb_option *o = a->verb ? find_in(a->verb->options, name, n, letter) : NULL;
    return o ? o : find_in(options_common, name, n, letter);
}

static bool word_in(const char *words, const char *value)
{
    size_t n = strlen(value);
    for (const char *p = words; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, value, n) == 0)
            return true;
        p += len + (p[len] == ' ');
    }
    return false;
}

static int check_value(const struct args *a, const struct verb_option *o, const char *value, struct err *e)
{
    int64_t v, max = o->max ? o->max : INT64_MAX;
    if (o->words && !word_in(o->words, value))
        return usage_error(a, e, "--%s takes one of: %s; not \"%s\"", o->name, o->words, value);
    if (o->kind != OPT_INT || text_i64(value, o->min, max, &v))
        return 0;
    if (o->max)
        return usage_error(a, e, "--%s takes a whole number from %lld to %lld, not \"%s\"", o->name,
                           (long long)o->min, (long long)o->max, value);
    return usage_error(a, e, "--%s takes a whole number of at least %lld, not \"%s\"", o->name,
                       (long long)o->min, value);
}

/* One option at argv[*i]; moves *i on to the value it ate. */
static int parse_option(struct args *a, int argc, char **argv, int *i, const char *name, size_t n,
                        char letter, const char *attached, struct err *e)
{
    const struct verb_option *o = find(a, name, n, letter);
    if (!o) {
        char whole[32];
        snprintf(whole, sizeof whole, "%.*s", n < sizeof whole ? (int)n : (int)sizeof whole, name);
        const char *near = letter ? NULL : nearest_option(a->verb, whole);
        return usage_error(a, e, "no option %s%.*s%s%s", letter ? "-" : "--", (int)n, name,
                           near ? "; did you mean --" : "", near ? near : "");
    }
    if (o->kind == OPT_FLAG && attached)
        return usage_error(a, e, "--%s takes no value", o->name);
    const char *value = "";
    if (o->kind != OPT_FLAG) {
        value = attached ? attached : *i + 1 < argc ? argv[++*i] : NULL;
        if (!value)
            return usage_error(a, e, "--%s needs its %s", o->name, o->value);
        int rc = check_value(a, o, value, e);
        if (rc)
            return rc;
    }
    if (strcmp(o->name, "help") == 0)
        a->help = true;
    ARRAY_GROW(a->option, a->options_n, a->options_cap);
    a->option[a->options_n++] = (struct args_option){o, value};
    return 0;
}

static int parse_long(struct args *a, int argc, char **argv, int *i, struct err *e)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    return parse_option(a, argc, argv, i, name, n, 0, equals ? equals + 1 : NULL, e);
}

/* Bytes of the character at p, of a word that is UTF-8. */
static size_t character(const char *p)
{
    size_t n = 1;
    while ((p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* How much of a word a message shows: whole characters. */
static int shown(const char *word)
{
    return (int)text_utf8_prefix(word, strnlen(word, 64));
}

/* "-f", "-ojson" and "-fo json". */
static int parse_short(struct args *a, int argc, char **argv, int *i, struct err *e)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        const struct verb_option *o = find(a, NULL, 0, *p);
        bool eats = o && o->kind != OPT_FLAG;
        int rc = parse_option(a, argc, argv, i, p, character(p), *p, eats && p[1] ? p + 1 : NULL, e);
        if (rc || eats)
            return rc;
    }
    return 0;
}

static int unknown_verb(struct args *a, const struct verb *const *table, const char *word, struct err *e)
{
    const char *near = nearest_verb(table, word);
    struct str known AUTOSTR = STR_INIT;
    for (; a->verb && *table; table++)
        str_printf(&known, "%s%s", known.n ? ", " : "; there are ", (*table)->name);
    return err_set(e, SKEP_EUSAGE, "no verb \"%s%s%.*s\"%s%s%s%s (\"skep help%s%s\" lists them)",
                   a->verb ? a->verb->name : "", a->verb ? " " : "", shown(word), word,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
                   near ? "" : str_get(&known), a->verb ? " " : "", a->verb ? a->verb->name : "");
}

static int parse_word(struct args *a, const char *word, struct err *e)
{
    const struct verb *const *table = !a->verb ? verbs : a->verb->subs;
    if (!table) {
        ARRAY_GROW(a->word, a->words_n, a->words_cap);
        a->word[a->words_n++] = word;
        return 0;
    }
    const struct verb *v = verb_find(table, word);
    if (!v)
        return unknown_verb(a, table, word, e);
    a->family = a->verb;
    a->verb = v;
    return 0;
}

static int check_counts(const struct args *a, struct err *e)
{
    const struct verb *v = a->verb;
    if (!v || a->help)
        return 0;
    if (v->subs) {
        struct str known AUTOSTR = STR_INIT;
        for (const struct verb *const *s = v->subs; *s; s++)
            str_printf(&known, "%s%s", known.n ? ", " : "", (*s)->name);
        return usage_error(a, e, "%s needs one of: %s", v->name, str_get(&known));
    }
    if ((int)a->words_n < v->args_min)
        return usage_error(a, e, "something is missing");
    if (v->args_max >= 0 && (int)a->words_n > v->args_max)
        return usage_error(a, e, "\"%.*s\" is one word too many%s", shown(a->word[v->args_max]),
                           a->word[v->args_max],
                           v->tail && !a->tail ? "; a command stands behind \"--\"" : "");
    return 0;
}

/* What is sent is JSON, and JSON is UTF-8: other bytes would silently become something else. */
static int check_utf8(int argc, char **argv, struct err *e)
{
    for (int i = 1; i < argc; i++)
        if (!text_is_utf8(argv[i], strlen(argv[i])))
            return err_set(e, SKEP_EUSAGE, "word %d of the line is not UTF-8", i);
    return 0;
}

int args_parse(int argc, char **argv, struct args *ret_args, struct err *e)
{
    struct args *a = ret_args;
    *a = (struct args){0};
    int rc = check_utf8(argc, argv, e);
    for (int i = 1; i < argc && rc == 0; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--") == 0 && a->verb && a->verb->tail) {
            a->tail = argv + i + 1;
            break;
        }
        if (strcmp(word, "--") == 0) {
            while (++i < argc && rc == 0)
                rc = parse_word(a, argv[i], e);
            break;
        }
        if (text_starts(word, "--"))
            rc = parse_long(a, argc, argv, &i, e);
        else if (word[0] == '-' && word[1])
            rc = parse_short(a, argc, argv, &i, e);
        else
            rc = parse_word(a, word, e);
    }
    return rc ? rc : check_counts(a, e);
}

void args_fini(struct args *a)
{
    free(a->word);
    free(a->option);
    *a = (struct args){0};
}

const char *args_text(const struct args *a, const char *name)
{
    for (size_t i = a->options_n; i > 0; i--)
        if (strcmp(a->option[i - 1].option->name, name) == 0)
            return a->option[i - 1].value;
    return NULL;
}

bool args_flag(const struct args *a, const char *name)
{
    return args_text(a, name) != NULL;
}

bool args_i64(const struct args *a, const char *name, int64_t *ret_value)
{
    const char *text = args_text(a, name);
    return text && text_i64(text, INT64_MIN, INT64_MAX, ret_value);
}

const char *args_nth(const struct args *a, const char *name, size_t i)
{
    for (size_t k = 0; k < a->options_n; k++)
        if (strcmp(a->option[k].option->name, name) == 0 && i-- == 0)
            return a->option[k].value;
    return NULL;
}

const char *args_word(const struct args *a, size_t i)
{
    return i < a->words_n ? a->word[i] : NULL;
}
