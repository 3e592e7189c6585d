/* backup: the route of backups. The copy is a stream of bytes that the connection layer sends (real/), so it
 * does not pass through here; a worker, whose channel carries JSON, is told so.
 */
#include "api/api.h"

static int backup_read(const struct call *c UNUSED, const struct reading *r UNUSED, struct str *body UNUSED,
                       struct answer *ret UNUSED, struct err *e)
{
    return err_set(e, SKEP_EARG,
                   "a backup is a stream of bytes, not JSON: ask for it over HTTP, or with skep backup");
}

const struct route backup_routes[] = {
    {HTTP_M_POST, "/v1/backup", ROLE_ADMIN, API_READER, API_BODY_BYTES, false, NULL, 0, 0, NULL, backup_read,
     NULL, "Take a backup: a consistent copy of what the cluster has, as one SQLite file, streamed."},
    {0},
};
