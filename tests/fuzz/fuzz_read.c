/* Reads of the API against a store that holds one of everything, streams of events included.
 *
 *   input := path?query, then lines: "a" Accept, "l" Last-Event-ID, "t" Authorization
 *
 * Every answer is JSON (or the figures), and a list that is followed by its "next" ends. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/follow.h"
#include "base/ensure.h"
#include "wire/json.h"

#define NOW_MS    INT64_C(1700000000000)
#define LOOKS_MAX 64
#define PAGES_MAX 64

static char dir[] = "/dev/shm/fuzz-read-XXXXXX", path[64];
static const struct id cluster = {{7}}, self = {{1}};

static int64_t clock_ms(void *ctx UNUSED)
{
    return NOW_MS;
}

static void tidy(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < COUNT(ends); i++) {
        AUTOFREE char *p = mem_printf("%s%s", path, ends[i]);
        unlink(p);
    }
    rmdir(dir);
}

static void save(struct store *s, enum table_id t, const void *row)
{
    struct err e = {0};
    ensure(store_save(s, t, row, &e) == 0, "%s", e.text);
}

#define TEXT(literal) ((char[]){literal})

static void put_names(struct store *s)
{
    save(s, T_SWARM, &(struct swarm_row){.swarm = TEXT("jobs"), .settings = TEXT("{\"nodes\":[\"a\"]}")});
    for (int i = 0; i < 5; i++) {
        AUTOFREE char *name = mem_printf("n%d", i);
        bool outside = i == 4;
        save(s, T_NAME,
             &(struct name_row){.swarm = TEXT("jobs"),
                                .name = name,
                                .kind = outside ? TEXT("external") : TEXT("child"),
                                .address = outside ? TEXT("{\"url\":\"x\"}") : NULL,
                                .spec = outside ? NULL : TEXT("{\"argv\":[\"w\"]}"),
                                .owner = TEXT("01000000000000000000000000000000"),
                                .owner_actor = 5,
                                .epoch = 10 + i,
                                .since = 9,
                                .ttl_ms = 1000});
        save(s, T_CHILD,
             &(struct child_row){.swarm = TEXT("jobs"),
                                 .name = name,
                                 .node = TEXT("01000000000000000000000000000000"),
                                 .status = TEXT("running"),
                                 .epoch = 10 + i,
                                 .pid = 7,
                                 .at = NOW_MS});
        save(s, T_METADATA,
             &(struct metadata_row){
                 .swarm = TEXT("jobs"), .name = name, .data = TEXT("{\"g\":\"x\"}"), .epoch = 10 + i});
        save(s, T_CHECKPOINT,
             &(struct checkpoint_row){
                 .swarm = TEXT("jobs"), .name = name, .epoch = 10 + i, .data = {TEXT("{\"k\":1}"), 7}});
    }
    save(s, T_NODE_MARK,
         &(struct node_mark_row){.node = TEXT("02000000000000000000000000000000"), .role = TEXT("spare")});
}

static void put_sessions(struct store *s)
{
    save(s, T_TEMPLATE, &(struct template_row){.template = TEXT("t"), .spec = TEXT("{\"argv\":[\"w\"]}")});
    save(s, T_TOKEN,
         &(struct token_row){
             .token = TEXT("k"), .hash = TEXT("00"), .name = TEXT("ci"), .role = TEXT("read")});
    for (int i = 1; i <= 4; i++) {
        AUTOFREE char *entry = mem_printf("e%d", i), *parent = mem_printf("e%d", i - 1),
                      *turn = mem_printf("u%d", i);
        save(s, T_ENTRY,
             &(struct entry_row){.session = TEXT("s"),
                                 .entry = entry,
                                 .parent = i > 1 ? parent : NULL,
                                 .role = TEXT("user"),
                                 .content = TEXT("\"hello\""),
                                 .epoch = 1,
                                 .seq = i});
        save(s, T_TURN,
             &(struct turn_row){.session = TEXT("s"),
                                .turn = turn,
                                .status = TEXT("done"),
                                .input = TEXT("[]"),
                                .created_at = NOW_MS + i,
                                .epoch = 1});
    }
    save(s, T_SESSION,
         &(struct session_row){.session = TEXT("s"),
                               .head = TEXT("e4"),
                               .status = TEXT("idle"),
                               .template = TEXT("t"),
                               .metadata = TEXT("{}"),
                               .epoch = 1});
}

static void put_events(struct store *s)
{
    static const struct log_entry list[] = {
        {.type = "node_started", .node = "a"},
        {.type = "child_started", .swarm = "jobs", .name = "n1", .epoch = 3},
        {.type = "child_failed", .swarm = "jobs", .name = "n1", .data = "{\"code\":\n\"exited\"}"},
        {.type = "swarm_changed", .swarm = "jobs", .who = "token:ci"},
    };
    struct err e = {0};
    for (size_t i = 0; i < COUNT(list); i++)
        ensure(store_log(s, &list[i], &e) == 0, "%s", e.text);
}

static struct store *store_once(void)
{
    static const struct world_clock clock = {.real_ms = clock_ms, .boot_ms = clock_ms};
    static struct store *s;
    struct err e = {0};
    if (s)
        return s;
    ensure(mkdtemp(dir), "no folder");
    snprintf(path, sizeof path, "%s/x.db", dir);
    atexit(tidy);
    ensure(store_create(path, &cluster, &self, "a", true, NULL, &e) == 0, "%s", e.text);
    ensure(store_open(&s, &(struct store_options){.path = path, .clock = &clock}, &e) == 0, "%s", e.text);
    store_run(s, 5);
    ensure(db_begin(store_db(s), &e) == 0, "%s", e.text);
    put_names(s);
    put_sessions(s);
    put_events(s);
    ensure(db_commit(store_db(s), &e) == 0, "%s", e.text);
    return s;
}

static const struct frozen *frozen_once(void)
{
    static char a[] = "a", b[] = "b \"x\"", url[] = "https://a:1", key[] = "k", hash[] = "00",
                role[] = "read";
    static struct frozen_node nodes[] = {
        {.id = {{1}}, .name = a, .url = url, .version = a, .self = true, .member = true, .in_view = true},
        {.id = {{2}}, .name = b, .url = url, .version = b, .liveness = LIVENESS_SUSPECT}};
    static struct frozen_token token = {.token = key, .hash = hash, .name = key, .role = role};
    static struct frozen f = {.cluster = {{7}},
                              .self = {{1}},
                              .name = a,
                              .url = url,
                              .version = a,
                              .open = true,
                              .ready = true,
                              .nodes = nodes,
                              .nodes_n = 2,
                              .tokens = &token,
                              .tokens_n = 1};
    return &f;
}

static void is_json(const char *p, size_t n)
{
    struct err e = {0};
    ensure(json_check(p, n, &e) == 0, "%s: %.*s", e.text, (int)n, p);
}

/* ---- a stream ---- */

static void frames_are_good(const struct str *s)
{
    const char *p = str_get(s), *end;
    while (*p) {
        ensure(text_starts(p, "id: a:") && (end = strstr(p, "\ndata: ")), "a frame without an id: %s", p);
        p = end + strlen("\ndata: ");
        end = strchr(p, '\n');
        ensure(end && end[1] == '\n', "a frame without an end");
        is_json(p, (size_t)(end - p));
        p = end + 2;
    }
}

static void follow(const struct route *route, const struct request *r, const struct reading *reading)
{
    struct follow *f = NULL;
    struct err e = {0};
    AUTOSTR struct str s = STR_INIT;
    int rc = follow_new(route, r, reading, &f, &e);
    ensure(rc == 0 || *e.text, "a refusal without a word");
    if (rc < 0)
        return;
    int looks = 0;
    while ((rc = follow_read(f, reading, &s, &e)) > 0)
        ensure(++looks < LOOKS_MAX, "a stream of a few events has no end");
    ensure(rc == 0, "%s", e.text);
    frames_are_good(&s);
    follow_free(f);
}

/* ---- a read ---- */

/* The "next" of a page, or NULL. */
static char *next_of(const struct answer *a)
{
    struct json *j = NULL;
    if (a->status != 200 || json_parse(a->body, a->body_n, &j, NULL) < 0)
        return NULL;
    const char *next = json_text(json_path(json_root(j), "next"));
    char *copy = next ? mem_dup(next) : NULL;
    json_free(j);
    return copy;
}

/* Follows a list to its end, one row at a time. */
static void pages(const struct route *route, struct request *r, const struct reading *reading)
{
    AUTOFREE char *query = NULL;
    for (int i = 0;; i++) {
        AUTOSTR struct str s = STR_INIT;
        ensure(i < PAGES_MAX, "a list of a few rows has no end: %s?%s", r->path, r->query);
        struct answer *a = api_read(route, r, reading);
        ensure(a->status >= 200 && a->status < 600, "status %d", a->status);
        if (!a->content_type || !text_starts(a->content_type, "text/plain"))
            is_json(a->body, a->body_n);
        AUTOFREE char *next = next_of(a);
        answer_free(a);
        if (!next)
            return;
        str_puts(&s, "limit=1&after=");
        uri_encode(&s, next, strlen(next));
        mem_replace(&query, str_get(&s));
        r->query = query;
    }
}

static void header(struct request *r, char *line)
{
    char *value = *line ? line + 1 : line;
    if (*line == 'a')
        r->accept = value;
    else if (*line == 'l')
        r->last_event_id = value;
    else if (*line == 't')
        r->authorization = value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTOFREE char *copy = mem_copy(data, n);
    char *rest = copy, *line, allow[64];
    struct request r = {.method = HTTP_M_GET, .path = strsep(&rest, "\n"), .body = TEXT("")};
    struct reading reading = {store_once(), frozen_once(), NOW_MS, 3};
    struct err e = {0};
    while ((line = strsep(&rest, "\n")))
        header(&r, line);
    r.query = r.path;
    r.path = strsep(&r.query, "?");
    if (r.authorization) {
        struct principal who = {0};
        api_token(reading.frozen, r.authorization, NOW_MS, &who);
    }
    const struct route *route = api_find(r.method, r.path, allow, &e);
    if (!route || !route->read)
        return 0;
    if (follow_wanted(&r))
        follow(route, &r, &reading);
    pages(route, &r, &reading);
    return 0;
}
