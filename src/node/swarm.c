/* swarm: what a swarm's settings mean for a node. Reads the JSON as it is kept; keeps nothing. */
#include <string.h>

#include "node/brain.h"
#include "wire/json.h"

bool swarm_serves(const char *settings, const struct id *node, const char *name)
{
    struct span one, list = {NULL, 0};
    AUTOSTR struct str text = STR_INIT;
    char id[ID_TEXT];
    if (settings)
        list = json_raw_member(settings, strlen(settings), "nodes");
    if (!list.p || json_type(list) != JSON_T_ARRAY)
        return true;
    id_text(node, id);
    struct json_iter it = json_iter_init(list);
    while (json_iter_next(&it, NULL, &one)) {
        str_clear(&text);
        if (json_unquote(one, &text) &&
            (strcmp(str_get(&text), name) == 0 || strcmp(str_get(&text), id) == 0))
            return true;
    }
    return false;
}

char *swarm_settings(struct store *s, const char *swarm)
{
    struct swarm_row row = {.swarm = mem_dup(swarm)};
    char *settings = *swarm && store_load(s, T_SWARM, &row, NULL) == 1 ? TAKE(row.settings) : NULL;
    row_fini(T_SWARM, &row);
    return settings;
}
