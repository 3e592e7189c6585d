/* metadata: patches and increments of an object that a user keeps with a process. Pure. */
#include "api/metadata.h"

#include <string.h>

#include "base/mem.h"
#include "wire/json.h"

/* Adds "key":sum to the patch. */
static int add(struct span object, struct span key, struct span by, struct jw *patch, struct err *e)
{
    AUTOSTR struct str name = STR_INIT;
    int64_t more, has = 0;
    json_unquote(key, &name);
    AUTOFREE char *field = mem_printf("increment.%.60s", str_get(&name));
    struct span now = json_raw_member(object.p, object.n, str_get(&name));
    if (!json_int(by, &more))
        return err_field(e, SKEP_EARG, field, "must be a whole number within 2^53");
    if (now.p && json_type(now) != JSON_T_NULL && !json_int(now, &has))
        return err_field(e, SKEP_EARG, field, "metadata.%.60s is no whole number; set it first",
                         str_get(&name));
    if (has + more > JSON_INT_MAX || has + more < -JSON_INT_MAX) /* each is within 2^53 */
        return err_field(e, SKEP_EARG, field, "the sum is beyond 2^53, where numbers of JSON are not exact");
    jw_kv_i64(patch, str_get(&name), has + more);
    return 0;
}

static int increments(struct span object, struct span increment, struct str *ret_patch, struct err *e)
{
    struct jw j = jw_init(ret_patch);
    struct json_iter it = json_iter_init(increment);
    struct span key, value;
    int rc = 0;
    jw_object(&j);
    while (rc == 0 && json_iter_next(&it, &key, &value))
        rc = add(object, key, value, &j, e);
    jw_object_close(&j);
    return rc;
}

int metadata_change(const char *old, struct span patch, struct span increment, struct str *ret_text,
                    struct err *e)
{
    AUTOSTR struct str patched = STR_INIT, sums = STR_INIT;
    int rc = 0;
    if (!old)
        old = "{}";
    if (patch.p)
        rc = json_merge_patch(old, strlen(old), patch.p, patch.n, &patched, e);
    else
        str_puts(&patched, old);
    if (rc == 0 && increment.p)
        rc = increments((struct span){str_get(&patched), patched.n}, increment, &sums, e);
    else
        str_puts(&sums, "{}");
    return rc < 0 ? rc : json_merge_patch(str_get(&patched), patched.n, str_get(&sums), sums.n, ret_text, e);
}
