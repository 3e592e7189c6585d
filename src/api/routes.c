/* routes: the arrays of all files of handlers, in the order of the reference. */
#include "api/api.h"

extern const struct route batch_routes[], operation_routes[];
extern const struct route cluster_routes[], digest_routes[], swarm_routes[], child_start_routes[],
    child_routes[], child_tell_routes[], child_read_routes[], name_routes[], session_routes[],
    template_routes[], event_routes[], token_routes[], peer_routes[], probe_routes[], backup_routes[],
    quarantine_routes[], group_routes[], message_routes[], hook_routes[], child_list_routes[],
    child_watch_routes[], why_routes[];

const struct route *const api_routes[] = {
    probe_routes,       cluster_routes, digest_routes,     swarm_routes,      child_list_routes,
    child_start_routes, child_routes,   child_tell_routes, child_read_routes, child_watch_routes,
    why_routes,         batch_routes,   operation_routes,  name_routes,       group_routes,
    message_routes,     session_routes, template_routes,   event_routes,      hook_routes,
    token_routes,       peer_routes,    backup_routes,     quarantine_routes, NULL,
};

size_t api_routes_n(void)
{
    size_t n = 0;
    while (api_route_at(n))
        n++;
    return n;
}

const struct route *api_route_at(size_t i)
{
    for (const struct route *const *list = api_routes; *list; list++)
        for (const struct route *r = *list; r->path; r++)
            if (i-- == 0)
                return r;
    return NULL;
}
