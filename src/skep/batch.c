/* batch: many at once. The request is accepted at once and its operation is waited for, so that no limit of
 * one call holds, and a terminal sees how far it is.
 */
#include "skep/batch.h"

#include <stdio.h>
#include <unistd.h>

#define BATCH_BYTES_MAX (16u << 20)
#define WAIT_PATH       "/v1/operations/%s?wait=true&timeout_ms=%d"
#define WAIT_MS         1000 /* between two lines of progress */
#define WAITS_MAX       1200

/* ---- what is asked ---- */

/* A child a line, as an array. */
static int lines_read(const struct str *input, struct str *ret_array, struct err *e)
{
    const char *p = str_get(input);
    int line = 0;
    str_putc(ret_array, '[');
    while (*p) {
        size_t n = strcspn(p, "\n");
        struct span one = json_trim((struct span){p, n});
        line++;
        if (one.n) {
            if (json_check(one.p, one.n, e) < 0)
                return err_wrap(e, "line %d", line);
            str_puts(ret_array, ret_array->n > 1 ? "," : "");
            str_add(ret_array, one.p, one.n);
        }
        p += n + (p[n] == '\n');
    }
    str_putc(ret_array, ']');
    return 0;
}

int batch_file(const char *file, struct str *ret_body, struct err *e)
{
    struct str input AUTOSTR = STR_INIT, array AUTOSTR = STR_INIT;
    int rc = cli_read(file, BATCH_BYTES_MAX, &input, e);
    if (rc < 0)
        return rc;
    struct span all = {str_get(&input), input.n};
    bool one = json_check(all.p, all.n, NULL) == 0;
    if (one && json_type(all) == JSON_T_OBJECT && json_raw_member(all.p, all.n, "children").p) {
        str_add(ret_body, all.p, all.n);
        return 0;
    }
    if (one && json_type(all) == JSON_T_ARRAY)
        str_add(&array, all.p, all.n);
    else if ((rc = lines_read(&input, &array, e)) < 0)
        return rc;
    str_printf(ret_body, "{\"children\":%s}", str_get(&array));
    return 0;
}

static int start_body(const struct cli *c, const char *file, struct str *ret_body, struct err *e)
{
    struct str body AUTOSTR = STR_INIT, patch AUTOSTR = STR_INIT;
    char *metadata AUTOFREE = NULL;
    int rc = batch_file(file, &body, e);
    if (rc == 0)
        rc = cli_json_option(c, "metadata", JSON_T_OBJECT, &metadata, e);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&patch);
    jw_object(&j);
    cli_put_text(c, &j, "mode");
    cli_put_text(c, &j, "on-failure");
    if (metadata)
        jw_kv_raw(&j, "metadata", span_of(metadata));
    jw_kv_bool(&j, "await", false);
    jw_object_close(&j);
    jw_end(&j);
    return json_merge_patch(str_get(&body), body.n, str_get(&patch), patch.n, ret_body, e);
}

static int stop_body(const struct cli *c, struct str *ret_body, struct err *e)
{
    struct str input AUTOSTR = STR_INIT;
    bool standard = c->args.words_n == 1 && strcmp(args_word(&c->args, 0), "-") == 0;
    int rc = standard ? cli_read("-", BATCH_BYTES_MAX, &input, e) : 0;
    if (rc < 0)
        return rc;
    struct jw j = jw_init(ret_body);
    jw_object(&j);
    jw_kv_array(&j, "names");
    for (size_t i = 0; !standard && i < c->args.words_n; i++)
        jw_string(&j, args_word(&c->args, i));
    for (const char *p = str_get(&input); *p;) {
        size_t n = strcspn(p, "\n");
        if (n)
            jw_string_n(&j, p, n);
        p += n + (p[n] == '\n');
    }
    jw_array_close(&j);
    jw_kv_bool(&j, "await", false);
    jw_object_close(&j);
    jw_end(&j);
    return 0;
}

/* ---- what became of it ---- */

static size_t count(struct span result, const char *list)
{
    struct json_iter it = json_iter_init(span_at(result, list));
    struct span one;
    size_t n = 0;
    while (json_iter_next(&it, NULL, &one))
        n++;
    return n;
}

static void say_progress(struct span operation)
{
    char *done AUTOFREE = text_at(operation, "progress.done"), *total AUTOFREE = text_at(operation, "total");
    fprintf(stderr, "\r%s of %s ", done, total);
}

static int wait_end(struct cli *c, const char *id, struct http_answer *ret, struct err *e)
{
    char *path AUTOFREE = mem_printf(WAIT_PATH, id, WAIT_MS);
    bool shown = false, done = false;
    int rc = 0;
    for (int i = 0; rc == 0 && !done && i < WAITS_MAX; i++) {
        http_answer_fini(ret);
        rc = cli_call_json(c, "GET", path, NULL, ret, e);
        struct span operation = {ret->body, ret->body_n};
        done = rc == 0 && span_at(operation, "ended_at").n &&
               json_type(span_at(operation, "ended_at")) != JSON_T_NULL;
        if (rc == 0 && !done && isatty(STDERR_FILENO)) {
            say_progress(operation);
            shown = true;
        }
    }
    if (shown)
        fprintf(stderr, "\r\033[K");
    if (rc == 0 && !done)
        rc = err_set(e, SKEP_ENOTYET, "operation %s has not ended yet; skep operation wait %s goes on", id,
                     id);
    return rc;
}

static void say_errors(struct span result)
{
    struct json_iter it = json_iter_init(span_at(result, "errors"));
    struct span one;
    while (json_iter_next(&it, NULL, &one)) {
        char *name AUTOFREE = text_at(one, "name"), *detail AUTOFREE = text_at(one, "detail");
        fprintf(stderr, "skep: %s: %s\n", name, detail);
    }
}

static void say_stopped(struct span result)
{
    struct json_iter it = json_iter_init(span_at(result, "stopped"));
    struct span one;
    while (json_iter_next(&it, NULL, &one)) {
        char *name AUTOFREE = text_at(one, "name");
        put_line("%s is gone", name);
    }
}

static int report(struct cli *c, struct span result, bool stop, struct err *e)
{
    size_t errors = count(result, "errors"), names = count(result, "names");
    char *rollback AUTOFREE = text_at(result, "rollback"), *code AUTOFREE = text_at(result, "code");
    bool undone = strcmp(rollback, "true") == 0;
    if (c->style.format != FORMAT_TABLE)
        print_document(&c->style, result);
    else if (stop)
        say_stopped(result);
    else if (!names)
        put_line("%zu started, %zu ran already, %zu failed%s", count(result, "started"),
                 count(result, "existing"), errors, undone ? "; the others were stopped again" : "");
    if (c->style.format == FORMAT_TABLE)
        say_errors(result);
    if (strcmp(code, "no_node_available") == 0)
        return err_set(e, SKEP_ENONODE,
                       "no node may take %zu of these names, so none was started; --mode each starts the "
                       "others",
                       names);
    if (names || strcmp(code, "already_started") == 0)
        return err_set(e, SKEP_ESTARTED,
                       "%zu of these names run already, so none was started; --mode missing starts "
                       "the others",
                       names);
    return errors || undone ? err_set(e, stop ? SKEP_ENOTFOUND : SKEP_ESTARTFAILED, "%zu of them %s", errors,
                                      stop ? "could not be stopped" : "did not start")
                            : 0;
}

int batch_wait(struct cli *c, const char *id, struct err *e)
{
    struct http_answer a = {0};
    int rc = wait_end(c, id, &a, e);
    if (rc == 0) {
        struct span operation = {a.body, a.body_n};
        char *kind AUTOFREE = text_at(operation, "kind");
        rc = report(c, span_at(operation, "result"), strcmp(kind, "stop") == 0, e);
    }
    http_answer_fini(&a);
    return rc;
}

/* The operation, and nothing else, where nobody waits for it. */
static int run_batch(struct cli *c, const char *end, const struct str *body, struct err *e)
{
    char *path AUTOFREE = path_printf("/v1/swarms/%s/", cli_swarm(c)),
               *whole AUTOFREE = mem_printf("%s%s", path, end);
    struct http_answer a = {0};
    int rc = cli_call_json(c, "POST", whole, str_get(body), &a, e);
    if (rc == 0) {
        struct span answer = {a.body, a.body_n};
        char *id AUTOFREE = text_at(answer, "operation");
        if (args_flag(&c->args, "no-wait"))
            cli_print_told(c, answer, "{operation}");
        else
            rc = batch_wait(c, id, e);
    }
    http_answer_fini(&a);
    return rc;
}

int batch_start(struct cli *c, const char *file, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    int rc = start_body(c, file, &body, e);
    return rc < 0 ? rc : run_batch(c, "children", &body, e);
}

int batch_stop(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    int rc = stop_body(c, &body, e);
    return rc < 0 ? rc : run_batch(c, "stop", &body, e);
}
