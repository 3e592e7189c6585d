/* problem: an answer that is no success, in our own codes. Whatever stands in it may be anything. */
#include "skep/problem.h"

#include <string.h>

#include "wire/json.h"

/* What a status means where no code of ours came with it. */
static int code_of_status(int status)
{
    if (status == 401)
        return SKEP_EUNAUTHORIZED;
    if (status == 403)
        return SKEP_EFORBIDDEN;
    if (status == 404)
        return SKEP_ENOTFOUND;
    if (status == 413)
        return SKEP_ETOOLARGE;
    return SKEP_EINTERNAL;
}

static void text_member(const char *body, size_t n, const char *name, struct str *ret)
{
    struct span raw = json_raw_member(body, n, name);
    if (raw.p)
        json_unquote(raw, ret);
}

int problem_err(int status, const char *body, size_t n, struct err *e)
{
    struct str detail AUTOSTR = STR_INIT, word AUTOSTR = STR_INIT, field AUTOSTR = STR_INIT;
    if (json_check(body, n, NULL) == 0) {
        text_member(body, n, "detail", &detail);
        if (!detail.n)
            text_member(body, n, "title", &detail);
        text_member(body, n, "code", &word);
        text_member(body, n, "field", &field);
    }
    if (!detail.n)
        str_printf(&detail, "the node answered with status %d and no explanation", status);
    int code = err_from_word(str_get(&word));
    bool known = word.n && strcmp(err_info(code)->word, str_get(&word)) == 0 && code < 0;
    if (!known)
        code = code_of_status(status);
    if (word.n && !known)
        str_printf(&detail, " [%s]", str_get(&word));
    return err_field(e, code, str_get(&field), "%s", str_get(&detail));
}
