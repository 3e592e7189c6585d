/* skep cert: how long the certificates on this machine last. */
#include <string.h>
#include <time.h>

#include "base/when.h"
#include "real/pki.h"
#include "skep/folder.h"
#include "skep/options.h"
#include "skep/place.h"

static int show_one(struct print *p, const char *path, struct err *e)
{
    int64_t expires_ms;
    char hex[PKI_FINGERPRINT], when[WHEN_TEXT];
    int rc = pki_expiry(path, &expires_ms, e);
    if (rc == 0)
        rc = pki_fingerprint(path, hex, e);
    if (rc)
        return rc;
    struct str line AUTOSTR = STR_INIT;
    struct jw j = jw_init(&line);
    bool over = expires_ms < (int64_t)time(NULL) * 1000;
    jw_object(&j);
    jw_kv_string(&j, "file", path);
    jw_kv_string(&j, "status", over ? "expired" : "valid");
    jw_kv_string(&j, "expires_at", when_text(expires_ms, when));
    jw_kv_string(&j, "left", when);
    jw_kv_string(&j, "sha256", hex);
    jw_object_close(&j);
    jw_end(&j);
    print_item(p, (struct span){line.p, line.n});
    return 0;
}

static int run_show(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"FILE", "file", CELL_TEXT}, {"STATUS", "status", CELL_STATUS}, {"EXPIRES", "expires_at", CELL_TEXT},
        {"LEFT", "left", CELL_TIME}, {"SHA-256", "sha256", CELL_LONG},  {NULL, NULL, CELL_TEXT},
    };
    char *dir AUTOFREE = NULL;
    size_t n = c->args.words_n;
    int rc = n ? 0 : place_dir(c, &dir, e);
    if (rc)
        return rc;
    char *own AUTOFREE = n ? NULL : folder_path(dir, "node.crt"),
              *ca AUTOFREE = n ? NULL : folder_path(dir, "ca.crt");
    const char *defaults[] = {own, ca}, *const *files = n ? c->args.word : defaults;
    struct print *p = print_new(&c->style, columns);
    for (size_t i = 0; i < (n ? n : 2) && rc == 0; i++)
        rc = show_one(p, files[i], e);
    print_end(p);
    return rc;
}

static const struct verb_option show_options[] = {
    {.name = "node",
     .kind = OPT_TEXT,
     .value = "N",
     .help = "a node of the last \"skep dev\"",
     .complete = COMPLETE_NODE},
    OPTION_END,
};
static const struct verb show_verb = {
    .name = "show",
    .args = "[FILE…]",
    .help = "Show how long certificates last; this node's, if none is named.",
    .options = show_options,
    .args_max = -1,
    .complete = COMPLETE_FILE,
    .run = run_show,
};
static const struct verb *const subs[] = {&show_verb, NULL};

const struct verb verb_cert = {
    .name = "cert",
    .help = "Show how long certificates last.",
    .subs = subs,
};
