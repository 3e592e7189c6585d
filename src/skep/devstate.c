/* devstate: a convenience, hence silent: whatever is wrong with the file, there is simply none. */
#include "skep/devstate.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/file.h"
#include "skep/http.h"
#include "skep/print.h"
#include "wire/json.h"

#define STATE_BYTES_MAX (1u << 20)

char *devstate_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return mem_printf("%s/skep/dev.json", state);
    return home && *home == '/' ? mem_printf("%s/.local/state/skep/dev.json", home) : NULL;
}

bool devstate_read(struct str *ret_json)
{
    char *path AUTOFREE = devstate_path();
    struct str text AUTOSTR = STR_INIT;
    if (!path || file_read(path, STATE_BYTES_MAX, &text, NULL, NULL) ||
        json_check(str_get(&text), text.n, NULL))
        return false;
    str_fini(ret_json);
    *ret_json = text;
    text = STR_INIT;
    return true;
}

static void make_folders(const char *path)
{
    char *folder AUTOFREE = mem_dup(path);
    for (char *p = folder + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(folder, 0700);
            *p = '/';
        }
}

int devstate_write(const struct str *json, struct err *e)
{
    char *path AUTOFREE = devstate_path();
    if (!path)
        return err_set(e, SKEP_ENOTFOUND, "neither XDG_STATE_HOME nor HOME is set");
    make_folders(path);
    return file_replace(path, 0600, str_get(json), json->n, e);
}

void devstate_forget(const struct str *json)
{
    char *path AUTOFREE = devstate_path();
    struct str now AUTOSTR = STR_INIT;
    if (path && devstate_read(&now) && now.n == json->n && memcmp(now.p, json->p, now.n) == 0)
        unlink(path);
}

char *devstate_socket(const struct str *json)
{
    struct span nodes = json_raw_member(str_get(json), json->n, "nodes"), node;
    struct json_iter it = json_iter_init(nodes);
    while (nodes.p && json_iter_next(&it, NULL, &node)) {
        char *socket AUTOFREE = text_at(node, "socket");
        if (*socket && unix_answers(socket))
            return TAKE(socket);
    }
    return NULL;
}

char *devstate_of(const struct str *json, const char *name, const char *member)
{
    struct span nodes = json_raw_member(str_get(json), json->n, "nodes"), node;
    struct json_iter it = json_iter_init(nodes);
    while (nodes.p && json_iter_next(&it, NULL, &node)) {
        char *called AUTOFREE = text_at(node, "name");
        if (!name || strcmp(called, name) == 0)
            return text_at(node, member);
    }
    return NULL;
}
