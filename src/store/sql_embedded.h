/* The SQL of schema/ and migrations/, embedded at build. Migration i (from 0) leads to user_version i + 1. */
#ifndef SKEP_STORE_SQL_EMBEDDED_H
#define SKEP_STORE_SQL_EMBEDDED_H

struct sql_migration {
    const char *name; /* file name */
    const char *sql;
};

extern const char *const sql_schema;
extern const struct sql_migration sql_migrations[];
extern const int sql_migrations_n;

#endif
