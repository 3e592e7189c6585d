/* cli: decides whom to ask, follows a list to its end, and turns options into bodies and queries. Refuses to
 * know what an answer means: that is the verb's. */
#include "skep/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skep/devstate.h"

#define PAGE_ITEMS      1000
#define DATA_BYTES_MAX  (16u << 20)
#define TOKEN_BYTES_MAX 8192

static enum format format_of(const char *word)
{
    if (strcmp(word, "json") == 0)
        return FORMAT_JSON;
    if (strcmp(word, "jsonl") == 0)
        return FORMAT_JSONL;
    return strcmp(word, "csv") == 0 ? FORMAT_CSV : FORMAT_TABLE;
}

/* Flags that are settings of the section "client": what the configuration calls them. */
static const struct {
    const char *flag, *setting;
} client_flags[] = {
    {"addr", "client.addr"},     {"token", "client.token"},      {"token-file", "client.token_file"},
    {"cacert", "client.cacert"}, {"client-cert", "client.cert"}, {"client-key", "client.key"},
    {"format", "client.format"},
};

void cli_plain_flags(char *text)
{
    for (size_t i = 0; i < COUNT(client_flags); i++) {
        char *long_flag AUTOFREE = mem_printf("flag --%s", client_flags[i].setting);
        char *short_flag AUTOFREE = mem_printf("flag --%s", client_flags[i].flag);
        char *at = strstr(text, long_flag);
        size_t n = strlen(long_flag), m = strlen(short_flag);
        if (!at || m > n)
            continue;
        memcpy(at, short_flag, m);
        memmove(at + m, at + n, strlen(at + n) + 1);
        return;
    }
}

static int load_config(struct cli *c, struct err *e)
{
    struct config_flag flags[COUNT(client_flags)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(client_flags); i++) {
        const char *value = args_text(&c->args, client_flags[i].flag);
        if (value)
            flags[n++] = (struct config_flag){client_flags[i].setting, value};
    }
    struct err why = {0};
    int rc = config_load(&c->config, args_text(&c->args, "config"), environ, flags, n, &why);
    cli_plain_flags(why.text);
    return rc ? err_field(e, rc, why.field, "%s", why.text) : 0;
}

enum config_layer cli_layer(const struct cli *c, const char *setting)
{
    return c->config.origin[setting_find(setting)].layer;
}

int cli_init(struct cli *ret_c, int argc, char **argv, struct err *e)
{
    struct cli *c = ret_c;
    *c = (struct cli){.config = CONFIG_INIT};
    int rc = args_parse(argc, argv, &c->args, e);
    if (rc || c->args.help || !c->args.verb)
        return rc;
    rc = load_config(c, e);
    if (rc == 0)
        c->style = (struct print_style){.format = format_of(c->config.client.format),
                                        .header = !args_flag(&c->args, "no-header"),
                                        .quiet = args_flag(&c->args, "quiet")};
    return rc;
}

void cli_fini(struct cli *c)
{
    http_free(c->http);
    config_fini(&c->config);
    args_fini(&c->args);
}

int cli_read(const char *path, size_t bytes_max, struct str *ret_text, struct err *e)
{
    bool input = strcmp(path, "-") == 0;
    int fd = input ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, SKEP_EUSAGE, "cannot read %s: %s", input ? "standard input" : path,
                       strerror(errno));
    struct str text AUTOSTR = STR_INIT;
    char chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)) {
        str_add(&text, chunk, n > 0 ? (size_t)n : 0);
        if (text.n > bytes_max)
            break;
    }
    int failed = n < 0 ? errno : 0;
    close(fd);
    if (failed)
        return err_set(e, SKEP_EUSAGE, "cannot read %s: %s", input ? "standard input" : path,
                       strerror(failed));
    if (text.n > bytes_max)
        return err_set(e, SKEP_ETOOLARGE, "%s holds more than %zu bytes", input ? "standard input" : path,
                       bytes_max);
    str_fini(ret_text);
    *ret_text = text;
    text = STR_INIT;
    return 0;
}

/* Nobody was named: this machine's skepd, or a node of the last `skep dev`. Yours. */
static int default_addr(const struct cli *c, char **ret_addr, struct err *e)
{
    const char *own = c->config.socket;
    struct stat st;
    struct str state AUTOSTR = STR_INIT;
    char *socket AUTOFREE = NULL;
    bool here = stat(own, &st) == 0 && S_ISSOCK(st.st_mode), dev = !here && devstate_read(&state);
    if (dev)
        socket = devstate_socket(&state);
    if (dev && !socket)
        return err_set(
            e, SKEP_EUNREACHABLE,
            "no node of the last \"skep dev\" is running; start it again, or name a node with --addr");
    if (!here && !dev)
        return err_set(
            e, SKEP_EUNREACHABLE,
            "no skepd runs here (there is no %s); name a node with --addr or SKEP_ADDR, or start a "
            "cluster with \"skep dev -n 3\"",
            own);
    *ret_addr = mem_printf("unix://%s", here ? own : socket);
    return 0;
}

int cli_token(const struct cli *c, char **ret_token, struct err *e)
{
    char *token AUTOFREE = NULL;
    struct str text AUTOSTR = STR_INIT;
    int rc = config_client_token(&c->config, &token, e);
    if (rc == 0 && token && strcmp(token, "-") == 0) {
        rc = cli_read("-", TOKEN_BYTES_MAX, &text, e);
        while (text.n && strchr(" \t\r\n", text.p[text.n - 1]))
            text.p[--text.n] = 0;
        mem_replace(&token, str_get(&text));
    }
    if (rc == 0)
        *ret_token = TAKE(token);
    return rc;
}

/* The default CA is that of a node on this machine; where there is none, the system's CAs count. */
static char *cacert_of(const struct cli *c)
{
    const char *path = c->config.client.cacert;
    return cli_layer(c, "client.cacert") == CONFIG_DEFAULT && access(path, R_OK) ? NULL : mem_dup(path);
}

static int connect_to(struct cli *c, struct err *e)
{
    const struct config_client *client = &c->config.client;
    bool named = cli_layer(c, "client.addr") != CONFIG_DEFAULT;
    struct http_target t = {.cacert = cacert_of(c),
                            .client_cert = mem_dup(client->cert),
                            .client_key = mem_dup(client->key),
                            .addr = named ? mem_dup(client->addr) : NULL};
    int rc = named ? 0 : default_addr(c, &t.addr, e);
    if (rc == 0)
        rc = cli_token(c, &t.token, e);
    if (rc) {
        http_target_fini(&t);
        return rc;
    }
    rc = http_new(&t, &c->http, e);
    int64_t timeout_ms;
    if (rc == 0 && args_i64(&c->args, "timeout-ms", &timeout_ms))
        http_set_timeout(c->http, timeout_ms);
    const char *key = args_text(&c->args, "idempotency-key");
    char *header AUTOFREE = mem_printf("Idempotency-Key: %s", key ? key : "");
    if (rc == 0 && key)
        http_set_header(c->http, header);
    return rc;
}

int cli_http(struct cli *c, struct http **ret_h, struct err *e)
{
    int rc = c->http ? 0 : connect_to(c, e);
    if (rc == 0)
        *ret_h = c->http;
    return rc;
}

int cli_call_json(struct cli *c, const char *method, const char *path, const char *body,
                  struct http_answer *ret_a, struct err *e)
{
    struct http_answer a = {0};
    struct http *h;
    int rc = cli_http(c, &h, e);
    if (rc == 0)
        rc = http_call(h, method, path, body, &a, e);
    if (rc == 0 && json_check(a.body, a.body_n, e)) {
        err_wrap(e, "the answer to %s %s is not JSON", method, path);
        rc = SKEP_EINTERNAL;
        if (e)
            e->code = rc;
    }
    if (rc)
        http_answer_fini(&a);
    else
        *ret_a = a;
    return rc;
}

/* One page; *ret_n is the number of its items, ret_next the cursor ("" at the end). */
static void print_page(const struct cli *c, struct print *p, const struct http_answer *a, const char *member,
                       int64_t *ret_n, struct str *ret_next)
{
    struct span list = json_raw_member(a->body, a->body_n, member), item;
    struct json_iter it = json_iter_init(list);
    *ret_n = 0;
    while (list.p && json_iter_next(&it, NULL, &item)) {
        ++*ret_n;
        if (p)
            print_item(p, item);
    }
    if (!p)
        print_document(&c->style, (struct span){a->body, a->body_n});
    str_clear(ret_next);
    struct span next = json_raw_member(a->body, a->body_n, "next");
    if (next.p)
        json_unquote(next, ret_next);
}

int cli_list(struct cli *c, const char *path, const char *member, const struct column *columns, struct err *e)
{
    int64_t left = INT64_MAX, n;
    args_i64(&c->args, "limit", &left);
    bool documents = c->style.format == FORMAT_JSON && !c->style.quiet;
    struct print *p = documents ? NULL : print_new(&c->style, columns);
    struct str next AUTOSTR = STR_INIT;
    int rc;
    do {
        struct str page AUTOSTR = STR_INIT;
        char *after AUTOFREE = path_printf("&after=%s", str_get(&next));
        str_printf(&page, "%s%climit=%lld%s", path, strchr(path, '?') ? '&' : '?',
                   (long long)(left < PAGE_ITEMS ? left : PAGE_ITEMS), next.n ? after : "");
        struct http_answer a = {0};
        rc = cli_call_json(c, "GET", str_get(&page), NULL, &a, e);
        if (rc)
            break;
        print_page(c, p, &a, member, &n, &next);
        http_answer_fini(&a);
        left -= n;
    } while (next.n && left > 0); /* a page may be empty: nothing among those it looked at */
    print_end(p);
    return rc;
}

int cli_show(struct cli *c, const char *method, const char *path, const char *body, struct err *e)
{
    struct http_answer a = {0};
    int rc = cli_call_json(c, method, path, body, &a, e);
    if (rc == 0)
        print_document(&c->style, (struct span){a.body, a.body_n});
    http_answer_fini(&a);
    return rc;
}

void cli_print_told(const struct cli *c, struct span document, const char *sentence)
{
    if (c->style.format != FORMAT_TABLE) {
        print_document(&c->style, document);
        return;
    }
    struct str line AUTOSTR = STR_INIT;
    for (const char *p = sentence; *p; p++) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (!end) {
            str_putc(&line, *p);
            continue;
        }
        char *path AUTOFREE = mem_printf("%.*s", (int)(end - p - 1), p + 1);
        char *value AUTOFREE = text_at(document, path);
        str_puts(&line, *value ? value : "-");
        p = end;
    }
    put_line("%s", str_get(&line));
}

int cli_tell(struct cli *c, const char *method, const char *path, const char *body, const char *sentence,
             struct err *e)
{
    struct http_answer a = {0};
    int rc = cli_call_json(c, method, path, body, &a, e);
    if (rc == 0)
        cli_print_told(c, (struct span){a.body, a.body_n}, sentence);
    http_answer_fini(&a);
    return rc;
}

const char *cli_swarm(const struct cli *c)
{
    const char *swarm = args_text(&c->args, "swarm");
    return swarm ? swarm : "default";
}

char *cli_child_path(const struct cli *c, const char *name, const char *rest)
{
    char *path AUTOFREE = path_printf("/v1/swarms/%s/children/%s", cli_swarm(c), name);
    return mem_printf("%s%s", path, rest);
}

int cli_data(const struct cli *c, const char *word, char **ret_json, struct err *e)
{
    struct str input AUTOSTR = STR_INIT, json = STR_INIT;
    if (strcmp(word, "-") == 0) {
        int rc = cli_read("-", DATA_BYTES_MAX, &input, e);
        if (rc)
            return rc;
    } else {
        str_puts(&input, word);
    }
    if (!args_flag(&c->args, "text") && json_check(str_get(&input), input.n, NULL) == 0) {
        *ret_json = str_take(&input);
        return 0;
    }
    if (!text_is_utf8(str_get(&input), input.n))
        return err_set(e, SKEP_EUSAGE, "the data is not UTF-8; encode bytes, as base64 for example");
    struct jw j = jw_init(&json);
    jw_string_n(&j, str_get(&input), input.n);
    jw_end(&j);
    *ret_json = str_take(&json);
    return 0;
}

int cli_json_option(const struct cli *c, const char *name, enum json_type type, char **ret_json,
                    struct err *e)
{
    const char *text = args_text(&c->args, name);
    struct str json AUTOSTR = STR_INIT;
    if (!text)
        return 0;
    int rc = 0;
    if (strcmp(text, "-") == 0)
        rc = cli_read("-", DATA_BYTES_MAX, &json, e);
    else
        str_puts(&json, text);
    if (rc)
        return rc;
    struct err why = {0};
    if (json_check(str_get(&json), json.n, &why))
        return err_set(e, SKEP_EUSAGE, "--%s is not JSON: %s", name, why.text);
    if (json_type((struct span){json.p, json.n}) != type)
        return err_set(e, SKEP_EUSAGE, "--%s must be %s", name,
                       type == JSON_T_OBJECT ? "an object" : "another type");
    *ret_json = str_take(&json);
    return 0;
}

/* "max-restarts" → "max_restarts", into a buffer of the caller. */
static const char *member_name(const char *option, char name[64])
{
    snprintf(name, 64, "%s", option);
    for (char *p = name; *p; p++)
        if (*p == '-')
            *p = '_';
    return name;
}

void cli_put_text(const struct cli *c, struct jw *j, const char *option)
{
    char name[64];
    const char *value = args_text(&c->args, option);
    if (value)
        jw_kv_string(j, member_name(option, name), value);
}

void cli_put_i64(const struct cli *c, struct jw *j, const char *option)
{
    char name[64];
    int64_t value;
    if (args_i64(&c->args, option, &value))
        jw_kv_i64(j, member_name(option, name), value);
}

int cli_put_env(const struct cli *c, struct jw *j, struct err *e)
{
    const char *pair;
    if (!args_flag(&c->args, "env"))
        return 0;
    jw_kv_object(j, "env");
    for (size_t i = 0; (pair = args_nth(&c->args, "env", i)); i++) {
        const char *equals = strchr(pair, '=');
        if (!equals || equals == pair)
            return err_set(e, SKEP_EUSAGE, "--env takes NAME=value, not \"%.100s\"", pair);
        char *name AUTOFREE = mem_printf("%.*s", (int)(equals - pair), pair);
        jw_kv_string(j, name, equals + 1);
    }
    jw_object_close(j);
    return 0;
}

void cli_put_words(struct jw *j, const char *key, char *const *word)
{
    jw_kv_array(j, key);
    for (; *word; word++)
        jw_string(j, *word);
    jw_array_close(j);
}

void cli_query(const struct cli *c, struct str *path, const char *option)
{
    char name[64];
    const char *value = args_text(&c->args, option);
    if (!value)
        return;
    char *escaped AUTOFREE = path_printf("%s", value);
    str_printf(path, "%c%s=%s", strchr(str_get(path), '?') ? '&' : '?', member_name(option, name), escaped);
}
