/* skep sql: the stock sqlite3 shell on a node's database, read-only. What it prints is its own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "skep/folder.h"
#include "skep/options.h"
#include "skep/place.h"

static void add(char ***argv, size_t *n, size_t *cap, const char *word)
{
    ARRAY_GROW(*argv, *n, *cap);
    (*argv)[(*n)++] = mem_dup(word);
}

static void add_mode(const struct cli *c, char ***argv, size_t *n, size_t *cap)
{
    static const char *const mode[] = {
        [FORMAT_TABLE] = "-column", [FORMAT_JSON] = "-json", [FORMAT_JSONL] = "-json", [FORMAT_CSV] = "-csv"};
    add(argv, n, cap, mode[c->style.format]);
    if (c->style.header)
        add(argv, n, cap, "-header");
}

static int run(struct cli *c, struct err *e)
{
    char *dir AUTOFREE = NULL, **argv = NULL;
    size_t n = 0, cap = 0;
    int rc = place_dir(c, &dir, e);
    if (rc)
        return rc;
    char *db AUTOFREE = folder_path(dir, "skep.db");
    add(&argv, &n, &cap, "sqlite3");
    add(&argv, &n, &cap, "-readonly");
    add_mode(c, &argv, &n, &cap);
    for (char **word = c->args.tail; word && *word; word++)
        add(&argv, &n, &cap, *word);
    add(&argv, &n, &cap, db);
    for (size_t i = 0; i < c->args.words_n; i++)
        add(&argv, &n, &cap, c->args.word[i]);
    add(&argv, &n, &cap, NULL);
    execvp(argv[0], argv);
    rc = err_set(e, SKEP_ENOTFOUND, "cannot run sqlite3: %s; it is in the Debian package sqlite3",
                 strerror(errno));
    for (size_t i = 0; i < n; i++)
        free(argv[i]);
    free(argv);
    return rc;
}

static const struct verb_option options[] = {
    {.name = "node",
     .kind = OPT_TEXT,
     .value = "N",
     .help = "a node of the last \"skep dev\"",
     .complete = COMPLETE_NODE},
    OPTION_END,
};

const struct verb verb_sql = {
    .name = "sql",
    .args = "[SQL…] [-- SQLITE3-OPTION…]",
    .help = "Look into a node's database with the sqlite3 shell, read-only.",
    .more = "Without SQL it is the shell itself. This is a look at one node's file; nothing is asked over "
            "the network.",
    .options = options,
    .args_max = -1,
    .tail = true,
    .run = run,
};
