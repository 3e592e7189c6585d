#include "bench/report.h"

#include <libsmartcols/libsmartcols.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/json.h"

struct result *report_new(struct report *r, const char *figure, const char *unit, const char *fmt, ...)
{
    va_list ap;
    ensure(r->n < COUNT(r->list), "%zu results", r->n);
    struct result *result = r->list[r->n++] = mem_alloc(sizeof *result);
    result->figure = figure;
    result->unit = unit;
    va_start(ap, fmt);
    int n = vasprintf(&result->what, fmt, ap);
    va_end(ap);
    ensure(n >= 0, "cannot format %s", fmt);
    return result;
}

void result_run(struct result *r, double got, double yard)
{
    samples_add(&r->got, got);
    if (isnan(yard))
        return;
    samples_add(&r->yard, yard);
    samples_add(&r->ratio, got / yard);
}

double result_judged(struct result *r)
{
    return r->aim == AIM_MAX ? samples_median(&r->got) : samples_median(&r->ratio);
}

bool result_met(struct result *r)
{
    double v = result_judged(r);
    return r->aim == AIM_NONE || (r->aim == AIM_RATIO_MIN ? v >= r->limit : v <= r->limit);
}

/* Three significant digits at least, none that say nothing. */
static char *number(double v)
{
    if (isnan(v))
        return mem_dup("");
    double size = fabs(v);
    return mem_printf("%.*f", size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3, v);
}

static char *spread(struct samples *s)
{
    AUTOFREE char *low = number(samples_at(s, 0)), *high = number(samples_at(s, 1));
    return s->n > 1 ? mem_printf("%s-%s", low, high) : mem_dup("");
}

static char *aim_text(const struct result *r)
{
    AUTOFREE char *limit = number(r->limit);
    switch (r->aim) {
    case AIM_NONE:
        return mem_dup("");
    case AIM_RATIO_MIN:
        return mem_printf("ratio >= %s", limit);
    case AIM_RATIO_MAX:
        return mem_printf("ratio <= %s", limit);
    case AIM_MAX:
        return mem_printf("<= %s", limit);
    }
    unreachable("aim %d", (int)r->aim);
}

enum { C_FIGURE, C_WHAT, C_MEDIAN, C_SPREAD, C_UNIT, C_YARD, C_YARD_MEDIAN, C_RATIO, C_AIM, C_MET, COLUMNS };

static const struct {
    const char *name;
    int flags;
} columns[COLUMNS] = {
    {"FIGURE", 0}, {"CASE", 0},      {"MEDIAN", SCOLS_FL_RIGHT},     {"SPREAD", SCOLS_FL_RIGHT},
    {"UNIT", 0},   {"YARDSTICK", 0}, {"ITS MEDIAN", SCOLS_FL_RIGHT}, {"RATIO", SCOLS_FL_RIGHT},
    {"AIM", 0},    {"MET", 0}};

static void set(struct libscols_line *line, size_t column, char *text TAKES)
{
    ensure(scols_line_refer_data(line, column, text) == 0, "libsmartcols: column %zu", column);
}

static void add_line(struct libscols_table *t, struct result *r)
{
    struct libscols_line *line = scols_table_new_line(t, NULL);
    ensure(line, "libsmartcols: no line");
    set(line, C_FIGURE, mem_dup(r->figure));
    set(line, C_WHAT, mem_dup(r->what));
    set(line, C_MEDIAN, number(samples_median(&r->got)));
    set(line, C_SPREAD, spread(&r->got));
    set(line, C_UNIT, mem_dup(r->unit));
    set(line, C_YARD, mem_dup(r->yardstick ? r->yardstick : ""));
    set(line, C_YARD_MEDIAN, number(samples_median(&r->yard)));
    set(line, C_RATIO, number(samples_median(&r->ratio)));
    set(line, C_AIM, aim_text(r));
    set(line, C_MET, mem_dup(r->aim == AIM_NONE ? "" : result_met(r) ? "yes" : "NO"));
}

void report_table(struct report *r)
{
    scols_init_debug(0);
    struct libscols_table *t = scols_new_table();
    for (int i = 0; i < COLUMNS; i++)
        ensure(t && scols_table_new_column(t, columns[i].name, 0, columns[i].flags),
               "libsmartcols: no column");
    for (size_t i = 0; i < r->n; i++)
        add_line(t, r->list[i]);
    scols_print_table(t);
    scols_unref_table(t);
    for (size_t i = 0; i < r->n; i++)
        if (r->list[i]->note.n)
            printf("%s, %s: %s\n", r->list[i]->figure, r->list[i]->what, str_get(&r->list[i]->note));
}

static void json_samples(struct jw *j, const char *key, struct samples *s)
{
    if (s->n == 0)
        return;
    jw_kv_object(j, key);
    jw_kv_real(j, "median", samples_median(s));
    jw_kv_real(j, "min", samples_at(s, 0));
    jw_kv_real(j, "max", samples_at(s, 1));
    jw_kv_i64(j, "runs", (int64_t)s->n);
    jw_object_close(j);
}

static void json_result(struct jw *j, struct result *r)
{
    AUTOFREE char *aim = aim_text(r);
    jw_object(j);
    jw_kv_string(j, "figure", r->figure);
    jw_kv_string(j, "case", r->what);
    jw_kv_string(j, "unit", r->unit);
    json_samples(j, "value", &r->got);
    jw_kv_string(j, "yardstick", r->yardstick);
    json_samples(j, "yardstick_value", &r->yard);
    json_samples(j, "ratio", &r->ratio);
    if (r->aim != AIM_NONE) {
        jw_kv_string(j, "aim", aim);
        jw_kv_bool(j, "met", result_met(r));
    }
    if (r->note.n)
        jw_kv_string(j, "note", str_get(&r->note));
    jw_object_close(j);
}

void report_json(struct report *r, const char *machine, bool quick)
{
    AUTOSTR struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "version", SKEP_VERSION);
    jw_kv_string(&j, "machine", machine);
    jw_kv_bool(&j, "quick", quick);
    jw_kv_array(&j, "results");
    for (size_t i = 0; i < r->n; i++)
        json_result(&j, r->list[i]);
    jw_array_close(&j);
    jw_object_close(&j);
    jw_end(&j);
    printf("%s\n", str_get(&s));
}

void report_fini(struct report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct result *result = r->list[i];
        free(result->what);
        samples_fini(&result->got);
        samples_fini(&result->yard);
        samples_fini(&result->ratio);
        str_fini(&result->note);
        free(result);
    }
    r->n = 0;
}
