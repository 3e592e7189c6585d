/* The table of settings, and everything that people read about it: docs/config.md, etc/skep.conf and the
 * manual page hold a part that is written from the table. This test compares them, and with
 * SKEP_UPDATE_DOCS=1 in the environment writes those parts anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/mem.h"
#include "real/config.h"
#include "real/file.h"

/* --- the three forms ---------------------------------------------------------------------------------- */

static const char *type_word(const struct setting *s)
{
    switch (s->type) {
    case SETTING_TEXT:
        return "text";
    case SETTING_PATH:
        return "path";
    case SETTING_WORD:
        return "word";
    case SETTING_LIST:
        return "list";
    case SETTING_INT:
        return "integer";
    case SETTING_BOOL:
        return "boolean";
    }
    return "?";
}

static bool is_computed(const struct setting *s)
{
    return s->initial && s->initial[0] == '<';
}

static void markdown(struct str *out)
{
    str_puts(out,
             "| setting | default | allowed | environment | reload | what |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        AUTOSTR struct str allowed = STR_INIT;
        setting_allowed(s, &allowed);
        str_printf(out, "| `%s` | ", s->name);
        if (s->initial)
            str_printf(out, "`%s`", s->initial);
        else
            str_puts(out, "none");
        if (s->unit[0])
            str_printf(out, " %s", s->unit);
        str_printf(out, " | %s%s | `%s` | %s | %s |\n", s->type == SETTING_LIST ? "list of: " : "",
                   str_get(&allowed), s->env, s->reload ? "yes" : "restart", s->what);
    }
}

/* A comment of at most 100 columns a line. */
static void comment(struct str *out, const char *indent, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column == 0 || column + 1 + n > 98) {
            str_printf(out, "%s%s#", column ? "\n" : "", indent);
            column = strlen(indent) + 1;
        }
        str_printf(out, " %.*s", (int)n, text);
        column += n + 1;
        text += n + (text[n] == ' ');
    }
    str_putc(out, '\n');
}

static void example_value(const struct setting *s, struct str *out)
{
    if (s->type == SETTING_LIST)
        str_printf(out, "{%s%s%s}", s->initial ? "\"" : "", s->initial ? s->initial : "",
                   s->initial ? "\"" : "");
    else if (s->type == SETTING_INT || s->type == SETTING_BOOL || s->type == SETTING_WORD)
        str_puts(out, s->initial);
    else
        str_printf(out, "\"%s\"", s->initial && !is_computed(s) ? s->initial : "");
}

static void example(struct str *out)
{
    bool in_client = false;
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        bool client = text_starts(s->name, "client.");
        AUTOSTR struct str allowed = STR_INIT;
        setting_allowed(s, &allowed);
        if (client && !in_client)
            str_puts(out, "\n# The command line's own.\nclient {\n");
        else if (!client)
            str_putc(out, '\n');
        in_client = client;
        const char *indent = client ? "    " : "";
        comment(out, indent, s->what);
        AUTOFREE char *detail =
            mem_printf("%s%s%s%s; %s", s->type == SETTING_LIST ? "A list of " : "", str_get(&allowed),
                       is_computed(s) ? "; default " : "", is_computed(s) ? s->initial : "", s->env);
        comment(out, indent, detail);
        str_printf(out, "%s#%s = ", indent, s->name + (client ? strlen("client.") : 0));
        example_value(s, out);
        str_putc(out, '\n');
    }
    str_puts(out, "}\n");
}

/* A text that troff does not take for its own. */
static void mdoc_text(struct str *out, const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p == '\\')
            str_puts(out, "\\e");
        else if (*p == '.' && p == text)
            str_puts(out, "\\&.");
        else
            str_putc(out, *p);
}

static void mdoc(struct str *out)
{
    str_puts(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        AUTOSTR struct str allowed = STR_INIT;
        setting_allowed(s, &allowed);
        str_printf(out, ".It Ic %s Pq %s\n", s->name, type_word(s));
        mdoc_text(out, s->what);
        str_puts(out, "\nAllowed: ");
        mdoc_text(out, str_get(&allowed));
        str_puts(out, ".\nDefault: ");
        mdoc_text(out, s->initial ? s->initial : "none");
        str_printf(out, ".\n%s\n.Ev %s .\n",
                   s->reload ? "A reload applies a change." : "A change needs a restart.", s->env);
    }
    str_puts(out, ".El\n");
}

/* --- the files ---------------------------------------------------------------------------------------- */

static void check_part(const char *name, const char *begin, const char *end, void (*render)(struct str *))
{
    AUTOSTR struct str text = STR_INIT;
    AUTOSTR struct str want = STR_INIT;
    struct err e;
    AUTOFREE char *path = mem_printf("%s/%s", SKEP_SOURCE_DIR, name);
    assert_int_equal(file_read(path, 1 << 20, &text, NULL, &e), 0);
    const char *from = strstr(str_get(&text), begin);
    const char *to = from ? strstr(from, end) : NULL;
    if (!to)
        fail_msg("%s has no lines \"%s\" and \"%s\"", name, begin, end);
    from += strlen(begin);
    render(&want);
    if ((size_t)(to - from) == want.n && memcmp(from, str_get(&want), want.n) == 0)
        return;
    if (!getenv("SKEP_UPDATE_DOCS"))
        fail_msg("%s does not say what the table says; run this test with SKEP_UPDATE_DOCS=1", name);
    AUTOSTR struct str whole = STR_INIT;
    str_add(&whole, str_get(&text), (size_t)(from - str_get(&text)));
    str_add(&whole, str_get(&want), want.n);
    str_puts(&whole, to);
    assert_int_equal(file_replace(path, 0644, str_get(&whole), whole.n, &e), 0);
}

static void manual_is_the_table(void **state)
{
    (void)state;
    check_part("docs/config.md", "<!-- settings: from the table -->\n", "<!-- end of settings -->\n",
               markdown);
}

static void example_is_the_table(void **state)
{
    (void)state;
    check_part("etc/skep.conf", "# --- settings, from the table ---\n", "# --- end of settings ---\n",
               example);
}

static void man_page_is_the_table(void **state)
{
    (void)state;
    check_part("docs/man/skep.conf.5", ".\\\" settings: from the table\n", ".\\\" end of settings\n", mdoc);
}

/* As shipped it changes nothing; with every line switched on it is still read, and says the defaults. */
static void example_is_read(void **state)
{
    (void)state;
    AUTOSTR struct str text = STR_INIT;
    AUTOSTR struct str all_on = STR_INIT;
    struct err e = {0};
    struct config c;
    char path[] = "/tmp/skep-example-XXXXXX";
    close(mkstemp(path));
    AUTOFREE char *example_path = mem_printf("%s/etc/skep.conf", SKEP_SOURCE_DIR);
    if (config_load(&c, example_path, NULL, NULL, 0, &e) != 0)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < setting_count(); i++)
        assert_int_equal(c.origin[i].layer, CONFIG_DEFAULT);
    config_fini(&c);

    assert_int_equal(file_read(example_path, 1 << 20, &text, NULL, &e), 0);
    size_t switched = 0;
    for (const char *p = str_get(&text); *p;) {
        size_t n = strcspn(p, "\n"), blank = strspn(p, " ");
        AUTOFREE char *line = mem_copy(p, n);
        bool setting = line[blank] == '#' && line[blank + 1] != ' ' && strstr(line, " = ");
        bool empty = setting && strstr(line, " = \"\""); /* nothing is allowed only where it is the default */
        if (setting && !empty)
            line[blank] = ' ';
        switched += setting;
        str_printf(&all_on, "%s\n", line);
        p += n + (p[n] == '\n');
    }
    assert_true(switched >= setting_count());
    assert_int_equal(file_replace(path, 0600, str_get(&all_on), all_on.n, &e), 0);
    if (config_load(&c, path, NULL, NULL, 0, &e) != 0)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        AUTOSTR struct str value = STR_INIT;
        setting_text(s, &c, &value);
        if (s->initial && !is_computed(s)) {
            assert_int_equal(c.origin[i].layer, CONFIG_IN_FILE);
            assert_string_equal(str_get(&value), s->initial);
        }
    }
    config_fini(&c);
    unlink(path);
}

/* --- single values ------------------------------------------------------------------------------------ */

static void bounds_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        if (s->type != SETTING_INT)
            continue;
        struct {
            int64_t value;
            bool good;
        } cases[] = {{s->min, true}, {s->max, true}, {s->min - 1, false}, {s->max, true}};
        if (s->max < INT64_MAX) {
            cases[3].value = s->max + 1;
            cases[3].good = false;
        }
        for (size_t k = 0; k < COUNT(cases); k++) {
            CLEANUP(texts_fini) struct texts given = TEXTS_INIT;
            AUTOFREE char *text = mem_printf("%lld", (long long)cases[k].value);
            AUTOFREE void *config = mem_alloc(sizeof(struct config));
            AUTOSTR struct str stored = STR_INIT;
            struct err e = {0};
            texts_add(&given, text);
            assert_int_equal(setting_parse(s, &given, "/", config, &e), cases[k].good ? 0 : SKEP_ECONFIG);
            setting_text(s, config, &stored);
            assert_string_equal(str_get(&stored), cases[k].good ? text : "0"); /* untouched on failure */
        }
    }
}

static void nearest_names(void **state)
{
    (void)state;
    static const struct {
        const char *given, *best;
    } cases[] = {
        {"suspect", "suspect_ms"},
        {"pear", "peers"},
        {"listne", "listen"},
        {"client.tokn", "client.token"},
        {"max_childs", "max_children"},
        {"xyzzyxyzzy", NULL},
        {"", NULL},
        {"a_name_that_is_longer_than_any_setting_of_skep_may_ever_be", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *best = setting_nearest(cases[i].given);
        assert_string_equal(best ? best : "(none)", cases[i].best ? cases[i].best : "(none)");
    }
}

static void lists_split_at_commas(void **state)
{
    (void)state;
    CLEANUP(texts_fini) struct texts t = TEXTS_INIT;
    setting_split(" a , b c,,d,", &t);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.v[0], "a");
    assert_string_equal(t.v[1], "b c");
    assert_string_equal(t.v[2], "d");
    assert_null(t.v[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manual_is_the_table),   cmocka_unit_test(example_is_the_table),
        cmocka_unit_test(man_page_is_the_table), cmocka_unit_test(example_is_read),
        cmocka_unit_test(bounds_hold),           cmocka_unit_test(nearest_names),
        cmocka_unit_test(lists_split_at_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
