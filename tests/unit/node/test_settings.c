/* Settings of a swarm: what is taken, which field is blamed, what is left when something is not understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/restart.h"
#include "node/settings.h"
#include "node/spec.h"

static int check(const char *text, struct err *e)
{
    struct settings_said said = {0};
    int rc = json_read(text, strlen(text), &settings_table, &said, e);
    if (rc == 0)
        rc = settings_check(&said, e);
    json_release(&settings_table, &said);
    return rc;
}

static void what_is_carried_out_is_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "{\"restart\":\"permanent\",\"handoff\":false,\"serve\":\"joined\"}",
        "{\"distribution\":\"consistent_hash\"}",
        "{\"distribution\":{\"kind\":\"consistent_hashing\"}}",
        "{\"distribution\":{\"kind\":\"consistent_hash\",\"bound_percent\":125,\"spread\":\"zone\"}}",
        "{\"distribution\":\"guided\"}",
        "{\"synchronization\":\"pull\"}",
        "{\"synchronization\":{\"kind\":\"gossip\",\"recipients\":1,\"sync_interval_ms\":50}}",
        "{\"distribution\":{\"kind\":\"random\"}}",
        "{\"conflict\":{\"kind\":\"oldest\"},\"limits\":{\"max_children\":0},\"worker_role\":\"none\"}",
        "{\"nodes\":[\"a\",\"b-*\",\"!b-3\"],\"labels\":{\"zone\":\"eu-*\"}}",
        "{\"restart\":null,\"handoff\":null,\"limits\":null,\"nodes\":null,\"labels\":null,\"serve\":null}",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct err e = {0};
        if (check(good[i], &e) < 0)
            fail_msg("%s: %s %s", good[i], e.field, e.text);
    }
}

static void the_field_is_blamed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field, *word;
    } bad[] = {
        {"{\"restart\":\"always\"}", "restart", "permanent"},
        {"{\"handoff\":\"yes\"}", "handoff", "true or false"},
        {"{\"strict\":1}", "strict", "true or false"},
        {"{\"distribution\":\"dice\"}", "distribution", "\"consistent_hash\""},
        {"{\"distribution\":{\"kind\":\"consistent_hash\",\"bound_percent\":99}}",
         "distribution.bound_percent", "from 100 to 1000"},
        {"{\"distribution\":{\"kind\":\"consistent_hash\",\"spread\":\"\"}}", "distribution.spread", "label"},
        {"{\"distribution\":{\"kind\":\"guided\",\"spread\":\"zone\"}}", "distribution.spread", "has none"},
        {"{\"conflict\":{\"kind\":\"oldest\",\"sort\":1}}", "conflict.sort", "\"oldest\" has none"},
        {"{\"conflict\":{}}", "conflict", "\"newest\", \"oldest\", \"callback\""},
        {"{\"partition\":5}", "partition", "divergence"},
        {"{\"synchronization\":\"flood\"}", "synchronization", "\"pubsub\", \"gossip\""},
        {"{\"synchronization\":{\"kind\":\"pubsub\",\"recipients\":3}}", "synchronization.recipients",
         "sync_interval_ms"},
        {"{\"synchronization\":{\"kind\":\"gossip\",\"recipients\":17}}", "synchronization.recipients",
         "from 1 to 16"},
        {"{\"limits\":{\"children\":5}}", "limits.children", "max_children"},
        {"{\"limits\":{\"max_children\":-1}}", "limits.max_children", "from 0 to"},
        {"{\"limits\":{\"max_children\":\"5\"}}", "limits.max_children", "whole number"},
        {"{\"worker_role\":\"root\"}", "worker_role", "\"admin\""},
        {"{\"serve\":\"some\"}", "serve", "\"joined\""},
        {"{\"nodes\":[\"!\"]}", "nodes", NULL},
        {"{\"nodes\":[\"..\"]}", "nodes", NULL},
        {"{\"labels\":{\"\":\"x\"}}", "labels", "zone"},
        {"{\"labels\":{\"zone\":5}}", "labels.zone", NULL},
        {"{\"colour\":1}", "colour", "serve"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err e = {0};
        assert_int_equal(check(bad[i].text, &e), SKEP_EARG);
        assert_string_equal(e.field, bad[i].field);
        if (bad[i].word && !strstr(e.text, bad[i].word))
            fail_msg("%s: %s", bad[i].text, e.text);
    }
}

static void without_a_word_there_are_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {NULL, "{}", "no JSON",
                                        "{\"restart\":\"in a newer way\",\"conflict\":{\"kind\":\"new\"},"
                                        "\"serve\":7,\"limits\":5,\"handoff\":\"?\",\"worker_role\":{},"
                                        "\"labels\":[],\"nodes\":{},\"later\":1}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct settings s;
        settings_parse(texts[i], &s);
        assert_int_equal(s.restart, RESTART_TRANSIENT);
        assert_true(s.handoff && s.serve == SERVE_ALL && s.worker_role == -1 && s.max_children == 0);
        assert_true(!s.has_nodes && s.nodes.n == 0 && s.labels.n == 0);
        assert_true(s.conflict.kind == CONFLICT_NEWEST && !s.conflict.options.p);
        settings_fini(&s);
    }
}

static void what_is_said_counts_and_is_shown(void **state)
{
    (void)state;
    struct settings s;
    AUTOSTR struct str shown = STR_INIT;
    settings_parse(
        "{\"restart\":{\"kind\":\"temporary\"},\"handoff\":false,\"strict\":true,"
        "\"conflict\":\"oldest\",\"serve\":"
        "\"joined\",\"limits\":{\"max_children\":7},\"worker_role\":\"read\",\"partition\":{\"kind\":"
        "\"divergence\"},\"nodes\":[\"a\",\"!b\"],\"labels\":{\"zone\":\"a\"}}",
        &s);
    assert_true(s.restart == RESTART_TEMPORARY && !s.handoff && s.conflict.kind == CONFLICT_OLDEST);
    assert_true(s.serve == SERVE_JOINED && s.max_children == 7 && s.worker_role == 1 && s.has_nodes);
    assert_int_equal(s.synchronization.kind, SYNCHRONIZATION_PUBSUB);
    assert_string_equal(s.nodes.list[1], "!b");
    assert_null(s.nodes.list[2]);
    struct jw j = jw_init(&shown);
    jw_object(&j);
    settings_write(&s, &j);
    jw_object_close(&j);
    jw_end(&j);
    assert_string_equal(
        str_get(&shown),
        "{\"restart\":\"temporary\",\"handoff\":false,\"strict\":true,\"distribution\":\"consistent_hash\","
        "\"redundancy\":\"singularity\",\"migration\":\"cold_swap\",\"partition\":{\"kind\":"
        "\"divergence\"},\"synchronization\":\"pubsub\",\"conflict\":\"oldest\",\"limits\":{\"max_"
        "children\":7},\"worker_role\":\"read\",\"serve\":\"joined\",\"labels\":{\"zone\":\"a\"}}");
    settings_fini(&s);
}

static void options_have_their_defaults(void **state)
{
    (void)state;
    static const char text[] = "{\"kind\":\"x\",\"n\": 5 ,\"b\": true }";
    const struct strategy said = {0, {text, sizeof text - 1}}, word = {0};
    assert_int_equal(strategy_int(&said, "n", 1), 5);
    assert_int_equal(strategy_int(&said, "m", 1), 1);
    assert_int_equal(strategy_int(&said, "b", 1), 1);
    assert_int_equal(strategy_int(&word, "n", 3), 3);
    assert_true(strategy_bool(&said, "b", false) && strategy_bool(&said, "n", true));
}

static void nodes_are_meant_by_name_id_and_pattern(void **state)
{
    (void)state;
    char *const none[] = {NULL}, *const web[] = {"web-*", "!web-3", NULL}, *const but[] = {"!db-*", NULL};
    char *const ids[] = {"0123", "db-?", NULL};
    assert_true(settings_means(NULL, "a", "1") && settings_means(none, "a", "1"));
    assert_true(settings_means(web, "web-1", "1") && settings_means(web, "web-31", "1"));
    assert_false(settings_means(web, "web-3", "1") || settings_means(web, "db-1", "1"));
    assert_true(settings_means(but, "web-1", "1"));
    assert_false(settings_means(but, "db-1", "1"));
    assert_true(settings_means(ids, "x", "0123") && settings_means(ids, "db-1", "1"));
    assert_false(settings_means(ids, "x", "01234") || settings_means(ids, "db-10", "1"));
}

static void labels_must_all_be_there(void **state)
{
    (void)state;
    struct json_pair two[] = {{"zone", "eu-*"}, {"disk", "ssd"}};
    const struct json_map nothing = {0}, zone = {two, 1}, both = {two, 2};
    assert_true(settings_labels(&nothing, NULL));
    assert_false(settings_labels(&zone, NULL) || settings_labels(&zone, "{}"));
    assert_true(settings_labels(&zone, "{\"zone\":\"eu-1\"}"));
    assert_false(settings_labels(&zone, "{\"zone\":\"us-1\"}") ||
                 settings_labels(&both, "{\"zone\":\"eu-1\"}"));
    assert_true(settings_labels(&both, "{\"disk\":\"ssd\",\"zone\":\"eu-1\",\"more\":\"x\"}"));
}

static void children_follow_their_swarm_where_they_say_nothing(void **state)
{
    (void)state;
    struct settings s;
    struct spec spec;
    AUTOSTR struct str silent = STR_INIT, said = STR_INIT;
    settings_parse("{\"restart\":\"permanent\",\"handoff\":false}", &s);
    assert_int_equal(spec_parse("{\"argv\":[\"x\"]}", &spec, NULL), 0);
    spec_write(&spec, &silent);
    assert_null(strstr(str_get(&silent), "handoff\""));
    assert_null(strstr(str_get(&silent), "\"restart\""));
    settings_fill(&s, &spec);
    assert_true(spec.restart == RESTART_PERMANENT && !spec.handoff);
    spec_fini(&spec);
    assert_int_equal(spec_parse("{\"argv\":[\"x\"],\"restart\":\"transient\",\"handoff\":true}", &spec, NULL),
                     0);
    settings_fill(&s, &spec);
    assert_true(spec.restart == RESTART_TRANSIENT && spec.handoff);
    spec_write(&spec, &said);
    assert_non_null(strstr(str_get(&said), "\"restart\":\"transient\""));
    assert_non_null(strstr(str_get(&said), "\"handoff\":true"));
    spec_fini(&spec);
    settings_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_carried_out_is_taken),
                                       cmocka_unit_test(the_field_is_blamed),
                                       cmocka_unit_test(without_a_word_there_are_defaults),
                                       cmocka_unit_test(what_is_said_counts_and_is_shown),
                                       cmocka_unit_test(options_have_their_defaults),
                                       cmocka_unit_test(nodes_are_meant_by_name_id_and_pattern),
                                       cmocka_unit_test(labels_must_all_be_there),
                                       cmocka_unit_test(children_follow_their_swarm_where_they_say_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
