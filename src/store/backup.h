/* backup: a copy of what the cluster has, and a node's database made of one.
 *
 * A backup holds every replicated row, alive or dead, the version table and both vectors, what lies aside and
 * in quarantine; and nothing of what makes a node that node: no id, no name, no membership, no log. It says
 * when, of whom and by which version it was taken, and is one file without a WAL.
 */
#ifndef SKEP_STORE_BACKUP_H
#define SKEP_STORE_BACKUP_H

#include "store/store.h"

/* What a database of skep says of itself. Texts are owned; NULL where it says nothing. */
struct backup_facts {
    char *cluster, *of, *at, *version; /* of: the node's name; the last three of a backup only */
    bool whole;                        /* the rows were compared with their hashes, too */
    int64_t rows, dead;
    char digest[33]; /* as store_digest */
};

void backup_facts_fini(struct backup_facts *f);

/* Copies the database at path, which others may write meanwhile, to a new file at `to`. version: of this
 * program. go_on (may be NULL) is asked every MiB; false gives up with SKEP_ETIMEOUT. SKEP_EARG: there is
 * something at `to`. */
int store_backup(const char *path, const char *to, const char *version, const struct world_clock *clock,
                 bool (*go_on)(void *self), void *self, struct err *e);

/* Checks a backup that nobody writes: the file's structure, and, unless its schema is older than this
 * program's, that each row is there and is what its version says. SKEP_EDAMAGED, SKEP_EFOREIGN, SKEP_ENEWER;
 * SKEP_EARG: it is a node's database and no backup. */
int store_backup_check(const char *path, struct backup_facts *ret, struct err *e);

/* Makes the database of a node of the backup that was copied to `copy`, in place: it gets this program's
 * schema and the identity that the database at `fresh` has, which was made by store_create and never ran. The
 * copy may then take its place. SKEP_EARG: that one has run, or belongs to another cluster and did not found
 * it. */
int store_restore(const char *copy, const char *fresh, struct err *e);

#endif
