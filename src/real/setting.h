/* setting: one row per thing that can be configured, and how its value is read, kept and shown.
 *
 * The table in setting.c is the reference: the parser of the file, of the environment and of flags, what
 * `skep config show` prints, docs/config.md, etc/skep.conf and the manual page all come from it.
 */
#ifndef SKEP_REAL_SETTING_H
#define SKEP_REAL_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Owned texts; v always ends with a NULL once something was added. */
struct texts {
    char **v;
    size_t n;
};

#define TEXTS_INIT ((struct texts){NULL, 0})

void texts_add(struct texts *t, const char *text);
void texts_copy(struct texts *to, const struct texts *from); /* to is replaced */
void texts_fini(struct texts *t);

enum setting_type {
    SETTING_TEXT, /* char * */
    SETTING_PATH, /* char *, absolute */
    SETTING_WORD, /* char *, one of `words` */
    SETTING_LIST, /* struct texts */
    SETTING_INT,  /* int64_t in `unit`, min to max */
    SETTING_BOOL, /* bool */
};

struct setting {
    const char *name; /* unique; "client.x" is x of the section client */
    enum setting_type type;
    const char *unit; /* ms, bytes, days, or "" */
    int64_t min, max;
    const char *words;   /* SETTING_WORD: the allowed ones, space between */
    const char *initial; /* the default, as text; NULL = none; "<…>" = worked out at load, says from what */
    const char *env;     /* its environment variable */
    bool reload;         /* HUP applies a change; otherwise it needs a restart */
    bool secret;         /* never shown */
    size_t offset;       /* in struct config */
    const char *(*check)(
        const char *); /* text and each of a list: what is allowed, or NULL when it is good */
    const char *what;  /* one sentence */
};

size_t setting_count(void);
const struct setting *setting_at(size_t i);
/* Its place in the table; -1 for an unknown name. */
int setting_find(const char *name);
/* The known name most like an unknown one in the same section, or NULL when none is near. */
const char *setting_nearest(const char *name);
/* A list as the environment and flags write it: split at commas, blanks around and empty ones dropped. */
void setting_split(const char *text, struct texts *ret);

/* Stores what was given (exactly one text unless it is a list) into config at the setting's offset.
 * Relative paths are taken from base_dir. SKEP_ECONFIG names the setting and says what is allowed; config is
 * untouched then. */
int setting_parse(const struct setting *s, const struct texts *given, const char *base_dir, void *config,
                  struct err *e);
/* The value as text ("" for none; lists with ", " between). Secrets too: the caller masks. */
void setting_text(const struct setting *s, const void *config, struct str *ret);
/* What may be written, in words: "a whole number of ms from 1 to 10". */
void setting_allowed(const struct setting *s, struct str *ret);
bool setting_equal(const struct setting *s, const void *a, const void *b);
/* Replaces the value in one config by a copy of another's. */
void setting_copy(const struct setting *s, void *to, const void *from);
void setting_fini(const struct setting *s, void *config);

#endif
