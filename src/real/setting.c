/* setting: decides what can be configured and what a good value is. Knows neither file nor environment. */
#include "real/setting.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "real/config.h"

/* --- checks: each gives what is allowed, or NULL ------------------------------------------------------ */

static const char *check_node(const char *text)
{
    size_t n = strlen(text);
    bool good = n >= 1 && n <= 63 && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
    for (size_t i = 0; i < n && good; i++)
        good = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
               (text[i] >= '0' && text[i] <= '9') || strchr("-_.", text[i]);
    return good ? NULL : "1 to 63 letters, digits, - _ or .";
}

/* Where the port's colon is: behind the brackets of an IPv6 address. */
static const char *port_of(const char *host_port)
{
    const char *colon = strrchr(host_port, ':');
    int64_t port;
    if (!colon || colon == host_port || !text_i64(colon + 1, 0, 65535, &port))
        return NULL;
    if (memchr(host_port, ':', (size_t)(colon - host_port)) && (host_port[0] != '[' || colon[-1] != ']'))
        return NULL;
    return colon + 1;
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

static const char *check_listen(const char *text)
{
    return is_plain(text) && !strchr(text, '/') && port_of(text)
               ? NULL
               : "HOST:PORT, with an IPv6 address in brackets and port 0 for any free one";
}

static bool is_url(const char *text)
{
    static const char scheme[] = "https://";
    if (!text_starts(text, scheme) || !is_plain(text))
        return false;
    const char *host = text + sizeof scheme - 1;
    const char *port = port_of(host);
    return !strpbrk(host, "/?#@") && port && strcmp(port, "0") != 0;
}

static const char *check_url(const char *text)
{
    return is_url(text) ? NULL : "https://HOST:PORT";
}

static const char *check_addr(const char *text)
{
    return is_url(text) || (text_starts(text, "unix:///") && text[8])
               ? NULL
               : "https://HOST:PORT, or unix:///PATH for a local socket";
}

static const char *check_program(const char *text)
{
    return text[0] == '/' || text[0] == '*'
               ? NULL
               : "a pattern over the absolute path of a program: it begins with / or *";
}

static const char *check_secret(const char *text)
{
    const char *equals = strchr(text, '=');
    bool good =
        equals && equals > text && equals - text <= 64 &&
        ((text_starts(equals, "=file:/") && equals[7]) || (text_starts(equals, "=env:") && equals[5]));
    for (const char *p = text; good && p < equals; p++)
        good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
               strchr("-_.", *p);
    return good ? NULL : "NAME=file:/PATH or NAME=env:VARIABLE";
}

static const char *check_variable(const char *text)
{
    if (strcmp(text, "*") == 0)
        return NULL;
    bool good = text[0] && !(text[0] >= '0' && text[0] <= '9');
    for (const char *p = text; *p && good; p++)
        good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_';
    return good ? NULL : "names of environment variables, or * for all";
}

static const char *check_label(const char *text)
{
    const char *equal = strchr(text, '=');
    return equal && equal > text && equal[1] && text_is_clean(text, strlen(text)) ? NULL : "NAME=VALUE";
}

static const char *check_host(const char *text)
{
    return text[0] && is_plain(text) && !strchr(text, '/')
               ? NULL
               : "host names and addresses, with * and ? as patterns";
}

/* --- the table ---------------------------------------------------------------------------------------- */

#define AT(member)     .offset = offsetof(struct config, member)
#define MS(lo, hi)     .type = SETTING_INT, .unit = "ms", .min = (lo), .max = (hi)
#define BYTES(lo, hi)  .type = SETTING_INT, .unit = "bytes", .min = (lo), .max = (hi)
#define NUMBER(lo, hi) .type = SETTING_INT, .unit = "", .min = (lo), .max = (hi)
#define DAY_MS         86400000LL
#define MIB            1048576LL

/* clang-format off */
static const struct setting table[] = {
    {"node", SETTING_TEXT, "", AT(node), .initial = "<host name>", .env = "SKEP_NODE_NAME", .check = check_node,
     .what = "Readable name of this node, unique in the cluster."},
    {"dir", SETTING_PATH, "", AT(dir), .initial = "/var/lib/skep", .env = "SKEP_DIR",
     .what = "Folder that holds the node's database, keys, socket and logs; one skepd per folder."},
    {"listen", SETTING_TEXT, "", AT(listen), .initial = "0.0.0.0:7537", .env = "SKEP_LISTEN", .check = check_listen,
     .what = "Address and port of the TLS listener, for clients and peers alike."},
    {"advertise", SETTING_TEXT, "", AT(advertise), .initial = "<host name, port of listen>", .env = "SKEP_ADVERTISE",
     .check = check_url, .what = "URL under which other nodes reach this one; its host must be in the certificate."},
    {"socket", SETTING_PATH, "", AT(socket), .initial = "<dir>/skep.sock", .env = "SKEP_SOCKET_PATH",
     .what = "Unix socket for local tools; its peers are trusted by their user id."},
    {"peers", SETTING_LIST, "", AT(peers), .env = "SKEP_PEERS", .check = check_url, .reload = true,
     .what = "URLs of nodes to find the cluster through; those once met are remembered without it."},

    {"ca", SETTING_PATH, "", AT(ca), .initial = "<dir>/ca.crt", .env = "SKEP_CA",
     .what = "Certificates of the cluster's CA, in PEM form; several while a CA is being replaced."},
    {"cert", SETTING_PATH, "", AT(cert), .initial = "<dir>/node.crt", .env = "SKEP_CERT",
     .what = "This node's certificate."},
    {"key", SETTING_PATH, "", AT(key), .initial = "<dir>/node.key", .env = "SKEP_KEY",
     .what = "This node's private key; readable by its owner, at most by its group."},
    {"ca_key", SETTING_PATH, "", AT(ca_key), .initial = "<dir>/ca.key if it is there", .env = "SKEP_CA_KEY",
     .what = "Private key of the CA: a node that has it can enrol others."},
    {"ca_hosts", SETTING_LIST, "", AT(ca_hosts), .initial = "*", .env = "SKEP_CA_HOSTS", .check = check_host,
     .what = "Host names and addresses (patterns) that a joining node may have in its certificate."},
    {"cert_days", SETTING_INT, "days", 1, 3650, AT(cert_days), .initial = "365", .env = "SKEP_CERT_DAYS",
     .what = "How long a certificate that this node signs is valid."},
    {"metrics_token_required", SETTING_BOOL, "", AT(metrics_token_required), .initial = "false",
     .env = "SKEP_METRICS_TOKEN_REQUIRED", .reload = true, .what = "Whether /metrics wants a token like everything else."},

    {"allow_exec", SETTING_LIST, "", AT(allow_exec), .env = "SKEP_ALLOW_EXEC", .check = check_program, .reload = true,
     .what = "Programs that may be started here: patterns over the absolute path, where * also matches /; "
             "with none, this node starts nothing."},
    {"pass_env", SETTING_LIST, "", AT(pass_env), .env = "SKEP_PASS_ENV", .check = check_variable, .reload = true,
     .what = "Variables of skepd's environment that children get besides PATH, HOME, LANG and TZ; * for all."},
    {"hook_secrets", SETTING_LIST, "", AT(hook_secrets), .env = "SKEP_HOOK_SECRETS", .check = check_secret, .reload = true,
     .what = "Names of secrets that hooks sign with, and the file or variable of skepd's environment that holds each."},
    {"hook_ca", SETTING_PATH, "", AT(hook_ca), .env = "SKEP_HOOK_CA", .reload = true,
     .what = "File of CA certificates that receivers of hooks may have, besides the system's."},
    {"env_file", SETTING_PATH, "", AT(env_file), .env = "SKEP_ENV_FILE", .reload = true,
     .what = "File of NAME=value lines for the environment of children: the place for their secrets."},
    {"work_dir", SETTING_PATH, "", AT(work_dir), .initial = "/", .env = "SKEP_WORK_DIR", .reload = true,
     .what = "Folder in which children start that name none."},
    {"exec_user", SETTING_TEXT, "", AT(exec_user), .env = "SKEP_EXEC_USER", .check = check_node, .reload = true,
     .what = "User that children run as; needs a skepd that runs as root; none means skepd's own."},
    {"worker_role", SETTING_WORD, "", .words = "none read write admin", AT(worker_role), .initial = "write",
     .env = "SKEP_WORKER_ROLE", .reload = true,
     .what = "What a child may ask of skep: write is on its own swarm, admin is everything."},
    {"max_children", NUMBER(0, 1000000), AT(max_children), .initial = "10000", .env = "SKEP_MAX_CHILDREN", .reload = true,
     .what = "Children that this node runs at once; 0: no limit."},

    {"labels", SETTING_LIST, "", AT(labels), .env = "SKEP_LABELS", .check = check_label, .reload = true,
     .what = "What swarms may ask of a node that serves them: zone=a."},
    {"weight", NUMBER(1, 10000), AT(weight), .initial = "100", .env = "SKEP_WEIGHT", .reload = true,
     .what = "How many processes are placed here, compared to other nodes: 200 gets twice as many as 100."},

    {"ping_ms", MS(50, 60000), AT(ping_ms), .initial = "1000", .env = "SKEP_PING_MS",
     .what = "Pause between two pings of a peer."},
    {"suspect_ms", MS(200, 600000), AT(suspect_ms), .initial = "5000", .env = "SKEP_SUSPECT_MS",
     .what = "Silence after which a peer is suspect; at least two pings long, the same on every node."},
    {"down_ms", MS(500, 3600000), AT(down_ms), .initial = "30000", .env = "SKEP_DOWN_MS",
     .what = "Silence after which a peer is down; longer than suspect_ms, the same on every node."},
    {"nodedown_batch_window_ms", MS(300, 2000), AT(nodedown_batch_window_ms), .initial = "500",
     .env = "SKEP_NODEDOWN_BATCH_WINDOW_MS",
     .what = "Time in which nodes that are proven dead are gathered into one event."},
    {"brake_ms", MS(0, 3600000), AT(brake_ms), .initial = "30000", .env = "SKEP_BRAKE_MS",
     .what = "How long silent nodes are spared when a large part of the cluster falls silent at once."},
    {"sync_ms", MS(50, 60000), AT(sync_ms), .initial = "500", .env = "SKEP_SYNC_MS",
     .what = "Pause between two pulls from a peer; news are poked at once."},
    {"compare_ms", MS(0, DAY_MS), AT(compare_ms), .initial = "60000", .env = "SKEP_COMPARE_MS",
     .what = "Pause between two comparisons of all rows with another node, their own check included; 0: never."},
    {"checkpoint_acks", NUMBER(0, 16), AT(checkpoint_acks), .initial = "1", .env = "SKEP_CHECKPOINT_ACKS", .reload = true,
     .what = "Other nodes that must have a checkpoint on disk before its ok, as far as they are alive."},
    {"handoff_ttl_ms", MS(1000, 30 * DAY_MS), AT(handoff_ttl_ms), .initial = "3600000", .env = "SKEP_HANDOFF_TTL_MS",
     .reload = true, .what = "How long a handed-over state waits for a process that restores it."},
    {"tombstone_min_ms", MS(1000, 30 * DAY_MS), AT(tombstone_min_ms), .initial = "600000",
     .env = "SKEP_TOMBSTONE_MIN_MS", .reload = true,
     .what = "Age from which the record of a deletion goes once every member has it."},
    {"tombstone_max_ms", MS(1000, 365 * DAY_MS), AT(tombstone_max_ms), .initial = "86400000",
     .env = "SKEP_TOMBSTONE_MAX_MS", .reload = true,
     .what = "Age at which it goes in any case; a node that was away for longer copies what others have."},
    {"events_keep_ms", MS(60000, 3650 * DAY_MS), AT(events_keep_ms), .initial = "604800000",
     .env = "SKEP_EVENTS_KEEP_MS", .reload = true, .what = "Age at which events, history and audit records go."},
    {"events_keep_rows", NUMBER(1000, 1000000000), AT(events_keep_rows), .initial = "1000000",
     .env = "SKEP_EVENTS_KEEP_ROWS", .reload = true, .what = "Number of these records beyond which the oldest go."},
    {"history_keep_rows", NUMBER(10, 1000000), AT(history_keep_rows), .initial = "100",
     .env = "SKEP_HISTORY_KEEP_ROWS", .reload = true,
     .what = "Of these, how many of one name are kept: a busy name takes none of the others' room."},

    {"connections_max", NUMBER(8, 1000000), AT(connections_max), .initial = "4096", .env = "SKEP_CONNECTIONS_MAX",
     .what = "Connections of clients and peers at once."},
    {"connections_address_max", NUMBER(1, 1000000), AT(connections_address_max), .initial = "1024",
     .env = "SKEP_CONNECTIONS_ADDRESS_MAX", .what = "Of these, from one address (of IPv6: its /64) to the TLS listener."},
    {"accepts_per_s", NUMBER(1, 100000), AT(accepts_per_s), .initial = "500", .env = "SKEP_ACCEPTS_PER_S",
     .what = "New connections a second on the TLS listener; more of them wait."},
    {"accepts_address_per_s", NUMBER(1, 100000), AT(accepts_address_per_s), .initial = "200",
     .env = "SKEP_ACCEPTS_ADDRESS_PER_S",
     .what = "Of these, from one address; more of them wait for up to a second, still more are closed."},
    {"header_bytes_max", BYTES(1024, MIB), AT(header_bytes_max), .initial = "32768", .env = "SKEP_HEADER_BYTES_MAX",
     .what = "Size of a request's line and headers."},
    {"body_bytes_max", BYTES(1024, 1024 * MIB), AT(body_bytes_max), .initial = "1048576", .env = "SKEP_BODY_BYTES_MAX",
     .reload = true, .what = "Size of a request's body."},
    {"body_large_bytes_max", BYTES(1024, 1024 * MIB), AT(body_large_bytes_max), .initial = "16777216",
     .env = "SKEP_BODY_LARGE_BYTES_MAX", .reload = true,
     .what = "Size of a body where more is to be expected: batches, entries, states, hand-offs."},
    {"head_ms", MS(100, 600000), AT(head_ms), .initial = "10000", .env = "SKEP_HEAD_MS",
     .what = "Time in which a TLS handshake, and each request's headers, must be complete."},
    {"idle_ms", MS(1000, DAY_MS), AT(idle_ms), .initial = "120000", .env = "SKEP_IDLE_MS",
     .what = "Silence after which a kept-alive connection is closed."},

    {"log_level", SETTING_WORD, "", .words = "debug info warn error", AT(log_level), .initial = "info",
     .env = "SKEP_LOG_LEVEL", .reload = true, .what = "The least that is logged."},
    {"log_dir", SETTING_PATH, "", AT(log_dir), .initial = "<dir>/logs", .env = "SKEP_LOG_DIR",
     .what = "Folder for what children write to standard output and error."},
    {"log_file_bytes", BYTES(4096, 1024 * MIB), AT(log_file_bytes), .initial = "10485760", .env = "SKEP_LOG_FILE_BYTES",
     .what = "Size at which a child's log file is rotated."},
    {"log_files", NUMBER(1, 100), AT(log_files), .initial = "5", .env = "SKEP_LOG_FILES",
     .what = "Log files kept for a child, the current one included."},

    {"client.addr", SETTING_TEXT, "", AT(client.addr), .initial = "<unix:// and socket>", .env = "SKEP_ADDR", .reload = true, .check = check_addr,
     .what = "Node that the command line talks to."},
    {"client.token", SETTING_TEXT, "", AT(client.token), .env = "SKEP_TOKEN", .reload = true, .secret = true,
     .what = "Bearer token that it shows."},
    {"client.token_file", SETTING_PATH, "", AT(client.token_file), .env = "SKEP_TOKEN_FILE", .reload = true,
     .what = "File to read that token from."},
    {"client.cacert", SETTING_PATH, "", AT(client.cacert), .initial = "<ca>", .env = "SKEP_CACERT", .reload = true,
     .what = "CA that the node's certificate must come from."},
    {"client.cert", SETTING_PATH, "", AT(client.cert), .env = "SKEP_CLIENT_CERT", .reload = true,
     .what = "Certificate that it shows instead of a token."},
    {"client.key", SETTING_PATH, "", AT(client.key), .env = "SKEP_CLIENT_KEY", .reload = true,
     .what = "Private key of that certificate."},
    {"client.format", SETTING_WORD, "", .words = "table json jsonl csv", AT(client.format), .initial = "table",
     .env = "SKEP_FORMAT", .reload = true, .what = "How it prints."},
};
/* clang-format on */

size_t setting_count(void)
{
    return COUNT(table);
}

const struct setting *setting_at(size_t i)
{
    ensure(i < COUNT(table), "there is no setting %zu", i);
    return &table[i];
}

int setting_find(const char *name)
{
    for (size_t i = 0; i < COUNT(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* --- the nearest name --------------------------------------------------------------------------------- */

#define NAME_MAX_BYTES 48

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein distance; names longer than the bound are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1], an = strlen(a), bn = strlen(b);
    if (an > NAME_MAX_BYTES || bn > NAME_MAX_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= bn; j++)
        row[j] = j;
    for (size_t i = 1; i <= an; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= bn; j++) {
            size_t above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[bn];
}

const char *setting_nearest(const char *name)
{
    const char *best = NULL;
    size_t best_far = strlen(name) / 3 + 2;
    bool in_client = text_starts(name, "client.");
    for (size_t i = 0; i < COUNT(table); i++) {
        size_t far = distance(name, table[i].name);
        if (text_starts(table[i].name, "client.") == in_client && far < best_far) {
            best = table[i].name;
            best_far = far;
        }
    }
    return best;
}

/* --- lists of texts ----------------------------------------------------------------------------------- */

void texts_add(struct texts *t, const char *text)
{
    t->v = mem_resize(t->v, t->n + 2, sizeof *t->v);
    t->v[t->n++] = mem_dup(text);
    t->v[t->n] = NULL;
}

void texts_fini(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->v[i]);
    free(t->v);
    *t = TEXTS_INIT;
}

void texts_copy(struct texts *to, const struct texts *from)
{
    struct texts copy = TEXTS_INIT;
    for (size_t i = 0; i < from->n; i++)
        texts_add(&copy, from->v[i]);
    texts_fini(to);
    *to = copy;
}

static bool texts_equal(const struct texts *a, const struct texts *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

void setting_split(const char *text, struct texts *ret)
{
    while (*text) {
        size_t n = strcspn(text, ",");
        const char *from = text, *to = text + n;
        while (from < to && *from == ' ')
            from++;
        while (to > from && to[-1] == ' ')
            to--;
        if (to > from) {
            AUTOFREE char *one = mem_copy(from, (size_t)(to - from));
            texts_add(ret, one);
        }
        text += n + (text[n] == ',');
    }
}

/* --- values ------------------------------------------------------------------------------------------- */

void setting_allowed(const struct setting *s, struct str *ret)
{
    switch (s->type) {
    case SETTING_TEXT:
    case SETTING_LIST:
        str_puts(ret, s->check ? s->check("") : "text without control characters");
        return;
    case SETTING_PATH:
        str_puts(ret, "a path");
        return;
    case SETTING_WORD:
        str_printf(ret, "one of: %s", s->words);
        return;
    case SETTING_INT:
        str_printf(ret, "a whole number%s%s from %lld to %lld", s->unit[0] ? " of " : "", s->unit,
                   (long long)s->min, (long long)s->max);
        return;
    case SETTING_BOOL:
        str_puts(ret, "true or false");
        return;
    }
}

/* What was given, as a message may quote it. */
static const char *quotable(const char *given)
{
    size_t n = strlen(given);
    return n > 100 ? "(a long text)" : text_is_clean(given, n) ? given : "(bytes that are no text)";
}

static int refuse(const struct setting *s, const char *given, struct err *e)
{
    AUTOSTR struct str allowed = STR_INIT;
    setting_allowed(s, &allowed);
    return err_field(e, SKEP_ECONFIG, s->name, "%s: \"%s\" is not allowed; allowed is %s", s->name,
                     s->secret ? "(secret)" : quotable(given), str_get(&allowed));
}

static bool is_word(const char *words, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = words; *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, text, n) == 0)
            return true;
        p += len;
    }
    return false;
}

static bool text_good(const struct setting *s, const char *text)
{
    return text_is_clean(text, strlen(text)) && (!s->check || !s->check(text));
}

static int parse_text(const struct setting *s, const char *text, const char *base_dir, char **at,
                      struct err *e)
{
    bool good = s->type == SETTING_WORD ? is_word(s->words, text) : text_good(s, text);
    if (!text[0] && s->type != SETTING_WORD && !s->initial) { /* given as empty: none, as by default */
        mem_replace(at, NULL);
        return 0;
    }
    if (!good || !text[0])
        return refuse(s, text, e);
    if (s->type == SETTING_PATH && strcmp(text, ".") == 0) {
        mem_replace(at, base_dir);
        return 0;
    }
    if (s->type == SETTING_PATH && text[0] != '/') {
        free(*at);
        *at = mem_printf("%s%s%s", base_dir, strcmp(base_dir, "/") == 0 ? "" : "/",
                         text_starts(text, "./") ? text + 2 : text);
        return 0;
    }
    mem_replace(at, text);
    return 0;
}

static int parse_list(const struct setting *s, const struct texts *given, struct texts *at, struct err *e)
{
    for (size_t i = 0; i < given->n; i++)
        if (!text_good(s, given->v[i]))
            return refuse(s, given->v[i], e);
    texts_copy(at, given);
    return 0;
}

static int parse_bool(const struct setting *s, const char *text, bool *at, struct err *e)
{
    bool yes = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0;
    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "no") != 0 && strcmp(text, "off") != 0)
        return refuse(s, text, e);
    *at = yes;
    return 0;
}

int setting_parse(const struct setting *s, const struct texts *given, const char *base_dir, void *config,
                  struct err *e)
{
    void *at = (char *)config + s->offset;
    if (s->type == SETTING_LIST)
        return parse_list(s, given, at, e);
    ensure(given->n == 1, "%s got %zu values", s->name, given->n);
    switch (s->type) {
    case SETTING_TEXT:
    case SETTING_PATH:
    case SETTING_WORD:
        return parse_text(s, given->v[0], base_dir, at, e);
    case SETTING_INT:
        return text_i64(given->v[0], s->min, s->max, at) ? 0 : refuse(s, given->v[0], e);
    case SETTING_BOOL:
        return parse_bool(s, given->v[0], at, e);
    case SETTING_LIST:
        break;
    }
    unreachable("%s has no type", s->name);
}

void setting_text(const struct setting *s, const void *config, struct str *ret)
{
    const void *at = (const char *)config + s->offset;
    const struct texts *list = at;
    const char *text;
    switch (s->type) {
    case SETTING_TEXT:
    case SETTING_PATH:
    case SETTING_WORD:
        text = *(char *const *)at;
        str_puts(ret, text ? text : "");
        return;
    case SETTING_LIST:
        for (size_t i = 0; i < list->n; i++)
            str_printf(ret, "%s%s", i ? ", " : "", list->v[i]);
        return;
    case SETTING_INT:
        str_printf(ret, "%lld", (long long)*(const int64_t *)at);
        return;
    case SETTING_BOOL:
        str_puts(ret, *(const bool *)at ? "true" : "false");
        return;
    }
}

bool setting_equal(const struct setting *s, const void *a, const void *b)
{
    if (s->type == SETTING_LIST)
        return texts_equal((const void *)((const char *)a + s->offset),
                           (const void *)((const char *)b + s->offset));
    AUTOSTR struct str x = STR_INIT;
    AUTOSTR struct str y = STR_INIT;
    setting_text(s, a, &x);
    setting_text(s, b, &y);
    return strcmp(str_get(&x), str_get(&y)) == 0;
}

void setting_copy(const struct setting *s, void *to, const void *from)
{
    void *dst = (char *)to + s->offset;
    const void *src = (const char *)from + s->offset;
    switch (s->type) {
    case SETTING_TEXT:
    case SETTING_PATH:
    case SETTING_WORD:
        mem_replace(dst, *(char *const *)src);
        return;
    case SETTING_LIST:
        texts_copy(dst, src);
        return;
    case SETTING_INT:
        *(int64_t *)dst = *(const int64_t *)src;
        return;
    case SETTING_BOOL:
        *(bool *)dst = *(const bool *)src;
        return;
    }
}

void setting_fini(const struct setting *s, void *config)
{
    void *at = (char *)config + s->offset;
    if (s->type == SETTING_LIST)
        texts_fini(at);
    else if (s->type == SETTING_TEXT || s->type == SETTING_PATH || s->type == SETTING_WORD)
        mem_replace(at, NULL);
}
