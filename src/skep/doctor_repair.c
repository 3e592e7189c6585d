/* A new database under the same identity, with every row that can be read and that is what its hash says, in
 * place of the damaged one, which stays beside it. Who the node is, its certificates say, for the file may
 * not.
 */
#include "skep/doctor_repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "real/identity.h"
#include "real/machine.h"
#include "real/pki.h"
#include "skep/folder.h"
#include "store/salvage.h"

static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

static void remove_all(const char *path)
{
    for (size_t i = 0; i < COUNT(ends); i++) {
        char *file AUTOFREE = mem_printf("%s%s", path, ends[i]);
        unlink(file);
    }
}

/* With what belongs to it, so that it can be looked at later. */
static int move_all(const char *from, const char *to, struct err *e)
{
    for (size_t i = COUNT(ends); i-- > 0;) {
        char *file AUTOFREE = mem_printf("%s%s", from, ends[i]),
                   *at AUTOFREE = mem_printf("%s%s", to, ends[i]);
        if (rename(file, at) != 0 && errno != ENOENT)
            return err_set(e, SKEP_EIO, "%s: %s", file, strerror(errno));
    }
    return 0;
}

struct who {
    struct id cluster, node;
    struct config config; /* of the folder: its node's name */
};

static int who_is_it(const char *dir, struct who *ret, struct err *e)
{
    struct id any = {0};
    char *ca AUTOFREE = folder_path(dir, "ca.crt"), *crt AUTOFREE = folder_path(dir, "node.crt");
    char *key AUTOFREE = folder_path(dir, "node.key"), *conf AUTOFREE = folder_path(dir, "skep.conf");
    char *no_env[] = {NULL};
    int rc = pki_cluster(ca, &ret->cluster, e);
    if (rc == 0)
        rc = pki_check(ca, crt, key, &any, machine_real_ms(), &ret->node, e);
    return rc ? rc : config_load(&ret->config, conf, no_env, NULL, 0, e);
}

static void who_fini(struct who *w)
{
    config_fini(&w->config);
}

static int replace(const char *dir, const char *db, const char *fresh, char **ret_kept, struct err *e)
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    char *kept AUTOFREE = mem_printf("%s.damaged-%s", db, when);
    int rc = move_all(db, kept, e);
    if (rc == 0 && rename(fresh, db) != 0)
        rc = err_set(e, SKEP_EIO, "%s: %s", db, strerror(errno));
    int fd = rc == 0 ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    *ret_kept = TAKE(kept);
    return rc;
}

static void tell(const struct cli *c, const struct salvage *s, const char *kept, const char *damage)
{
    struct str text AUTOSTR = STR_INIT;
    struct jw j = jw_init(&text);
    jw_object(&j);
    jw_kv_string(&j, "damage", damage);
    jw_kv_bool(&j, "readable", s->readable);
    jw_kv_i64(&j, "rows", s->rows);
    jw_kv_i64(&j, "tombstones", s->dead);
    jw_kv_i64(&j, "lost", s->lost);
    jw_kv_bool(&j, "alone", s->alone);
    jw_kv_string(&j, "kept", kept);
    jw_object_close(&j);
    jw_end(&j);
    cli_print_told(
        c, (struct span){text.p, text.n},
        s->alone ? "{damage}\n{rows} rows were put back, {lost} could not be; the damaged file is {kept}.\n"
                   "The node knew no other one to ask for what is lost."
                 : "{damage}\n{rows} rows were put back, {lost} could not be; the damaged file is {kept}.\n"
                   "Start the node: it copies what is missing from its peers before it serves.");
}

static int mend(const struct cli *c, const char *dir, struct err *e)
{
    char *db AUTOFREE = folder_path(dir, "skep.db"), *fresh AUTOFREE = folder_path(dir, "skep.db.repair");
    char *work AUTOFREE = folder_path(dir, "skep.db.salvage"), *kept AUTOFREE = NULL;
    struct who w CLEANUP(who_fini) = {.config = CONFIG_INIT};
    struct err damage = {0};
    struct salvage s;
    int rc = store_sound(db, &damage);
    if (rc == 0) {
        cli_print_told(c, span_of("{\"damage\":null}"), "the database is sound; nothing was done");
        return 0;
    }
    if (rc != SKEP_EDAMAGED)
        return err_set(e, rc, "%s", damage.text);
    remove_all(fresh);
    remove_all(work);
    rc = who_is_it(dir, &w, e);
    if (rc == 0)
        rc = store_salvage(db, work, fresh, &w.cluster, &w.node, w.config.node, &machine_clock, &s, e);
    if (rc == 0)
        rc = replace(dir, db, fresh, &kept, e);
    remove_all(work);
    if (rc)
        remove_all(fresh);
    else
        tell(c, &s, kept, damage.text);
    return rc;
}

int doctor_repair(struct cli *c, struct err *e)
{
    struct identity_lock lock = IDENTITY_LOCK_INIT;
    char *dir AUTOFREE = folder_absolute(args_text(&c->args, "repair"));
    int rc = identity_lock(dir, &lock, e);
    if (rc == 0)
        rc = mend(c, dir, e);
    identity_unlock(&lock);
    return rc;
}
