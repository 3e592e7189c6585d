/* A configuration as a node takes it: options, and the environment of children. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "node/declare.h"
#include "real/setup.h"

static char *const environment[] = {(char *)"PATH=/bin",
                                    (char *)"HOME=/h/me",
                                    (char *)"EDITOR=ed",
                                    (char *)"SKEP_TOKEN=secret",
                                    (char *)"NOTIFY_SOCKET=/run/x",
                                    (char *)"EMPTY=",
                                    NULL};

static int make(const struct config_flag *flags, size_t n, char *const *envp, struct setup **ret,
                struct err *e)
{
    struct config c;
    AUTOFREE char *empty = mem_dup("/tmp/skep-setup-XXXXXX");
    close(mkstemp(empty));
    int rc = config_load(&c, empty, NULL, flags, n, e);
    unlink(empty);
    assert_int_equal(rc, 0);
    return setup_new(&c, envp, ret, e);
}

static const char *get(const struct setup *s, const char *name)
{
    size_t n = strlen(name);
    for (char **p = s->env; *p; p++)
        if (strncmp(*p, name, n) == 0 && (*p)[n] == '=')
            return *p + n + 1;
    return NULL;
}

static void options_are_the_settings(void **state UNUSED)
{
    const struct config_flag flags[] = {{"down-ms", "7000"},
                                        {"suspect-ms", "2500"},
                                        {"allow-exec", "/bin/*"},
                                        {"max-children", "7"},
                                        {"log-level", "warn"}};
    struct err e = {0};
    struct setup *s;
    assert_int_equal(make(flags, 5, environment, &s, &e), 0);
    assert_int_equal(s->options.down_ms, 7000);
    assert_int_equal(s->options.suspect_ms, 2500);
    assert_int_equal(s->options.children_max, 7);
    assert_string_equal(s->options.allow_exec[0], "/bin/*");
    assert_null(s->options.allow_exec[1]);
    assert_int_equal(setup_log_level(s), LOG_WARN);
    setup_name(s, "https://here:1", "00", 5, 6);
    assert_string_equal(s->options.url, "https://here:1");
    assert_int_equal(s->options.keeper_pid, 6);
    struct setup *again = setup_ref(s);
    setup_unref(s);
    assert_string_equal(again->options.boot, "00");
    setup_unref(again);
    setup_unref(NULL);
}

static void children_get_little(void **state UNUSED)
{
    struct err e = {0};
    struct setup *s;
    assert_int_equal(make(NULL, 0, environment, &s, &e), 0);
    assert_string_equal(get(s, "PATH"), "/bin");
    assert_string_equal(get(s, "HOME"), "/h/me");
    assert_null(get(s, "EDITOR"));
    setup_unref(s);
    assert_int_equal(make(NULL, 0, NULL, &s, &e), 0);
    assert_non_null(strstr(get(s, "PATH"), "/usr/bin"));
    setup_unref(s);
}

static void pass_env_names_or_all(void **state UNUSED)
{
    const struct config_flag named[] = {{"pass-env", "EDITOR,EMPTY,NONE"}}, all[] = {{"pass-env", "*"}},
                             told[] = {{"pass-env", "SKEP_TOKEN"}};
    struct err e = {0};
    struct setup *s;
    assert_int_equal(make(named, 1, environment, &s, &e), 0);
    assert_string_equal(get(s, "EDITOR"), "ed");
    assert_string_equal(get(s, "EMPTY"), "");
    assert_null(get(s, "NONE"));
    setup_unref(s);
    assert_int_equal(make(all, 1, environment, &s, &e), 0);
    assert_string_equal(get(s, "EDITOR"), "ed");
    assert_null(get(s, "SKEP_TOKEN"));
    assert_null(get(s, "NOTIFY_SOCKET"));
    setup_unref(s);
    assert_int_equal(make(told, 1, environment, &s, &e), 0);
    assert_string_equal(get(s, "SKEP_TOKEN"), "secret");
    setup_unref(s);
}

static void the_file_wins(void **state UNUSED)
{
    char path[] = "/tmp/skep-setup-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "HOME=/srv\nEDITOR=vi\n", 20), 20);
    close(fd);
    const struct config_flag flags[] = {{"env-file", path}, {"pass-env", "*"}};
    struct err e = {0};
    struct setup *s;
    assert_int_equal(make(flags, 2, environment, &s, &e), 0);
    assert_string_equal(get(s, "HOME"), "/srv");
    assert_string_equal(get(s, "EDITOR"), "vi");
    setup_unref(s);
    chmod(path, 0644);
    assert_int_equal(make(flags, 2, environment, &s, &e), SKEP_ECONFIG);
    unlink(path);
    assert_int_equal(make(flags, 2, environment, &s, &e), SKEP_ECONFIG);
}

static void another_user_needs_root_and_has_a_home(void **state UNUSED)
{
    const struct config_flag nobody[] = {{"exec-user", "nobody"}}, none[] = {{"exec-user", "no-such-user"}};
    struct err e = {0};
    struct setup *s;
    assert_int_equal(make(none, 1, environment, &s, &e), SKEP_ECONFIG);
    assert_non_null(strstr(e.text, "no-such-user"));
    int rc = make(nobody, 1, environment, &s, &e);
    if (geteuid() != 0) {
        assert_int_equal(rc, SKEP_ECONFIG);
        return;
    }
    assert_int_equal(rc, 0);
    assert_string_not_equal(get(s, "HOME"), "/h/me");
    setup_unref(s);
}

static void listens(const char *text, const char *host, uint16_t port)
{
    const struct config_flag flags[] = {{"listen", text}};
    struct err e = {0};
    struct setup *s;
    AUTOFREE char *got = NULL;
    assert_int_equal(make(flags, 1, environment, &s, &e), 0);
    assert_int_equal(setup_listen(s, &got), port);
    assert_string_equal(got, host);
    setup_unref(s);
}

static void where_to_listen(void **state UNUSED)
{
    listens("127.0.0.1:7537", "127.0.0.1", 7537);
    listens("[::1]:1", "::1", 1);
    listens("*:0", "0.0.0.0", 0);
    listens("localhost:65535", "localhost", 65535);
}

static int make_of(const char *text, struct setup **ret, struct err *e)
{
    struct config c;
    AUTOFREE char *path = mem_dup("/tmp/skep-setup-XXXXXX");
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    int rc = config_load(&c, path, NULL, NULL, 0, e);
    unlink(path);
    return rc < 0 ? rc : setup_new(&c, environment, ret, e);
}

static void what_a_node_serves_and_declares(void **state UNUSED)
{
    struct err e = {0};
    struct setup *s;
    assert_int_equal(
        make_of("labels = {'zone=a', 'zone=b', 'disk=s\"d'}\nweight = 50\nswarm 'empty' { }\n"
                "swarm 'jobs' { restart = permanent children = {'{ \"name\": \"web\", \"argv\":[\"w\"] }', "
                "'{\"argv\":[],\"name\":\"x\",\"env\":{\"name\":\"y\"}}'} }\n"
                "swarm 'listed' { nodes = {'a'} }\nswarm 'all' { serve = all }\n"
                "swarm 'both' { nodes = {'a'} serve = joined }\nswarm 'default' { restart = permanent }\n",
                &s, &e),
        0);
    assert_string_equal(s->options.labels, "{\"zone\":\"b\",\"disk\":\"s\\\"d\"}");
    assert_int_equal(s->options.weight, 50);
    assert_int_equal(s->serves.n, 3);
    assert_string_equal(s->options.serves[0], "empty");
    assert_string_equal(s->options.serves[1], "jobs");
    assert_string_equal(s->options.serves[2], "both");
    assert_string_equal(s->options.declared[0].swarm, "jobs");
    assert_string_equal(s->options.declared[0].name, "web");
    assert_string_equal(s->options.declared[0].body, "{\"argv\":[\"w\"]}");
    assert_string_equal(s->options.declared[1].body, "{\"argv\":[],\"env\":{\"name\":\"y\"}}");
    assert_null(s->options.declared[2].swarm);
    setup_unref(s);
}

static void a_declared_child_is_an_object_with_a_name(void **state UNUSED)
{
    static const char *const bad[] = {
        "x", "[]", "{}", "{\"name\":5}", "{\"name\":\"..\"}", "{\"name\":\"x\""};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err e = {0};
        struct setup *s;
        AUTOFREE char *text = mem_printf("swarm 'jobs' { children = {'%s'} }\n", bad[i]);
        assert_int_equal(make_of(text, &s, &e), SKEP_ECONFIG);
        assert_string_equal(e.field, "swarm.jobs.children");
        assert_non_null(strstr(e.text, "\"argv\""));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_the_settings),
        cmocka_unit_test(children_get_little),
        cmocka_unit_test(pass_env_names_or_all),
        cmocka_unit_test(the_file_wins),
        cmocka_unit_test(another_user_needs_root_and_has_a_home),
        cmocka_unit_test(where_to_listen),
        cmocka_unit_test(what_a_node_serves_and_declares),
        cmocka_unit_test(a_declared_child_is_an_object_with_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
