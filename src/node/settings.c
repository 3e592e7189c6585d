/* What can be said of a swarm is in two tables: `strategies` (words with their options) and settings_table
 * (the shape of the whole). A strategy that this program learns is a line in the first. */
#include "node/settings.h"

#include <string.h>

#include "core/fanout.h"
#include "node/brain.h"
#include "node/spec.h"
#include "wire/uri.h"

const char *const settings_role_words[] = {"none", "read", "write", "admin", NULL};
static const char *const serve_words[] = {"all", "joined", NULL};

static const struct json_field said_fields[] = {
    JSON_FIELD(struct settings_said, restart, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, handoff, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, strict, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, distribution, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, redundancy, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, migration, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, partition, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, synchronization, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, conflict, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, limits, JSON_RAW_OBJECT, .nullable = true),
    JSON_FIELD(struct settings_said, worker_role, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, serve, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings_said, nodes, JSON_STRINGS, .bytes_max = NAME_BYTES_MAX, .max = 1000,
               .nullable = true),
    JSON_FIELD(struct settings_said, labels, JSON_STRING_MAP, .bytes_max = NAME_BYTES_MAX, .max = 100,
               .nullable = true),
};
const struct json_table settings_table = JSON_TABLE(struct settings_said, said_fields);

/* ---- strategies ---- */

struct option {
    const char *name;
    enum json_kind kind; /* JSON_INT, JSON_BOOL or JSON_STRING */
    int64_t min, max;
};

struct word {
    const char *word; /* the first of a kind is what it is called; others mean the same */
    int kind;
    const struct option *options; /* ends with a name of NULL; NULL: none */
};

struct field {
    const char *name;
    size_t said, strategy; /* offsets in the two structs */
    const struct word *words;
};

#define WORDS(...) ((const struct word[]){__VA_ARGS__, {0}})
#define FIELD(name, ...)                                                                                     \
    {                                                                                                        \
#name, offsetof(struct settings_said, name), offsetof(struct settings, name), WORDS(__VA_ARGS__)     \
    }

static const struct option hash_options[] = {
    {"bound_percent", JSON_INT, 100, 1000}, {"spread", JSON_STRING, 0, 0}, {0}};

static const struct option balancer_options[] = {
    {"push_interval_ms", JSON_INT, 1000, 3600000}, {"nodeup_redistribution", JSON_BOOL, 0, 0}, {0}};

#define SYNC_INTERVAL                                                                                        \
    {                                                                                                        \
        "sync_interval_ms", JSON_INT, 50, 60000                                                              \
    }
static const struct option pubsub_options[] = {SYNC_INTERVAL, {0}};

static const struct option gossip_options[] = {
    {"recipients", JSON_INT, 1, FANOUT_MESH_MAX}, SYNC_INTERVAL, {0}};

static const struct field strategies[] = {
    FIELD(distribution, {"consistent_hash", DISTRIBUTION_CONSISTENT_HASH, hash_options},
          {"consistent_hashing", DISTRIBUTION_CONSISTENT_HASH, hash_options},
          {"guided", DISTRIBUTION_GUIDED, NULL},
          {"load_balancer", DISTRIBUTION_LOAD_BALANCER, balancer_options},
          {"random", DISTRIBUTION_RANDOM, NULL}),
    FIELD(redundancy, {"singularity", REDUNDANCY_SINGULARITY, NULL}),
    FIELD(migration, {"cold_swap", MIGRATION_COLD_SWAP, NULL}),
    FIELD(partition, {"divergence", PARTITION_DIVERGENCE, NULL}),
    FIELD(synchronization, {"pubsub", SYNCHRONIZATION_PUBSUB, pubsub_options},
          {"pull", SYNCHRONIZATION_PUBSUB, pubsub_options},
          {"gossip", SYNCHRONIZATION_GOSSIP, gossip_options}),
    FIELD(conflict, {"newest", CONFLICT_NEWEST, NULL}, {"oldest", CONFLICT_OLDEST, NULL},
          {"callback", CONFLICT_CALLBACK, NULL}),
};

static const struct word *word_find(const struct field *f, const char *word)
{
    for (const struct word *w = f->words; w->word; w++)
        if (strcmp(w->word, word) == 0)
            return w;
    return NULL;
}

static const char *word_of(const struct field *f, int kind)
{
    for (const struct word *w = f->words; w->word; w++)
        if (w->kind == kind)
            return w->word;
    return f->words->word;
}

/* "newest" or "oldest": one word for each kind. */
static void words_list(const struct field *f, struct str *ret)
{
    int last = -1;
    for (const struct word *w = f->words; w->word; w++) {
        if (w->kind == last)
            continue;
        str_printf(ret, "%s\"%s\"", ret->n ? ", " : "", w->word);
        last = w->kind;
    }
}

static void options_list(const struct option *o, struct str *ret)
{
    for (; o && o->name; o++)
        str_printf(ret, "%s%s", ret->n ? ", " : "", o->name);
}

static const struct option *option_find(const struct word *w, const char *name)
{
    for (const struct option *o = w->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

static int option_check(const char *field, const struct option *o, struct span value, struct err *e)
{
    int64_t number;
    AUTOSTR struct str text = STR_INIT;
    if (o->kind == JSON_STRING && (!json_unquote(value, &text) || text.n == 0 || text.n > NAME_BYTES_MAX ||
                                   !text_is_clean(str_get(&text), text.n)))
        return err_field(e, SKEP_EARG, field, "must be the name of a label of nodes, as \"zone\"");
    if (o->kind == JSON_BOOL && json_type(value) != JSON_T_BOOL)
        return err_field(e, SKEP_EARG, field, "must be true or false");
    if (o->kind == JSON_INT && (!json_int(value, &number) || number < o->min || number > o->max))
        return err_field(e, SKEP_EARG, field, "must be a whole number from %lld to %lld", (long long)o->min,
                         (long long)o->max);
    return 0;
}

static int options_check(const char *owner, const struct word *w, struct span object, struct err *e)
{
    struct span key, value;
    struct json_iter it = json_iter_init(object);
    while (json_iter_next(&it, &key, &value)) {
        AUTOSTR struct str name = STR_INIT, known = STR_INIT;
        json_unquote(key, &name);
        AUTOFREE char *field = mem_printf("%s.%.60s", owner, str_get(&name));
        const struct option *o = option_find(w, str_get(&name));
        if (strcmp(str_get(&name), "kind") == 0)
            continue;
        options_list(w->options, &known);
        if (!o && !known.n)
            return err_field(e, SKEP_EARG, field, "no such option; \"%s\" has none", w->word);
        if (!o)
            return err_field(e, SKEP_EARG, field, "no such option; \"%s\" has: %s", w->word, str_get(&known));
        int rc = option_check(field, o, value, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The word of a value that is one, or of its "kind". */
static bool kind_of(struct span value, struct str *ret)
{
    bool object = value.p && json_type(value) == JSON_T_OBJECT;
    struct span kind = object ? json_raw_member(value.p, value.n, "kind") : value;
    return kind.p && json_unquote(kind, ret);
}

static int strategy_check(const struct field *f, struct span value, struct err *e)
{
    AUTOSTR struct str word = STR_INIT, words = STR_INIT;
    if (!value.p)
        return 0;
    words_list(f, &words);
    if (!kind_of(value, &word))
        return err_field(e, SKEP_EARG, f->name,
                         "must be a word, or an object with a word as \"kind\"; supported: %s",
                         str_get(&words));
    const struct word *w = word_find(f, str_get(&word));
    if (!w)
        return err_field(e, SKEP_EARG, f->name, "\"%.60s\" is not supported; supported: %s", str_get(&word),
                         str_get(&words));
    return json_type(value) == JSON_T_OBJECT ? options_check(f->name, w, value, e) : 0;
}

static void strategy_parse(const struct field *f, struct span value, struct strategy *ret)
{
    AUTOSTR struct str word = STR_INIT;
    *ret = (struct strategy){f->words->kind, {NULL, 0}};
    const struct word *w = kind_of(value, &word) ? word_find(f, str_get(&word)) : NULL;
    if (!w)
        return;
    ret->kind = w->kind;
    if (json_type(value) == JSON_T_OBJECT)
        ret->options = value;
}

static struct span option_of(const struct strategy *s, const char *option)
{
    return s->options.p ? json_raw_member(s->options.p, s->options.n, option) : (struct span){NULL, 0};
}

int64_t strategy_int(const struct strategy *s, const char *option, int64_t otherwise)
{
    struct span value = option_of(s, option);
    int64_t number;
    return value.p && json_int(value, &number) ? number : otherwise;
}

bool strategy_bool(const struct strategy *s, const char *option, bool otherwise)
{
    struct span value = option_of(s, option);
    return value.p && json_type(value) == JSON_T_BOOL ? json_trim(value).p[0] == 't' : otherwise;
}

char *strategy_text(const struct strategy *s, const char *option)
{
    struct str text = STR_INIT;
    struct span value = option_of(s, option);
    if (value.p && json_unquote(value, &text))
        return str_take(&text);
    str_fini(&text);
    return NULL;
}

const char *settings_distribution(const struct settings *s)
{
    return word_of(&strategies[0], s->distribution.kind);
}

bool settings_deterministic(const struct settings *s)
{
    return s->distribution.kind == DISTRIBUTION_CONSISTENT_HASH ||
           s->distribution.kind == DISTRIBUTION_GUIDED;
}

/* ---- what is no strategy ---- */

/* Index of the word, or -1. A word may be said as {"kind": word}, too. */
static int index_of(struct span value, const char *const *words)
{
    AUTOSTR struct str word = STR_INIT;
    if (kind_of(value, &word))
        for (int i = 0; words[i]; i++)
            if (strcmp(words[i], str_get(&word)) == 0)
                return i;
    return -1;
}

static int word_check(const char *field, struct span value, const char *const *words, struct err *e)
{
    AUTOSTR struct str list = STR_INIT;
    if (!value.p || index_of(value, words) >= 0)
        return 0;
    for (; *words; words++)
        str_printf(&list, "%s\"%s\"", list.n ? ", " : "", *words);
    return err_field(e, SKEP_EARG, field, "must be one of: %s", str_get(&list));
}

static int limits_check(struct span limits, struct err *e)
{
    static const struct option options[] = {{"max_children", JSON_INT, 0, 1000000}, {0}};
    static const struct word limit = {"limits", 0, options};
    return limits.p ? options_check("limits", &limit, limits, e) : 0;
}

static int nodes_check(const struct json_strings *nodes, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < nodes->n; i++) {
        const char *one = nodes->list[i] + (nodes->list[i][0] == '!');
        rc = name_check(one, strlen(one), "nodes", e);
    }
    return rc;
}

static int labels_check(const struct json_map *labels, struct err *e)
{
    for (size_t i = 0; i < labels->n; i++) {
        const struct json_pair *one = &labels->list[i];
        if (!*one->name || !text_is_clean(one->name, strlen(one->name)) ||
            !text_is_clean(one->value, strlen(one->value)))
            return err_field(e, SKEP_EARG, "labels",
                             "a label has a name and a value, without control characters: {\"zone\":\"a\"}");
    }
    return 0;
}

static struct span said_of(const struct settings_said *s, const struct field *f)
{
    return *(const struct span *)(const void *)((const char *)s + f->said);
}

static struct strategy *strategy_of(const struct settings *s, const struct field *f)
{
    return (struct strategy *)(void *)((char *)(uintptr_t)s + f->strategy);
}

int settings_check(const struct settings_said *s, struct err *e)
{
    int rc = word_check("restart", s->restart, spec_restart_words, e);
    if (rc == 0 && s->handoff.p && json_type(s->handoff) != JSON_T_BOOL)
        rc = err_field(e, SKEP_EARG, "handoff", "must be true or false");
    if (rc == 0 && s->strict.p && json_type(s->strict) != JSON_T_BOOL)
        rc = err_field(e, SKEP_EARG, "strict", "must be true or false");
    for (size_t i = 0; rc == 0 && i < COUNT(strategies); i++)
        rc = strategy_check(&strategies[i], said_of(s, &strategies[i]), e);
    if (rc == 0)
        rc = limits_check(s->limits, e);
    if (rc == 0)
        rc = word_check("worker_role", s->worker_role, settings_role_words, e);
    if (rc == 0)
        rc = word_check("serve", s->serve, serve_words, e);
    if (rc == 0)
        rc = nodes_check(&s->nodes, e);
    return rc == 0 ? labels_check(&s->labels, e) : rc;
}

/* ---- from the text ---- */

static void nodes_parse(struct span list, struct settings *ret)
{
    struct json_iter it = json_iter_init(list);
    struct span one;
    size_t cap = 0;
    ret->has_nodes = list.p && json_type(list) == JSON_T_ARRAY;
    while (ret->has_nodes && json_iter_next(&it, NULL, &one)) {
        struct str text = STR_INIT;
        json_unquote(one, &text);      /* what is no text names no node */
        while (cap < ret->nodes.n + 2) /* and the NULL at the end */
            ret->nodes.list = mem_resize(ret->nodes.list, cap = cap ? 2 * cap : 4, sizeof *ret->nodes.list);
        ret->nodes.list[ret->nodes.n++] = str_take(&text);
        ret->nodes.list[ret->nodes.n] = NULL;
    }
}

static void labels_parse(struct span object, struct settings *ret)
{
    struct json_iter it = json_iter_init(object);
    struct span key, value;
    if (!object.p || json_type(object) != JSON_T_OBJECT)
        return;
    while (json_iter_next(&it, &key, &value)) {
        struct str name = STR_INIT, text = STR_INIT;
        json_unquote(key, &name);
        json_unquote(value, &text);
        ret->labels.list = mem_resize(ret->labels.list, ret->labels.n + 1, sizeof *ret->labels.list);
        ret->labels.list[ret->labels.n++] = (struct json_pair){str_take(&name), str_take(&text)};
    }
}

static struct span member(const struct settings *s, const char *name)
{
    return json_raw_member(s->text, strlen(s->text), name);
}

void settings_parse(const char *text, struct settings *ret)
{
    bool good = text && json_check(text, strlen(text), NULL) == 0;
    *ret = (struct settings){.text = mem_dup(good ? text : "{}"), .handoff = true};
    struct span limits = member(ret, "limits"), handoff = member(ret, "handoff");
    struct span strict = member(ret, "strict");
    const struct strategy limit = {0, limits};
    int restart = index_of(member(ret, "restart"), spec_restart_words);
    int serve = index_of(member(ret, "serve"), serve_words);
    ret->restart = restart >= 0 ? restart : RESTART_TRANSIENT;
    ret->serve = serve >= 0 ? serve : SERVE_ALL;
    ret->worker_role = index_of(member(ret, "worker_role"), settings_role_words);
    if (handoff.p && json_type(handoff) == JSON_T_BOOL)
        ret->handoff = json_trim(handoff).p[0] == 't';
    ret->strict = strict.p && json_type(strict) == JSON_T_BOOL && json_trim(strict).p[0] == 't';
    ret->max_children = strategy_int(&limit, "max_children", 0);
    for (size_t i = 0; i < COUNT(strategies); i++)
        strategy_parse(&strategies[i], member(ret, strategies[i].name), strategy_of(ret, &strategies[i]));
    nodes_parse(member(ret, "nodes"), ret);
    labels_parse(member(ret, "labels"), ret);
}

void settings_fini(struct settings *s)
{
    json_strings_fini(&s->nodes);
    json_map_fini(&s->labels);
    free(s->text);
    *s = (struct settings){0};
}

int settings_load(struct store *store, const char *swarm, struct settings *ret, struct err *e)
{
    struct swarm_row row = {.swarm = mem_dup(swarm)};
    struct stamp version = {0};
    int rc = *swarm ? store_load(store, T_SWARM, &row, e) : 0;
    if (rc == 1)
        rc = store_version(store, T_SWARM, &row, &version, NULL, e) < 0 ? SKEP_ESTORE : 1;
    settings_parse(rc == 1 ? row.settings : NULL, ret);
    ret->version = version;
    row_fini(T_SWARM, &row);
    return rc;
}

static void strategy_write(const struct field *f, const struct strategy *s, struct jw *j)
{
    if (s->options.p)
        jw_kv_raw(j, f->name, s->options);
    else
        jw_kv_string(j, f->name, word_of(f, s->kind));
}

void settings_write(const struct settings *s, struct jw *j)
{
    jw_kv_string(j, "restart", spec_restart_words[s->restart]);
    jw_kv_bool(j, "handoff", s->handoff);
    jw_kv_bool(j, "strict", s->strict);
    for (size_t i = 0; i < COUNT(strategies); i++)
        strategy_write(&strategies[i], strategy_of(s, &strategies[i]), j);
    jw_kv_object(j, "limits");
    if (s->max_children)
        jw_kv_i64(j, "max_children", s->max_children);
    jw_object_close(j);
    jw_kv_string(j, "worker_role", s->worker_role >= 0 ? settings_role_words[s->worker_role] : NULL);
    jw_kv_string(j, "serve", serve_words[s->serve]);
    jw_kv_object(j, "labels");
    for (size_t i = 0; i < s->labels.n; i++)
        jw_kv_string(j, s->labels.list[i].name, s->labels.list[i].value);
    jw_object_close(j);
}

/* ---- the brain's ---- */

/* Held against the version of the row at each look: what a transaction has written counts in it, what was
 * rolled back does not, and nobody has to say that something has changed. */
struct settings_kept {
    char *swarm;
    struct settings s;
    UT_hash_handle hh;
};

static void kept_free(struct node *n, struct settings_kept *k)
{
    if (!k)
        return;
    HASH_DEL(n->settings, k);
    settings_fini(&k->s);
    free(k->swarm);
    free(k);
}

/* The version of its row; zeros without one. */
static struct stamp version_of(struct node *n, const char *swarm)
{
    struct swarm_row row = {.swarm = (char *)(uintptr_t)swarm};
    struct stamp version = {0};
    bool dead = true;
    int rc = *swarm ? store_version(n->store, T_SWARM, &row, &version, &dead, NULL) : 0;
    return rc == 1 && !dead ? version : (struct stamp){0};
}

const struct settings *node_settings(struct node *n, const char *swarm)
{
    static const struct stamp none;
    struct stamp now = version_of(n, swarm);
    struct settings_kept *k;
    HASH_FIND_STR(n->settings, swarm, k);
    if (k && stamp_compare(&k->s.version, &now) == 0)
        return &k->s;
    kept_free(n, k);
    if (*swarm && stamp_compare(&now, &none) == 0) /* all those without a row share one */
        return node_settings(n, "");
    k = mem_alloc(sizeof *k);
    k->swarm = mem_dup(swarm);
    settings_load(n->store, swarm, &k->s, NULL);
    HASH_ADD_KEYPTR(hh, n->settings, k->swarm, strlen(k->swarm), k);
    return &k->s;
}

void node_settings_fini(struct node *n)
{
    struct settings_kept *k, *next;
    HASH_ITER(hh, n->settings, k, next)
    kept_free(n, k);
}

/* ---- who is meant ---- */

bool settings_means(char *const *nodes, const char *name, const char *id)
{
    bool wanted = true, found = false;
    for (; nodes && *nodes; nodes++) {
        bool not = nodes[0][0] == '!';
        const char *pattern = *nodes + not ;
        bool is = text_matches(pattern, name) || strcmp(pattern, id) == 0;
        if (is && not )
            return false;
        wanted &= not ;
        found |= is;
    }
    return wanted || found;
}

bool settings_labels(const struct json_map *wanted, const char *labels)
{
    for (size_t i = 0; i < wanted->n; i++) {
        AUTOSTR struct str value = STR_INIT;
        struct span has =
            labels ? json_raw_member(labels, strlen(labels), wanted->list[i].name) : (struct span){NULL, 0};
        if (!has.p || !json_unquote(has, &value) || !text_matches(wanted->list[i].value, str_get(&value)))
            return false;
    }
    return true;
}

/* ---- of its children ---- */

void settings_fill(const struct settings *s, struct spec *spec)
{
    if (!spec->restart_said)
        spec->restart = s->restart;
    if (!spec->handoff_said)
        spec->handoff = s->handoff;
    spec->restart_said = spec->handoff_said = true;
}
