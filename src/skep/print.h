/* print: what the command line shows. Items are spans of the server's own bytes; a column names a path in
 * them. Tables are for people (short times, colours on a terminal); json is the server's document as it
 * came, jsonl one item a line, csv the columns with whole values.
 */
#ifndef SKEP_SKEP_PRINT_H
#define SKEP_SKEP_PRINT_H

#include <stdbool.h>

#include "base/str.h"

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_JSONL, FORMAT_CSV };

enum cell {
    CELL_TEXT,
    CELL_NUMBER, /* right-aligned */
    CELL_MS,     /* a duration */
    CELL_TIME,   /* an RFC 3339 time; in a table: how long ago */
    CELL_STATUS, /* coloured by what it says */
    CELL_WORDS,  /* an array of strings: a command, a list of nodes */
    CELL_LONG,   /* text or JSON that a table may cut at the terminal's edge */
};

struct column {
    const char *head; /* NULL ends a list of columns */
    const char *path; /* "spec.argv" */
    enum cell cell;
};

struct print_style {
    enum format format;
    bool header; /* of tables and csv */
    bool quiet;  /* the first column only, one value a line, whatever the format */
};

struct print;

/* columns are borrowed. */
struct print *print_new(const struct print_style *style, const struct column *columns);
/* item: checked JSON. Printed at once, but for tables. */
void print_item(struct print *p, struct span item);
/* Prints what is left, and frees. */
void print_end(struct print *p);

/* One resource: the document as it came, or a line for each of its members ("spec.argv"). */
void print_document(const struct print_style *style, struct span document);

/* The value at a path of members in checked JSON; {NULL, 0} if there is none. */
struct span span_at(struct span item, const char *path);
/* The same as text: strings decoded, null and absent as "", anything else as its JSON. Yours. */
char *text_at(struct span item, const char *path);

/* Appends text as a shell reads it as one word. */
void shell_word(struct str *s, const char *text);

/* Writes all of it to standard output, or ends the program quietly when nobody reads it any more. */
void put(const char *bytes, size_t n);
void put_text(const char *text);
void put_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
