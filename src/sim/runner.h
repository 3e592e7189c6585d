/* runner: one run among many: its command line, what its output says, and how a failing one gets smaller.
 *
 * It decides nothing about processes: main/many.c starts them and hands over what they print. A run is a
 * struct scenario; its command line says everything that its outcome follows from.
 */
#ifndef SKEP_SIM_RUNNER_H
#define SKEP_SIM_RUNNER_H

#include "sim/scenario.h"

/* Appends the options of a run, separated by blanks: "--seed 7 --nodes 3 --for 60s …". */
void runner_options(const struct scenario *c, struct str *ret_text);
/* "none", or words with commas between. */
void runner_faults(unsigned faults, struct str *ret_text);
/* How many nodes a seed gets when nobody says it: 1 to 7, three most often. */
int runner_nodes(uint64_t seed);

/* ---- What a run printed ---- */

enum story_end {
    STORY_GOOD,
    STORY_VIOLATED, /* the simulation says so */
    STORY_CRASHED,  /* by a signal, a sanitizer, a limit, or without its last line */
    STORY_REFUSED,  /* wrong arguments */
};

#define STORY_WORDS_MAX 24

struct story_word {
    char word[24]; /* of what happened to a node: "killed", "paused" */
    int64_t times;
};

/* Zero bytes are an empty one. */
struct story {
    int64_t keep_us; /* of lines before the last one */
    int64_t now_us;  /* of the last line */
    char **lines;    /* owned: a ring of what is kept */
    size_t first, lines_n, lines_cap;
    bool said_ok, said_failed;
    char *violation; /* owned: the first one, without its time; NULL = none */
    int64_t violated_us;
    struct str errors; /* the end of standard error */
    struct story_word words[STORY_WORDS_MAX];
    int words_n;
};

void story_fini(struct story *s);
void story_line(struct story *s, const char *line);
/* Bytes of standard error; the last 16 KiB are kept. */
void story_error(struct story *s, const char *bytes, size_t n);
/* status, signal: of the process. Also sets the violation of a run that crashed. */
enum story_end story_end(struct story *s, int status, int signal);
/* What kind of failure it is: the violation without numbers. Appends. */
void story_kind(const struct story *s, struct str *ret_text);
/* Appends the lines that were kept. */
void story_tell(const struct story *s, struct str *ret_text);

/* ---- Smaller ---- */

struct shrink {
    struct scenario best; /* the smallest that fails so far */
    struct scenario trial;
    int64_t failed_us; /* when the best one failed; 0 = at its end */
    int step, seeds;   /* of the reduction that is tried, and with how many seeds it was */
    bool helped;       /* something did, since the first step */
};

/* c fails at that moment (0: at its end, or unknown). */
struct shrink shrink_begin(const struct scenario *c, int64_t failed_us);
/* The next run to try: true with it in s->trial. False: there is nothing left to try. */
bool shrink_next(struct shrink *s);
/* Whether the trial failed in the same way. */
void shrink_told(struct shrink *s, bool fails, int64_t failed_us);

#endif
