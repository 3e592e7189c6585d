/* skep join: a node for a cluster that exists. The join token names the cluster's CA, so nothing else has to
 * be trusted: not the network, not a file brought along.
 *
 *   1. take the certificates that the node at URL shows; one must be the CA that the token names
 *   2. connect again, now checked against that CA, and send the token with a request for a certificate
 *   3. keep what came back: certificate, CA, peers; make the database
 */
#include <string.h>

#include "node/token.h"
#include "real/pki.h"
#include "skep/cli.h"
#include "skep/folder.h"
#include "skep/options.h"

static const char pem_end[] = "-----END CERTIFICATE-----";

/* The certificate with this fingerprint in a chain of PEM texts; yours, NULL if it is not there. */
static char *find_ca(const char *chain, const char *ca_hex)
{
    for (const char *p = chain, *end; (end = strstr(p, pem_end)); p = end + strlen(pem_end)) {
        char *pem AUTOFREE = mem_printf("%.*s%s\n", (int)(end - p), p, pem_end), hex[PKI_FINGERPRINT];
        if (pki_fingerprint_pem(pem, hex, NULL) == 0 && strcmp(hex, ca_hex) == 0)
            return TAKE(pem);
    }
    return NULL;
}

/* Step 1. */
static int fetch_ca(const char *url, const char *ca_hex, char **ret_pem, struct err *e)
{
    struct http_target t = {.addr = mem_dup(url)};
    struct http *h = NULL;
    char *chain AUTOFREE = NULL;
    int rc = http_new(&t, &h, e);
    if (rc == 0)
        rc = http_chain(h, &chain, e);
    http_free(h);
    if (rc)
        return rc;
    char *pem = find_ca(chain, ca_hex);
    if (!pem)
        return err_set(e, SKEP_EFORBIDDEN,
                       "%s is not of the cluster that made this token: no certificate it shows has the "
                       "fingerprint %.16s…; nothing was sent",
                       url, ca_hex);
    *ret_pem = pem;
    return 0;
}

static char *enrol_body(const struct folder *f, const char *token, const char *csr)
{
    struct str s = STR_INIT;
    char id[ID_TEXT];
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "token", token);
    jw_kv_string(&j, "csr", csr);
    jw_kv_string(&j, "node", id_text(&f->node, id));
    jw_kv_string(&j, "name", f->name);
    jw_kv_string(&j, "url", f->advertise);
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

/* Step 2. */
static int enrol(const struct folder *f, const char *url, const char *token, const char *ca_pem,
                 struct http_answer *ret_a, struct err *e)
{
    struct http_target t = {.addr = mem_dup(url), .ca_pem = mem_dup(ca_pem)};
    struct http *h = NULL;
    char *csr AUTOFREE = NULL;
    int rc = http_new(&t, &h, e);
    if (rc == 0)
        rc = folder_csr(f, &csr, e);
    if (rc == 0) {
        char *body AUTOFREE = enrol_body(f, token, csr);
        rc = http_call(h, "POST", "/v1/enrol", body, ret_a, e);
    }
    http_free(h);
    return rc;
}

struct joined {
    char *cert, *ca, *cluster;
    struct json_strings peers;
};

static int read_answer(const struct http_answer *a, struct joined *ret, struct err *e)
{
    struct span doc = {a->body, a->body_n}, item;
    int rc = json_check(a->body, a->body_n, e);
    if (rc)
        return err_wrap(e, "the answer to the enrolment");
    *ret = (struct joined){
        .cert = text_at(doc, "cert"), .ca = text_at(doc, "ca"), .cluster = text_at(doc, "cluster")};
    struct span peers = json_raw_member(doc.p, doc.n, "peers");
    struct json_iter it = json_iter_init(peers);
    while (peers.p && json_iter_next(&it, NULL, &item)) {
        ret->peers.list = mem_resize(ret->peers.list, ret->peers.n + 2, sizeof *ret->peers.list);
        ret->peers.list[ret->peers.n++] = text_at(item, "");
        ret->peers.list[ret->peers.n] = NULL;
    }
    return 0;
}

static void joined_fini(struct joined *j)
{
    free(j->cert);
    free(j->ca);
    free(j->cluster);
    json_strings_fini(&j->peers);
}

/* Step 3. The CA that is kept is one that holds the certificate we checked. */
static int keep(struct folder *f, const char *url, const char *ca_hex, const char *ca_pem,
                const struct joined *j, struct err *e)
{
    char *crt AUTOFREE = folder_path(f->dir, "node.crt"), *ca AUTOFREE = folder_path(f->dir, "ca.crt");
    char *known AUTOFREE = find_ca(j->ca, ca_hex);
    char *const only[] = {(char *)url};
    if (!id_parse(j->cluster, &f->cluster))
        return err_set(e, SKEP_EINTERNAL, "the answer to the enrolment names no cluster");
    f->peers = j->peers.n ? j->peers.list : only;
    f->peers_n = j->peers.n ? j->peers.n : 1;
    int rc = pki_install(ca, known ? j->ca : ca_pem, e);
    if (rc == 0)
        rc = pki_install(crt, j->cert, e);
    if (rc == 0)
        rc = folder_pki_check(f, e);
    if (rc == 0)
        rc = folder_conf(f, e);
    return rc ? rc : folder_store(f, false, NULL, e);
}

static int join(struct folder *f, const char *url, const char *token, struct err *e)
{
    char ca_hex[TOKEN_HEX], *ca_pem AUTOFREE = NULL;
    struct http_answer a = {0};
    struct joined j CLEANUP(joined_fini) = {0};
    int rc = token_ca(token, ca_hex, e);
    if (rc == 0)
        rc = folder_make(f->dir, e);
    if (rc == 0)
        rc = fetch_ca(url, ca_hex, &ca_pem, e);
    if (rc == 0)
        rc = enrol(f, url, token, ca_pem, &a, e);
    if (rc == 0)
        rc = read_answer(&a, &j, e);
    if (rc == 0)
        rc = keep(f, url, ca_hex, ca_pem, &j, e);
    http_answer_fini(&a);
    return rc;
}

static void tell(const struct cli *c, const struct folder *f)
{
    char cluster[ID_TEXT], node[ID_TEXT], *conf AUTOFREE = folder_path(f->dir, "skep.conf");
    struct str s AUTOSTR = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "cluster", id_text(&f->cluster, cluster));
    jw_kv_string(&j, "node", f->name);
    jw_kv_string(&j, "id", id_text(&f->node, node));
    jw_kv_string(&j, "url", f->advertise);
    jw_kv_string(&j, "conf", conf);
    jw_object_close(&j);
    jw_end(&j);
    cli_print_told(c, (struct span){s.p, s.n},
                   "node {node} of cluster {cluster}, reached at {url}\n"
                   "\n"
                   "Allow what it may run in {conf} (allow_exec), then start it:\n"
                   "  skepd --config {conf}");
}

static int run(struct cli *c, struct err *e)
{
    const char *dir = args_text(&c->args, "dir"), *name = args_text(&c->args, "name");
    const char *listen = args_text(&c->args, "listen"), *advertise = args_text(&c->args, "advertise");
    listen = listen ? listen : LISTEN_DEFAULT;
    char *absolute AUTOFREE = folder_absolute(dir ? dir : c->config.dir), *token AUTOFREE = NULL;
    char *reached AUTOFREE = advertise ? mem_dup(advertise) : folder_advertise(listen);
    struct folder f = {
        .dir = absolute, .name = name ? name : c->config.node, .listen = listen, .advertise = reached};
    int rc = folder_check(&f, e);
    if (rc == 0)
        rc = cli_token(c, &token, e);
    if (rc == 0 && !token)
        rc = err_set(
            e, SKEP_EUSAGE,
            "a join token is needed: \"skep token create --role join %s\" at a member prints one; give it "
            "with --token, --token-file or SKEP_TOKEN",
            f.name);
    if (rc)
        return rc;
    folder_id(&f.node);
    rc = join(&f, args_word(&c->args, 0), token, e);
    if (rc == 0)
        tell(c, &f);
    return rc;
}

static const struct verb_option options[] = {
    {.name = "dir",
     .letter = 'd',
     .kind = OPT_TEXT,
     .value = "D",
     .help = "its folder; /var/lib/skep if not said",
     .complete = COMPLETE_FOLDER},
    {.name = "name", .kind = OPT_TEXT, .value = "N", .help = "its readable name; the host's if not said"},
    {.name = "listen",
     .kind = OPT_TEXT,
     .value = "H:P",
     .help = "where it listens; " LISTEN_DEFAULT " if not said"},
    {.name = "advertise",
     .kind = OPT_TEXT,
     .value = "URL",
     .help = "where others reach it: https://host:port"},
    OPTION_END,
};

const struct verb verb_join = {
    .name = "join",
    .args = "URL",
    .help = "Make a node of an existing cluster, let in by a join token.",
    .more = "URL is that of any node that holds the CA's key. The token is given with --token, --token-file "
            "or SKEP_TOKEN.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
