/* The command line of skep, with its real verbs: the input's words, one between two zeros. */
#include "fuzz.h"

#include <string.h>

#include "base/ensure.h"
#include "skep/args.h"

#define WORDS_MAX 64

static void looked_up(const struct args *a)
{
    for (const struct verb_option *o = a->verb ? a->verb->options : NULL; o && o->name; o++) {
        int64_t v = 0;
        const char *text = args_text(a, o->name);
        ensure(args_flag(a, o->name) == (text != NULL), "a flag and its value disagree");
        if (o->kind == OPT_INT && text)
            ensure(args_i64(a, o->name, &v) && v >= o->min && (o->max == 0 || v <= o->max),
                   "--%s=%s got through", o->name, text);
        size_t i = 0;
        while (args_nth(a, o->name, i))
            i++;
        ensure((i > 0) == (text != NULL) && i <= a->options_n, "%zu values of --%s", i, o->name);
    }
}

static void in_bounds(const struct args *a)
{
    const struct verb *v = a->verb;
    ensure(!args_word(a, a->words_n), "a word past the last");
    if (!v || a->help)
        return;
    ensure(!v->subs, "half a verb got through");
    ensure((int)a->words_n >= v->args_min && (v->args_max < 0 || (int)a->words_n <= v->args_max),
           "%zu words got through", a->words_n);
    ensure(!a->tail || v->tail, "a tail for a verb that takes none");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *argv[WORDS_MAX + 2] = {(char[]){"skep"}};
    int argc = 1;
    AUTOFREE char *copy = mem_copy(data, n);
    for (char *p = copy; p < copy + n && argc <= WORDS_MAX; p += strlen(p) + 1)
        argv[argc++] = p;
    struct args a;
    struct err e = {0};
    AUTOSTR struct str usage = STR_INIT;
    int rc = args_parse(argc, argv, &a, &e);
    ensure(rc == 0 || (rc == SKEP_EUSAGE && *e.text && text_is_utf8(e.text, strlen(e.text))),
           "a refusal without a word: %s", e.text);
    verb_usage(a.family, a.verb, &usage);
    looked_up(&a);
    if (rc == 0)
        in_bounds(&a);
    args_fini(&a);
    return 0;
}
