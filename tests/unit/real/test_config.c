/* Settings: which layer wins, what is refused and with which words, what a reload does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "real/conf_file.h"
#include "real/config.h"
#include "real/file.h"

static char dir[] = "/tmp/skep-config-XXXXXX";
static char conf[64];

static void conf_write(const char *text)
{
    struct err e;
    assert_int_equal(file_replace(conf, 0640, text, strlen(text), &e), 0);
}

#define assert_says(e, word)                                                                                 \
    do {                                                                                                     \
        if (!strstr((e).text, (word)))                                                                       \
            fail_msg("\"%s\" does not say \"%s\"", (e).text, (word));                                        \
    } while (0)

/* Loads the text as a file, without environment and flags. */
static int load(const char *text, struct config *ret, struct err *e)
{
    conf_write(text);
    return config_load(ret, conf, NULL, NULL, 0, e);
}

static void load_fine(const char *text, struct config *ret)
{
    struct err e = {0};
    if (load(text, ret, &e) != 0)
        fail_msg("%s", e.text);
}

static const struct config_origin *origin_of(const struct config *c, const char *name)
{
    return &c->origin[setting_find(name)];
}

/* --- layers ------------------------------------------------------------------------------------------- */

static void defaults_are_what_the_table_says(void **state)
{
    (void)state;
    struct config c;
    load_fine("", &c);
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        AUTOSTR struct str value = STR_INIT;
        setting_text(s, &c, &value);
        assert_int_equal(c.origin[i].layer, CONFIG_DEFAULT);
        if (!s->initial)
            assert_string_equal(str_get(&value), "");
        else if (s->initial[0] != '<')
            assert_string_equal(str_get(&value), s->initial);
    }
    assert_string_equal(c.socket, "/var/lib/skep/skep.sock");
    assert_string_equal(c.cert, "/var/lib/skep/node.crt");
    assert_string_equal(c.log_dir, "/var/lib/skep/logs");
    assert_null(c.ca_key);
    assert_null(c.env_file);
    assert_string_equal(c.client.addr, "unix:///var/lib/skep/skep.sock");
    assert_true(text_starts(c.advertise, "https://"));
    assert_non_null(strstr(c.advertise, ":7537"));
    assert_int_equal(c.allow_exec.n, 0); /* production starts nothing */
    config_fini(&c);
}

static void table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        assert_int_equal(setting_find(s->name), (int)i);
        assert_true(s->what && s->what[strlen(s->what) - 1] == '.');
        assert_true(text_starts(s->env, "SKEP_"));
        assert_true(s->type != SETTING_INT || s->min < s->max);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(s->env, setting_at(k)->env);
            assert_int_not_equal(s->offset, setting_at(k)->offset);
        }
    }
    /* what a worker finds in its environment must not configure a skepd that it starts */
    static const char *const workers[] = {"SKEP_FD",    "SKEP_SWARM", "SKEP_NAME",  "SKEP_NODE",
                                          "SKEP_EPOCH", "SKEP_RUN",   "SKEP_SOCKET"};
    for (size_t i = 0; i < setting_count(); i++)
        for (size_t k = 0; k < COUNT(workers); k++)
            assert_string_not_equal(setting_at(i)->env, workers[k]);
}

static void later_layers_win(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    conf_write(
        "\nsuspect_ms = 6000\ndown_ms = 40000\nping_ms = 900\npeers = {\"https://a:1\", \"https://b:2\"}\n");
    char *env[] = {"PATH=/bin", "SKEP_DOWN_MS=50000", "SKEP_PING_MS=800",
                   "SKEP_PEERS=https://c:3, https://d:4", NULL};
    struct config_flag flags[] = {{"ping-ms", "700"}, {"allow-exec", "/bin/*"}, {"allow_exec", "/usr/bin/*"}};
    assert_int_equal(config_load(&c, conf, env, flags, COUNT(flags), &e), 0);
    assert_int_equal(c.suspect_ms, 6000);
    assert_int_equal(origin_of(&c, "suspect_ms")->layer, CONFIG_IN_FILE);
    assert_int_equal(origin_of(&c, "suspect_ms")->line, 2);
    assert_int_equal(c.down_ms, 50000);
    assert_int_equal(origin_of(&c, "down_ms")->layer, CONFIG_IN_ENV);
    assert_int_equal(c.ping_ms, 700);
    assert_int_equal(origin_of(&c, "ping_ms")->layer, CONFIG_IN_FLAG);
    assert_int_equal(c.peers.n, 2);
    assert_string_equal(c.peers.v[1], "https://d:4");
    assert_null(c.peers.v[2]);
    assert_int_equal(c.allow_exec.n, 2);
    assert_string_equal(c.allow_exec.v[0], "/bin/*");
    assert_string_equal(c.allow_exec.v[1], "/usr/bin/*");
    config_fini(&c);
}

static void every_type_reads_from_the_file(void **state)
{
    (void)state;
    struct config c;
    load_fine("# a comment\n"
              "node = \"alpha\"\n"
              "listen = \"[::]:0\"\n"
              "advertise = https://alpha.example.org:7537 # unquoted\n"
              "metrics_token_required = yes\n"
              "pass_env = {\"*\"}\n"
              "allow_exec = {\"/opt/app/*\",\n  '/usr/bin/python3'}\n"
              "log_level = warn\n"
              "max_children = 0\n"
              "ca_hosts = {}\n"
              "client { format = json token = \"abc\" }\n",
              &c);
    assert_string_equal(c.node, "alpha");
    assert_string_equal(c.listen, "[::]:0");
    assert_string_equal(c.advertise, "https://alpha.example.org:7537");
    assert_true(c.metrics_token_required);
    assert_int_equal(c.pass_env.n, 1);
    assert_int_equal(c.allow_exec.n, 2);
    assert_string_equal(c.allow_exec.v[1], "/usr/bin/python3");
    assert_string_equal(c.log_level, "warn");
    assert_int_equal(c.max_children, 0);
    assert_int_equal(c.ca_hosts.n, 0); /* an empty list replaces the default */
    assert_int_equal(origin_of(&c, "ca_hosts")->layer, CONFIG_IN_FILE);
    assert_string_equal(c.client.format, "json");
    assert_int_equal(origin_of(&c, "client.format")->line, 12);
    config_fini(&c);
}

static void paths_become_absolute(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    conf_write("env_file = secrets.env\ndir = /srv/skep\n");
    char *env[] = {"SKEP_WORK_DIR=./work", NULL};
    char here[512], want[600];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(config_load(&c, conf, env, NULL, 0, &e), 0);
    snprintf(want, sizeof want, "%s/secrets.env", dir);
    assert_string_equal(c.env_file, want); /* beside the file that says so */
    snprintf(want, sizeof want, "%s/work", strcmp(here, "/") == 0 ? "" : here);
    assert_string_equal(c.work_dir, want); /* from the current folder */
    assert_string_equal(c.key, "/srv/skep/node.key");
    config_fini(&c);
}

static void text_is_read_as_written(void **state)
{
    (void)state;
    struct config c;
    load_fine("env_file = \"${SKEP_NO_SUCH_VARIABLE:-/etc/x}\"\nwork_dir = ${SKEP_NO_SUCH_VARIABLE:-/y}\n"
              "dir = \"/a$\"\nlog_dir = '/b#{*}\\'c'\nsocket = \"/d \\\"#{+}\"\n",
              &c);
    assert_string_equal(c.env_file, "/etc/x");
    assert_string_equal(c.work_dir, "/y");
    assert_string_equal(c.dir, "/a$");
    assert_string_equal(c.log_dir, "/b#{*}'c");
    assert_string_equal(c.socket, "/d \"#{+}");
    config_fini(&c);
}

static void ca_key_counts_only_where_it_is(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    AUTOFREE char *text = mem_printf("dir = \"%s\"\n", dir);
    AUTOFREE char *key = mem_printf("%s/ca.key", dir);
    load_fine(text, &c);
    assert_null(c.ca_key);
    config_fini(&c);
    assert_int_equal(file_replace(key, 0600, "x", 1, &e), 0);
    load_fine(text, &c);
    assert_string_equal(c.ca_key, key);
    config_fini(&c);
    unlink(key);
    load_fine("ca_key = /somewhere/else.key\n", &c); /* named: then it must be there, says whoever opens it */
    assert_string_equal(c.ca_key, "/somewhere/else.key");
    config_fini(&c);
}

static void advertise_follows_listen(void **state)
{
    (void)state;
    struct config c;
    load_fine("listen = \"10.0.0.7:7000\"\n", &c);
    assert_string_equal(c.advertise, "https://10.0.0.7:7000");
    config_fini(&c);
    load_fine("listen = \"[fd00::1]:7000\"\n", &c);
    assert_string_equal(c.advertise, "https://[fd00::1]:7000");
    config_fini(&c);
}

static void named_file_must_be_there(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    char *env[] = {"SKEP_CONFIG=/nonexistent/skep.conf", NULL};
    assert_int_equal(config_load(&c, "/nonexistent/x.conf", NULL, NULL, 0, &e), SKEP_ECONFIG);
    assert_says(e, "/nonexistent/x.conf");
    assert_int_equal(config_load(&c, NULL, env, NULL, 0, &e), SKEP_ECONFIG);
    assert_says(e, "/nonexistent/skep.conf");
    assert_int_equal(config_load(&c, dir, NULL, NULL, 0, &e), SKEP_ECONFIG); /* a folder */
    assert_says(e, "not a regular file");
    assert_int_equal(config_load(&c, conf, NULL, NULL, 0, NULL), 0); /* the error is optional */
    config_fini(&c);
}

/* --- refusals ----------------------------------------------------------------------------------------- */

static void refusals_say_where_what_and_the_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field, *place, *says;
    } cases[] = {
        {"\nsuspect_ms = 50\n", "suspect_ms", ":2: ", "a whole number of ms from 200 to 600000"},
        {"suspect_ms = 5s\n", "suspect_ms", ":1: ", "\"5s\""},
        {"suspect_ms = 99999999999999999999\n", "suspect_ms", ":1: ", "whole number"},
        {"max_children = -1\n", "max_children", ":1: ", "from 0 to 1000000"},
        {"suspect = 5000\n", "suspect", ":1: ", "do you mean suspect_ms?"},
        {"\n\nalow_exec = {\"/bin/*\"}\n", "alow_exec", ":3: ", "allow_exec?"},
        {"qqqqqqqqqqqq = 1\n", "qqqqqqqqqqqq", ":1: ", "skep config show"},
        {"client { adr = \"https://a:1\" }\n", "adr", ":1: ", "do you mean addr?"},
        {"swarm \"s\" { partitoin = divergence }\n", "partitoin", ":1: ", "partition"},
        {"log_level = loud\n", "log_level", ":1: ", "one of: debug info warn error"},
        {"metrics_token_required = maybe\n", "metrics_token_required", ":1: ", "true or false"},
        {"listen = \"7537\"\n", "listen", ":1: ", "HOST:PORT"},
        {"listen = \"0.0.0.0:65536\"\n", "listen", ":1: ", "HOST:PORT"},
        {"listen = \"::1:7537\"\n", "listen", ":1: ", "brackets"},
        {"advertise = \"http://a:1\"\n", "advertise", ":1: ", "https://HOST:PORT"},
        {"advertise = \"https://a\"\n", "advertise", ":1: ", "https://HOST:PORT"},
        {"advertise = \"https://a:0\"\n", "advertise", ":1: ", "https://HOST:PORT"},
        {"peers = {\"https://a:1\",\n \"https://b:2/x\"}\n", "peers", ":1: ", "https://HOST:PORT"},
        {"allow_exec = {\"bin/sh\"}\n", "allow_exec", ":1: ", "begins with / or *"},
        {"pass_env = {\"A-B\"}\n", "pass_env", ":1: ", "environment variables"},
        {"node = \"a/b\"\n", "node", ":1: ", "letters"},
        {"node = \"\"\n", "node", ":1: ", "letters"},
        {"dir = \"\"\n", "dir", ":1: ", "a path"},
        {"client { addr = \"unix://x\" }\n", "client.addr", ":1: ", "unix:///PATH"},
        {"sync_ms = 400\nping_ms = 1000\nsync_ms = 500\n", "sync_ms", ":3: ", "already set in line 1"},
        {"sync_ms 400\n", "", ":1: ", "equal sign"},
        {"#\n\npeers = {\"https://a:1\"\n", "", ":3: ", "never closed"},
        {"#\n\nclient {\n", "", ":3: ", "never closed"},
        {"# a\n# b\nnode = \"abc\n\n", "", ":3: ", "closing quote"},
        {"pass_env = {*}\n", "", ":1: ", "needs quotes"},
        {"allow_exec = {/usr/bin/*}\n", "", ":1: ", "needs quotes"},
        {"// x\n", "", ":1: ", "begins with #"},
        {"\n/* x */\n", "", ":2: ", "begins with #"},
        {"node = a+b\n", "", ":1: ", "needs quotes"},
        {"# a # b\n   # c\nnode = ok # d\nx = 1\n", "x", ":4: ", "no setting x"},
        {"swarm { }\n", "", ":1: ", "title"},
        {"swarm \"a\" {}\nswarm \"a\" {}\n", "", ":2: ", "duplicate"},
        {"swarm \"\" { restart = x }\n", "", ":1: ", "1 to 255"},
        {"hook \"page\" { kind = exec }\n", "", ":1: ", "EVENT/ID"},
        {"hook \"a/b/c\" { kind = exec }\n", "", ":1: ", "EVENT/ID"},
        {"hook \"/b\" {}\n", "", ":1: ", "EVENT/ID"},
        {"hook \"a/b\" { knid = exec }\n", "knid", ":1: ", "kind"},
        {"hook \"a/b\" {}\nhook \"a/b\" {}\n", "", ":2: ", "duplicate"},
        {"}\n", "", ":1: ", "brace"},
        {"down_ms = 5000\n", "down_ms", ":1: ", "more than suspect_ms"},
        {"ping_ms = 4000\n", "suspect_ms", "default: ", "twice ping_ms"},
        {"body_large_bytes_max = 1024\n", "body_large_bytes_max", ":1: ", "body_bytes_max"},
        {"client { cert = /x }\n", "client.cert", ":1: ", "belong together"},
        {"a = \"\x01\"\n", "", ":1: ", "control character"},
        {"a = \"\xff\"\n", "", "", "UTF-8"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err e = {0};
        struct config c;
        if (load(cases[i].text, &c, &e) != SKEP_ECONFIG)
            fail_msg("accepted: %s", cases[i].text);
        assert_says(e, cases[i].says);
        assert_says(e, cases[i].place);
        assert_string_equal(e.field, cases[i].field);
        assert_null(c.origin); /* nothing is left */
        /* and the scanner is not left inside of something */
        load_fine("node = ok\n", &c);
        config_fini(&c);
    }
}

/* What ends inside a string or a comment must be an error, and must not poison the next reading. */
static void unfinished_files_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "node = \"abc", "node = 'abc", "node = /* abc", "node = \"${HOME",
        "node =",       "node",        "peers = {",     "peers = {\"https://a:1\",",
        "client {",     "swarm \"x\""};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err e = {0};
        struct config c;
        if (load(texts[i], &c, &e) != SKEP_ECONFIG)
            fail_msg("accepted: %s", texts[i]);
        assert_says(e, conf);
        load_fine("node = ok\n", &c);
        assert_string_equal(c.node, "ok");
        config_fini(&c);
    }
}

static void environment_and_flags_are_checked_alike(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    conf_write("");
    char *env[] = {"SKEP_SUSPECT_MS=x", NULL};
    assert_int_equal(config_load(&c, conf, env, NULL, 0, &e), SKEP_ECONFIG);
    assert_says(e, "environment variable SKEP_SUSPECT_MS: suspect_ms");
    assert_says(e, "from 200 to 600000");
    struct config_flag bad = {"suspect-ms", "1"}, unknown = {"lisen", "x"};
    assert_int_equal(config_load(&c, conf, NULL, &bad, 1, &e), SKEP_EUSAGE);
    assert_says(e, "flag --suspect_ms");
    assert_int_equal(config_load(&c, conf, NULL, &unknown, 1, &e), SKEP_EUSAGE);
    assert_says(e, "do you mean listen");
    char *rule[] = {"SKEP_DOWN_MS=5000", NULL};
    assert_int_equal(config_load(&c, conf, rule, NULL, 0, &e), SKEP_ECONFIG);
    assert_says(e, "environment SKEP_DOWN_MS: down_ms");
}

static void secrets_stay_out_of_messages_and_rows(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    conf_write("client { token = \"hush\nhush\" }\n");
    assert_int_equal(config_load(&c, conf, NULL, NULL, 0, &e), SKEP_ECONFIG);
    assert_null(strstr(e.text, "hush"));
    load_fine("client { token = \"hush\" }\n", &c);
    struct config_row *rows;
    size_t n, seen = 0;
    config_rows(&c, &rows, &n);
    for (size_t i = 0; i < n; i++) {
        assert_null(strstr(rows[i].value, "hush"));
        if (strcmp(rows[i].name, "client.token") == 0) {
            assert_string_equal(rows[i].value, "(set)");
            seen++;
        }
    }
    assert_int_equal(seen, 1);
    config_rows_free(rows, n);
    config_fini(&c);
}

/* --- rows --------------------------------------------------------------------------------------------- */

static const struct config_row *row_named(const struct config_row *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void rows_tell_value_and_origin(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    conf_write("sync_ms = 250\nswarm \"jobs\" {\n  nodes = {\"a\", \"b\"}\n  partition = "
               "'{\"kind\":\"static\"}'\n}\n");
    char *env[] = {"SKEP_PEERS=https://a:1,https://b:2", "SKEP_TOKEN=", NULL};
    struct config_flag flag = {"log-level", "debug"};
    assert_int_equal(config_load(&c, conf, env, &flag, 1, &e), 0);
    struct config_row *rows;
    size_t n;
    char want[128];
    config_rows(&c, &rows, &n);
    assert_int_equal(n, setting_count() + 2);
    snprintf(want, sizeof want, "%s:1", conf);
    assert_string_equal(row_named(rows, n, "sync_ms")->origin, want);
    assert_string_equal(row_named(rows, n, "sync_ms")->value, "250");
    assert_string_equal(row_named(rows, n, "sync_ms")->unit, "ms");
    assert_string_equal(row_named(rows, n, "sync_ms")->initial, "500");
    assert_string_equal(row_named(rows, n, "peers")->value, "https://a:1, https://b:2");
    assert_string_equal(row_named(rows, n, "peers")->origin, "environment SKEP_PEERS");
    assert_string_equal(row_named(rows, n, "log_level")->origin, "flag --log_level");
    assert_string_equal(row_named(rows, n, "down_ms")->origin, "default");
    assert_string_equal(row_named(rows, n, "client.token")->value, ""); /* given as empty: none */
    assert_string_equal(row_named(rows, n, "swarm.jobs.nodes")->value, "a, b");
    snprintf(want, sizeof want, "%s:4", conf);
    assert_string_equal(row_named(rows, n, "swarm.jobs.partition")->origin, want);
    assert_string_equal(row_named(rows, n, "swarm.jobs.partition")->value, "{\"kind\":\"static\"}");
    config_rows_free(rows, n);
    config_fini(&c);
}

/* --- reload ------------------------------------------------------------------------------------------- */

static void assert_texts(const struct texts *t, const char *want)
{
    AUTOSTR struct str have = STR_INIT;
    for (size_t i = 0; i < t->n; i++)
        str_printf(&have, "%s%s", i ? " " : "", t->v[i]);
    assert_string_equal(str_get(&have), want);
}

static void reload_applies_what_it_can(void **state)
{
    (void)state;
    struct err e = {0};
    struct config now, next;
    CLEANUP(texts_fini) struct texts applied = TEXTS_INIT;
    CLEANUP(texts_fini) struct texts restart = TEXTS_INIT;
    conf_write(
        "log_level = info\nsuspect_ms = 6000\nswarm \"a\" { restart = x }\nswarm \"b\" { restart = x }\n"
        "hook \"e/one\" { kind = exec }\nhook \"e/two\" { kind = exec }\n");
    char *env[] = {"SKEP_IDLE_MS=5000", NULL};
    assert_int_equal(config_load(&now, conf, env, NULL, 0, &e), 0);
    conf_write("\nlog_level = debug\nsuspect_ms = 7000\nidle_ms = 9000\nallow_exec = {\"/bin/*\"}\ndir = "
               "/elsewhere\n"
               "swarm \"b\" { restart = y }\nswarm \"c\" { restart = x }\n"
               "hook \"e/one\" { kind = exec argv = {\"/bin/true\", \"x\"} }\n");
    assert_int_equal(config_reload(&now, &next, &applied, &restart, &e), 0);
    assert_texts(
        &applied,
        "allow_exec log_level client.addr client.cacert swarm.b swarm.c hook.e/one swarm.a hook.e/two");
    assert_texts(&restart, "dir socket ca cert key suspect_ms log_dir");
    assert_string_equal(next.log_level, "debug");
    assert_int_equal(origin_of(&next, "log_level")->line, 2);
    assert_int_equal(next.suspect_ms, 6000); /* the old one goes on to count */
    assert_int_equal(next.idle_ms, 5000);    /* the environment still wins */
    assert_string_equal(next.dir, "/var/lib/skep");
    assert_string_equal(next.socket, "/var/lib/skep/skep.sock");
    assert_int_equal(next.swarms_n, 2);
    assert_int_equal(next.hooks_n, 1);
    assert_string_equal(next.hooks[0].name, "e/one");
    assert_int_equal(next.hooks[0].settings_n, 2);
    assert_string_equal(now.log_level, "info");
    config_fini(&now);
    config_fini(&next);
}

static void failed_reload_changes_nothing(void **state)
{
    (void)state;
    struct err e = {0};
    struct config now, next = CONFIG_INIT;
    CLEANUP(texts_fini) struct texts applied = TEXTS_INIT;
    CLEANUP(texts_fini) struct texts restart = TEXTS_INIT;
    load_fine("log_level = warn\n", &now);
    conf_write("log_level = debug\nidle_ms = x\n");
    assert_int_equal(config_reload(&now, &next, &applied, &restart, &e), SKEP_ECONFIG);
    assert_says(e, ":2: ");
    assert_int_equal(applied.n + restart.n, 0);
    assert_null(next.origin);
    assert_string_equal(now.log_level, "warn");
    unlink(conf);
    assert_int_equal(config_reload(&now, &next, &applied, &restart, &e), SKEP_ECONFIG);
    config_fini(&now);
}

/* --- the client's token ------------------------------------------------------------------------------- */

static void token_comes_from_the_later_layer(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    AUTOFREE char *path = mem_printf("%s/token", dir);
    AUTOFREE char *variable = mem_printf("SKEP_TOKEN_FILE=%s", path);
    char *from_file[] = {variable, NULL}, *both[] = {variable, "SKEP_TOKEN=direct", NULL};
    conf_write("client { token = \"stored\" }\n");
    assert_int_equal(file_replace(path, 0600, "  x\n", 4, &e), 0);
    AUTOFREE char *one = NULL;
    AUTOFREE char *two = NULL;
    assert_int_equal(config_load(&c, conf, from_file, NULL, 0, &e), 0);
    assert_int_equal(config_client_token(&c, &one, &e), SKEP_ECONFIG); /* a blank in front */
    assert_int_equal(file_replace(path, 0600, "filed\r\n", 7, &e), 0);
    assert_int_equal(config_client_token(&c, &one, &e), 0);
    assert_string_equal(one, "filed");
    unlink(path);
    free(TAKE(one));
    assert_int_equal(config_client_token(&c, &one, &e), SKEP_ECONFIG);
    assert_says(e, path);
    config_fini(&c);
    assert_int_equal(config_load(&c, conf, both, NULL, 0, &e), 0);
    assert_int_equal(config_client_token(&c, &two, &e), 0);
    assert_string_equal(two, "direct");
    config_fini(&c);
    load_fine("", &c);
    AUTOFREE char *none = mem_dup("x");
    free(none);
    assert_int_equal(config_client_token(&c, &none, &e), 0);
    assert_null(none);
    config_fini(&c);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(conf, sizeof conf, "%s/skep.conf", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_what_the_table_says),
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(every_type_reads_from_the_file),
        cmocka_unit_test(paths_become_absolute),
        cmocka_unit_test(text_is_read_as_written),
        cmocka_unit_test(ca_key_counts_only_where_it_is),
        cmocka_unit_test(advertise_follows_listen),
        cmocka_unit_test(named_file_must_be_there),
        cmocka_unit_test(refusals_say_where_what_and_the_remedy),
        cmocka_unit_test(unfinished_files_are_refused),
        cmocka_unit_test(environment_and_flags_are_checked_alike),
        cmocka_unit_test(secrets_stay_out_of_messages_and_rows),
        cmocka_unit_test(rows_tell_value_and_origin),
        cmocka_unit_test(reload_applies_what_it_can),
        cmocka_unit_test(failed_reload_changes_nothing),
        cmocka_unit_test(token_comes_from_the_later_layer),

    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(conf);
    rmdir(dir);
    return failed;
}
