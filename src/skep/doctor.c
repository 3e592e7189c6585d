/* skep doctor: what is wrong, from what a node says and from the files that this user may read. It opens no
 * database: whoever opens and closes another descriptor on one drops its locks.
 */
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/when.h"
#include "db/db.h"
#include "real/pki.h"
#include "skep/doctor.h"
#include "skep/doctor_held.h"
#include "skep/doctor_repair.h"
#include "skep/folder.h"
#include "skep/options.h"
#include "skep/place.h"

#define EXPIRY_WARN_MS (INT64_C(30) * 86400000)

void doctor_finding(struct doctor *d, enum verdict verdict, const char *check, const char *fmt, ...)
{
    static const char *const words[] = {[GOOD] = "ok", [WARN] = "warning", [BAD] = "failed"};
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct str line AUTOSTR = STR_INIT;
    struct jw j = jw_init(&line);
    jw_object(&j);
    jw_kv_string(&j, "check", check);
    jw_kv_string(&j, "status", words[verdict]);
    jw_kv_string(&j, "detail", text);
    jw_object_close(&j);
    jw_end(&j);
    print_item(d->print, (struct span){line.p, line.n});
    d->bad += verdict == BAD;
}

#define CLOCK_OFF_MS 250 /* from here on a node decides nothing */

static void check_clock(struct doctor *d, struct span node, const char *name)
{
    int64_t off_ms;
    struct span raw = json_raw_member(node.p, node.n, "clock_off_ms");
    if (raw.p && json_int(raw, &off_ms) && llabs(off_ms) > CLOCK_OFF_MS)
        doctor_finding(d, WARN, "clock",
                       "the clock of %s is off by %+.1f s; set it right (timedatectl, chronyc tracking)",
                       name, (double)off_ms / 1000);
}

static void check_nodes(struct doctor *d, struct cli *c)
{
    struct http_answer a = {0};
    struct err why = {0};
    struct span item;
    if (cli_call_json(c, "GET", "/v1/nodes?limit=1000", NULL, &a, &why)) {
        doctor_finding(d, BAD, "nodes", "%s", why.text);
        http_answer_fini(&a);
        return;
    }
    struct span list = json_raw_member(a.body, a.body_n, "nodes");
    struct json_iter it = json_iter_init(list);
    while (list.p && json_iter_next(&it, NULL, &item)) {
        char *name AUTOFREE = text_at(item, "name"), *status AUTOFREE = text_at(item, "status");
        check_clock(d, item, name);
        enum verdict v = strcmp(status, "healthy") == 0 || strcmp(status, "left") == 0 ? GOOD
                         : strcmp(status, "down") == 0                                 ? BAD
                                                                                       : WARN;
        doctor_finding(d, v, "node", "%s is %s", name, status);
    }
    http_answer_fini(&a);
}

static void check_cluster(struct doctor *d, struct cli *c)
{
    struct http_answer a = {0};
    struct err why = {0};
    if (cli_call_json(c, "GET", "/v1/cluster", NULL, &a, &why)) {
        doctor_finding(d, BAD, "cluster", "%s", why.text);
        http_answer_fini(&a);
        return;
    }
    struct span doc = {a.body, a.body_n};
    char *id AUTOFREE = text_at(doc, "id"), *cut AUTOFREE = text_at(doc, "partitioned");
    char *locked AUTOFREE = text_at(doc, "locked"), *pending AUTOFREE = text_at(doc, "pending");
    doctor_finding(d, GOOD, "cluster", "%s answers for cluster %s", http_addr(c->http), id);
    bool is_cut = strcmp(cut, "true") == 0, is_locked = strcmp(locked, "true") == 0;
    doctor_finding(d, is_cut ? BAD : GOOD, "partition",
                   is_cut ? "this side has no quorum and starts nothing" : "none");
    if (is_locked)
        doctor_finding(d, WARN, "lock", "a swarm is locked until its nodes agree again");
    if (*pending && strcmp(pending, "0") != 0 && strcmp(pending, "[]") != 0)
        doctor_finding(d, WARN, "pending", "%s", pending);
    http_answer_fini(&a);
    check_nodes(d, c);
}

static void check_certificate(struct doctor *d, const char *dir, const char *file)
{
    char *path AUTOFREE = folder_path(dir, file), when[WHEN_TEXT];
    int64_t expires_ms, left;
    struct err why = {0};
    if (pki_expiry(path, &expires_ms, &why)) {
        doctor_finding(d, BAD, "certificate", "%s", why.text);
        return;
    }
    left = expires_ms - (int64_t)time(NULL) * 1000;
    doctor_finding(d,
                   left < 0                ? BAD
                   : left < EXPIRY_WARN_MS ? WARN
                                           : GOOD,
                   "certificate", "%s %s %s", path, left < 0 ? "expired at" : "is valid until",
                   when_text(expires_ms, when));
}

/* --node is also who is asked: incidents and quarantine are each node's own. */
static int ask_named(struct cli *c, struct err *e)
{
    char *dir AUTOFREE = NULL;
    int rc = args_text(&c->args, "node") ? place_dir(c, &dir, e) : 0;
    if (!dir)
        return rc;
    free(c->config.client.addr);
    c->config.client.addr = mem_printf("unix://%s/skep.sock", dir);
    c->config.origin[setting_find("client.addr")].layer = CONFIG_IN_FLAG;
    return 0;
}

static int run(struct cli *c, struct err *e)
{
    if (args_text(&c->args, "repair"))
        return doctor_repair(c, e);
    int rc = ask_named(c, e);
    if (rc)
        return rc;
    if (doctor_held_asked(c))
        return doctor_held(c, e);
    static const struct column columns[] = {{"CHECK", "check", CELL_TEXT},
                                            {"STATUS", "status", CELL_STATUS},
                                            {"DETAIL", "detail", CELL_LONG},
                                            {NULL, NULL, CELL_TEXT}};
    struct doctor d = {.print = print_new(&c->style, columns)};
    char *dir AUTOFREE = NULL;
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    doctor_finding(&d, GOOD, "program", "skep %s, libcurl %s, %s", SKEP_VERSION, curl->version,
                   curl->ssl_version);
    doctor_finding(&d, GOOD, "wal",
                   "SQLite %s: only skepd checkpoints; a shell may read, its checkpoint gets \"busy\"",
                   db_library_version());
    check_cluster(&d, c);
    if (place_dir(c, &dir, NULL) == 0) {
        check_certificate(&d, dir, "node.crt");
        check_certificate(&d, dir, "ca.crt");
    }
    doctor_rows(&d, c);
    doctor_incidents(&d, c);
    print_end(d.print);
    return d.bad ? err_set(e, SKEP_EINTERNAL, "%s", "") : 0;
}

static const struct verb_option options[] = {
    {.name = "node",
     .kind = OPT_TEXT,
     .value = "N",
     .help = "a node of the last \"skep dev\"",
     .complete = COMPLETE_NODE},
    DOCTOR_HELD_OPTIONS,
    DOCTOR_REPAIR_OPTION,
    OPTION_END,
};

const struct verb verb_doctor = {
    .name = "doctor",
    .args = "",
    .help =
        "Look for what is wrong with a node and its cluster, and prove that all nodes hold the same rows.",
    .options = options,
    .run = run,
};
