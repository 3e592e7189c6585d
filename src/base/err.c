#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct err_info infos[] = {
    {SKEP_OK, "ok", 200, 0, "Done"},
    {SKEP_EJSON, "invalid_json", 400, 1, "The body is not valid JSON"},
    {SKEP_EARG, "invalid_argument", 400, 1, "An argument is not valid"},
    {SKEP_EUNAUTHORIZED, "unauthorized", 401, 77, "Credentials are missing or not valid"},
    {SKEP_EFORBIDDEN, "forbidden", 403, 77, "These credentials do not allow this"},
    {SKEP_EEXEC, "exec_not_allowed", 403, 77, "No node may run this program"},
    {SKEP_ENOTFOUND, "not_found", 404, 1, "There is no such thing"},
    {SKEP_ENOSESSION, "no_such_session", 404, 1, "There is no such session"},
    {SKEP_ENOENTRY, "no_such_entry", 404, 1, "There is no such entry"},
    {SKEP_EMETHOD, "method_not_allowed", 405, 1, "This path does not take this method"},
    {SKEP_ESTARTED, "already_started", 409, 1, "A process of this name is running"},
    {SKEP_ETAKEN, "taken", 409, 1, "The name is taken"},
    {SKEP_EFENCED, "fenced", 409, 1, "The epoch is not the current one"},
    {SKEP_EKEYREUSED, "key_reused", 409, 1, "The Idempotency-Key was used for another request"},
    {SKEP_ECONFLICT, "conflict", 412, 1, "The resource has changed"},
    {SKEP_ETOOLARGE, "too_large", 413, 1, "The body is too large"},
    {SKEP_ESTARTFAILED, "start_failed", 422, 1, "The process could not be started"},
    {SKEP_EWORKER, "worker_failed", 422, 1, "The worker failed"},
    {SKEP_ERATE, "rate_limited", 429, 1, "Too many requests"},
    {SKEP_EPARTITIONED, "partitioned", 503, 1, "This side of the partition may not decide"},
    {SKEP_ESETTLING, "settling", 503, 1, "The cluster's view is changing"},
    {SKEP_ENONODE, "no_node_available", 503, 1, "No node can run this"},
    {SKEP_ENOTALIVE, "not_alive", 503, 1, "The process is not running"},
    {SKEP_EQUEUEFULL, "queue_full", 503, 1, "The receiver's queue is full"},
    {SKEP_EOVERLOADED, "overloaded", 503, 1, "The node is overloaded"},
    {SKEP_ESTORE, "store_fault", 503, 1, "The store failed"},
    {SKEP_EBUSY, "store_busy", 503, 1, "Somebody else holds the database's write lock"},
    {SKEP_EDISKFULL, "disk_full", 503, 1, "The disk is full"},
    {SKEP_ECLOCK, "clock", 503, 1, "The node's clock cannot be trusted"},
    {SKEP_ETIMEOUT, "timeout", 504, 1, "No outcome in time; what was asked may still happen"},
    {SKEP_EINTERNAL, "internal", 500, 1, "The request failed"},
    {SKEP_EUSAGE, "usage", 400, 64, "Wrong usage"},
    {SKEP_EUNREACHABLE, "unreachable", 503, 69, "Nobody answers"},
    {SKEP_ENOTYET, "not_yet", 202, 75, "Accepted, but not yet true"},
    {SKEP_ECONFIG, "config", 500, 78, "The configuration is not valid"},
    {SKEP_ENEWER, "newer_schema", 500, 65, "The database was written by a newer skep"},
    {SKEP_EFOREIGN, "foreign_file", 500, 66, "The file is not a skep database"},
    {SKEP_EDAMAGED, "damaged", 500, 67, "The database is damaged"},
    {SKEP_ELOCKED, "folder_in_use", 500, 73, "Another skepd uses this folder"},
    {SKEP_EIO, "io_error", 500, 70, "The disk failed"},
};

const struct err_info *err_info(int code)
{
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++)
        if (infos[i].code == code)
            return &infos[i];
    return err_info(SKEP_EINTERNAL);
}

int err_from_word(const char *word)
{
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++)
        if (strcmp(infos[i].word, word) == 0)
            return infos[i].code;
    return SKEP_EINTERNAL;
}

/* Cuts at a character's start, so that a cut text is still UTF-8. */
static void cut(char *text, size_t size)
{
    size_t n = strnlen(text, size);
    if (n + 1 < size)
        return;
    size_t start = n;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)text[start - 1] >= 0xC0)
        text[start - 1] = 0;
}

static int set(struct err *e, int code, const char *field, const char *fmt, va_list ap)
{
    if (!e)
        return code;
    e->code = code;
    snprintf(e->field, sizeof e->field, "%s", field);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    cut(e->text, sizeof e->text);
    return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set(e, code, "", fmt, ap);
    va_end(ap);
    return code;
}

int err_field(struct err *e, int code, const char *field, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set(e, code, field, fmt, ap);
    va_end(ap);
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return SKEP_EINTERNAL;
    char context[256], whole[sizeof e->text + sizeof context + 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof whole, "%s: %s", context, e->text);
    memcpy(e->text, whole, sizeof e->text);
    e->text[sizeof e->text - 1] = 0;
    cut(e->text, sizeof e->text);
    return e->code;
}
