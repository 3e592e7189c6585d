/* env_file: decides what a line of an environment file means. No value of one ever gets into a message. */
#include "real/env_file.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "real/file.h"
#include "real/setting.h"

static bool is_name(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || p[i] == '_';
        if (!letter && !(i > 0 && p[i] >= '0' && p[i] <= '9'))
            return false;
    }
    return n > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **p, size_t *n)
{
    while (*n && is_blank(**p))
        (*p)++, (*n)--;
    while (*n && is_blank((*p)[*n - 1]))
        (*n)--;
}

/* The list's entry of the same name, which a later line replaces. */
static char **entry_of(const struct texts *list, const char *name, size_t name_n)
{
    for (size_t i = 0; i < list->n; i++)
        if (strncmp(list->v[i], name, name_n) == 0 && list->v[i][name_n] == '=')
            return &list->v[i];
    return NULL;
}

static int read_line(const char *path, size_t number, const char *p, size_t n, struct texts *list,
                     struct err *e)
{
    trim(&p, &n);
    if (n == 0 || *p == '#')
        return 0;
    const char *equals = memchr(p, '=', n);
    if (!equals || !is_name(p, (size_t)(equals - p)))
        return err_set(e, SKEP_ECONFIG, "%s:%zu: not NAME=value", path, number);
    size_t name_n = (size_t)(equals - p), value_n = n - name_n - 1;
    const char *value = equals + 1;
    if (value_n >= 2 && (*value == '"' || *value == '\'') && value[value_n - 1] == *value)
        value++, value_n -= 2;
    AUTOFREE char *text = mem_printf("%.*s=%.*s", (int)name_n, p, (int)value_n, value);
    char **old = entry_of(list, p, name_n);
    if (old)
        mem_replace(old, text);
    else
        texts_add(list, text);
    explicit_bzero(text, strlen(text));
    return 0;
}

static int read_lines(const char *path, const struct str *bytes, struct texts *list, struct err *e)
{
    const char *p = str_get(bytes), *end = p + bytes->n;
    if (memchr(p, 0, bytes->n))
        return err_set(e, SKEP_ECONFIG, "%s holds a NUL byte: it is no text", path);
    for (size_t number = 1; p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        int rc = read_line(path, number, p, n, list, e);
        if (rc != 0)
            return rc;
        p += n + 1;
    }
    return 0;
}

int env_file_read(const char *path, char ***ret, struct err *e)
{
    AUTOSTR struct str bytes = STR_INIT;
    CLEANUP(texts_fini) struct texts list = TEXTS_INIT;
    mode_t mode = 0;
    int rc = file_read(path, ENV_FILE_BYTES_MAX, &bytes, &mode, e);
    if (rc != 0)
        return err_field(e, SKEP_ECONFIG, "env_file", "env_file: %s", e ? e->text : "");
    if (mode & S_IROTH)
        return err_field(e, SKEP_ECONFIG, "env_file",
                         "env_file: everybody can read %s, and it is the place for secrets; chmod o= %s",
                         path, path);
    rc = read_lines(path, &bytes, &list, e);
    if (bytes.n)
        explicit_bzero(bytes.p, bytes.n);
    if (rc != 0)
        return rc;
    *ret = list.v ? list.v : mem_array(1, sizeof *list.v);
    list = TEXTS_INIT;
    return 0;
}

void env_file_free(char **list)
{
    for (char **p = list; p && *p; p++) {
        explicit_bzero(*p, strlen(*p));
        free(*p);
    }
    free(list);
}
