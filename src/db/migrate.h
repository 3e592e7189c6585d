/* migrate: bringing a database to the schema of this program, and telling whether it has it.
 *
 * user_version is the number of migrations that a database has had. Migrations are never edited and
 * never undone.
 */
#ifndef SKEP_DB_MIGRATE_H
#define SKEP_DB_MIGRATE_H

#include "base/str.h"
#include "db/db.h"

struct db_migration {
    const char *name; /* for messages */
    const char *sql;  /* any number of statements; no transaction commands */
};

/* Runs what is missing, each in a transaction of its own that also moves user_version. Migration i (from
 * 0) leads to user_version i + 1. SKEP_ENEWER when the file has had more than n, SKEP_EFOREIGN when its
 * application_id is not the one given to db_open. */
int db_migrate(struct db *db, const struct db_migration *list, int n, struct err *e);

/* Compares tables, indexes, views and triggers with what schema_sql would make, apart from case, white
 * space, comments and needless quotes. 0: the same; 1: they differ, one line each in ret_difference; 2: a
 * table or index is missing or another one; < 0: could not be told, the reason in ret_difference. schema_sql
 * that does not run is a bug. */
int db_schema_differs(struct db *db, const char *schema_sql, struct str *ret_difference);

#endif
