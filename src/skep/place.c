/* place: decides which node's folder a verb means that looks at files. Opens none of them. */
#include "skep/place.h"

#include <string.h>

#include "skep/devstate.h"
#include "skep/folder.h"

/* Yours; NULL if path has no folder. */
static char *folder_of(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash && slash != path ? mem_printf("%.*s", (int)(slash - path), path) : NULL;
}

static char *dev_folder(const char *node)
{
    struct str state AUTOSTR = STR_INIT;
    if (!devstate_read(&state))
        return NULL;
    char *db AUTOFREE = devstate_of(&state, node, "db");
    return folder_of(db);
}

int place_dir(const struct cli *c, char **ret_dir, struct err *e)
{
    static const char scheme[] = "unix://";
    const char *node = args_text(&c->args, "node"), *addr = c->config.client.addr;
    bool named = cli_layer(c, "client.addr") != CONFIG_DEFAULT;
    char *dir = NULL;
    if (node)
        dir = dev_folder(node);
    else if (named && text_starts(addr, scheme))
        dir = folder_of(addr + strlen(scheme));
    else if (folder_complete(c->config.dir))
        dir = mem_dup(c->config.dir);
    else
        dir = dev_folder(NULL);
    if (!dir && node)
        return err_set(e, SKEP_ENOTFOUND, "the last \"skep dev\" of this user has no node %s", node);
    if (!dir || !folder_complete(dir)) {
        int rc =
            err_set(e, SKEP_ENOTFOUND,
                    "no node's folder here: there is no %s/skep.db; name the configuration with --config, or "
                    "the node with --addr unix:///…/skep.sock",
                    dir ? dir : c->config.dir);
        free(dir);
        return rc;
    }
    *ret_dir = dir;
    return 0;
}
