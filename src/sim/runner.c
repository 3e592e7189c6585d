/* Reads what a run printed and makes failing runs smaller. It starts no process and opens no file. */
#include "sim/runner.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"

#define LINES_MAX   60000
#define ERRORS_MAX  16384
#define SEEDS_TRIED 3 /* a smaller run has other dice: the same bug may need another seed */
#define FOR_MIN_US  (10 * SIM_SECOND)
#define NODES_TRIED 6

/* ---- Command lines ---- */

void runner_faults(unsigned faults, struct str *ret_text)
{
    nemesis_list(faults, ret_text);
}

void runner_options(const struct scenario *c, struct str *ret_text)
{
    bool seconds = c->for_us % SIM_SECOND == 0;
    str_printf(ret_text, "--seed %llu --nodes %d --for %lld%s --ops %d --faults ",
               (unsigned long long)c->sim.seed, c->sim.nodes,
               (long long)(c->for_us / (seconds ? SIM_SECOND : 1000)), seconds ? "s" : "ms",
               c->load.per_second);
    runner_faults(c->faults, ret_text);
}

int runner_nodes(uint64_t seed)
{
    static const int nodes[] = {3, 3, 5, 2, 3, 4, 3, 1, 7, 3, 5, 6, 3, 4, 3, 5};
    return nodes[prng_mix(seed) % COUNT(nodes)];
}

/* ---- What a run printed ---- */

void story_fini(struct story *s)
{
    for (size_t i = 0; i < s->lines_n; i++)
        free(s->lines[(s->first + i) % s->lines_cap]);
    free(s->lines);
    free(s->violation);
    str_fini(&s->errors);
    *s = (struct story){0};
}

/* "  12.345678 n1   text": the time, and where the name and the text begin. */
static bool parse(const char *line, int64_t *ret_us, const char **ret_who, const char **ret_text)
{
    long long s, us;
    int n = 0;
    if (sscanf(line, " %lld.%6lld %n", &s, &us, &n) != 2 || n == 0)
        return false;
    *ret_us = s * SIM_SECOND + us;
    *ret_who = line + n;
    *ret_text = strchr(*ret_who, ' ');
    if (!*ret_text)
        return false;
    *ret_text += strspn(*ret_text, " ");
    return true;
}

static char *line_first(const struct story *s)
{
    return s->lines[s->first];
}

static void drop_old(struct story *s)
{
    int64_t at_us;
    const char *who, *text;
    while (s->lines_n > LINES_MAX ||
           (s->lines_n && (!parse(line_first(s), &at_us, &who, &text) || at_us < s->now_us - s->keep_us))) {
        free(line_first(s));
        s->first = (s->first + 1) % s->lines_cap;
        s->lines_n--;
    }
}

static void keep(struct story *s, const char *line)
{
    if (s->lines_n == s->lines_cap) {
        size_t cap = s->lines_cap ? 2 * s->lines_cap : 256;
        char **lines = mem_array(cap, sizeof *lines);
        for (size_t i = 0; i < s->lines_n; i++)
            lines[i] = s->lines[(s->first + i) % s->lines_cap];
        free(s->lines);
        s->lines = lines;
        s->lines_cap = cap;
        s->first = 0;
    }
    s->lines[(s->first + s->lines_n++) % s->lines_cap] = mem_dup(line);
    drop_old(s);
}

/* Counts a note about a node by its first words, up to the first number or name. */
static void count(struct story *s, const char *text)
{
    size_t n = strcspn(text, "0123456789:,(");
    char word[sizeof s->words[0].word];
    while (n && text[n - 1] == ' ')
        n--;
    if (!n || n >= sizeof word)
        return;
    memcpy(word, text, n);
    word[n] = 0;
    for (int i = 0; i < s->words_n; i++) {
        if (strcmp(s->words[i].word, word) == 0) {
            s->words[i].times++;
            return;
        }
    }
    if (s->words_n == STORY_WORDS_MAX)
        return;
    struct story_word *w = &s->words[s->words_n++];
    memcpy(w->word, word, n + 1);
    w->times = 1;
}

/* What the simulation itself says. */
static void said(struct story *s, const char *text)
{
    static const char violation[] = "VIOLATION: ";
    if (strncmp(text, "seed ", 5) == 0) {
        s->said_ok = strstr(text, ": ok, digest ") != NULL;
        s->said_failed = strstr(text, ": FAILED, digest ") != NULL;
    } else if (strncmp(text, violation, sizeof violation - 1) == 0) {
        /* that it has not converged says less than what is broken */
        if (!s->violation)
            s->violation = mem_dup(text + sizeof violation - 1);
        s->violated_us = s->violated_us ? s->violated_us : s->now_us;
    } else if (strncmp(text, "check ", 6) == 0 && strstr(text, ": BROKEN: ") && !s->violation)
        s->violation = mem_dup(text);
}

void story_line(struct story *s, const char *line)
{
    int64_t at_us;
    const char *who, *text;
    if (!parse(line, &at_us, &who, &text))
        return;
    s->now_us = at_us;
    keep(s, line);
    if (strncmp(who, "sim ", 4) == 0)
        said(s, text);
    else
        count(s, text);
}

void story_error(struct story *s, const char *bytes, size_t n)
{
    str_add(&s->errors, bytes, n);
    if (s->errors.n <= 2 * ERRORS_MAX)
        return;
    size_t gone = s->errors.n - ERRORS_MAX;
    memmove(s->errors.p, s->errors.p + gone, ERRORS_MAX + 1);
    s->errors.n = ERRORS_MAX;
}

/* The line of standard error that says why, for a kind of failure. */
static char *complaint(const struct story *s)
{
    static const char *const marks[] = {"ERROR: AddressSanitizer", "runtime error:", "ensure(", "unreachable",
                                        "ERROR: LeakSanitizer"};
    const char *text = str_get(&s->errors);
    for (size_t i = 0; i < COUNT(marks); i++) {
        const char *p = strstr(text, marks[i]);
        if (!p)
            continue;
        while (p > text && p[-1] != '\n')
            p--;
        return mem_copy(p, strcspn(p, "\n"));
    }
    return NULL;
}

enum story_end story_end(struct story *s, int status, int signal)
{
    if (!signal && status == 0 && s->said_ok)
        return STORY_GOOD;
    if (!signal && status == 1 && s->said_failed && s->violation)
        return STORY_VIOLATED;
    if (!signal && status == 64) {
        mem_replace(&s->violation, "it refuses its arguments");
        return STORY_REFUSED;
    }
    AUTOFREE char *why = complaint(s);
    free(s->violation);
    s->violation = signal ? mem_printf("ended by signal %d (%s)%s%s", signal, strsignal(signal),
                                       why ? ": " : "", why ? why : "")
                          : mem_printf("exit %d%s%s", status, why ? ": " : "", why ? why : "");
    s->violated_us = s->now_us;
    return STORY_CRASHED;
}

void story_kind(const struct story *s, struct str *ret_text)
{
    const char *p = s->violation ? s->violation : "";
    size_t most = ret_text->n + 60; /* what follows names things */
    for (; *p && ret_text->n < most; p++)
        if (*p < '0' || *p > '9')
            str_putc(ret_text, *p);
}

void story_tell(const struct story *s, struct str *ret_text)
{
    for (size_t i = 0; i < s->lines_n; i++)
        str_printf(ret_text, "%s\n", s->lines[(s->first + i) % s->lines_cap]);
}

/* ---- Smaller ---- */

enum {
    STEP_SHORT,
    STEP_FAULTS,
    STEP_NODES = STEP_FAULTS + NEMESIS_KINDS,
    STEP_OPS = STEP_NODES + NODES_TRIED,
    STEP_FOR,
    STEPS
};

struct shrink shrink_begin(const struct scenario *c, int64_t failed_us)
{
    struct shrink s = {.best = *c, .trial = *c, .failed_us = failed_us};
    s.best.faults = nemesis_lot(c->faults, c->sim.seed); /* the same run */
    return s;
}

/* The reduction of a step; false if it would change nothing. */
static bool reduce(const struct shrink *s, struct scenario *ret)
{
    *ret = s->best;
    if (s->step == STEP_SHORT) { /* the same run up to there: faults end a quarter or 30 s before the end */
        int64_t least = s->failed_us + 31 * SIM_SECOND, quarter = s->failed_us * 4 / 3 + SIM_SECOND;
        ret->for_us = (least > quarter ? least : quarter) / SIM_SECOND * SIM_SECOND;
        return s->failed_us > 0 && ret->for_us < s->best.for_us;
    }
    if (s->step < STEP_NODES) {
        ret->faults &= ~(1u << (s->step - STEP_FAULTS));
        return ret->faults != s->best.faults;
    }
    if (s->step < STEP_OPS) {
        ret->sim.nodes = s->step - STEP_NODES + 1;
        return ret->sim.nodes < s->best.sim.nodes;
    }
    if (s->step == STEP_OPS) {
        ret->load.per_second /= 2;
        return ret->load.per_second > 0;
    }
    ret->for_us = s->best.for_us * 2 / 3 / SIM_SECOND * SIM_SECOND;
    return ret->for_us >= FOR_MIN_US;
}

bool shrink_next(struct shrink *s)
{
    for (;;) {
        if (s->step == STEPS) {
            if (!s->helped)
                return false;
            s->step = STEP_FAULTS;
            s->helped = false;
        }
        int seeds = s->step == STEP_SHORT ? 1 : SEEDS_TRIED;
        if (s->seeds < seeds && reduce(s, &s->trial)) {
            s->trial.sim.seed += (uint64_t)s->seeds;
            return true;
        }
        s->step++;
        s->seeds = 0;
    }
}

void shrink_told(struct shrink *s, bool fails, int64_t failed_us)
{
    if (!fails) {
        s->seeds++;
        return;
    }
    s->best = s->trial;
    s->failed_us = failed_us;
    s->seeds = 0;
    s->helped = true;
    if (s->step == STEP_SHORT)
        s->step++;
}
