/* raw: the yardsticks of the disk. SQLite by itself writing the rows that skep wrote, fdatasync, and numbers
 * asked of a node's database while it runs.
 */
#ifndef SKEP_BENCH_RAW_H
#define SKEP_BENCH_RAW_H

#include <stdint.h>

#include "base/err.h"

struct raw;

/* A new database below dir, made by the real migrations, with skep's own pragmas. The rows are those that
 * stand in `like` (a node's database with one registered name at least), under new names. */
int raw_new(const char *dir, const char *like, struct raw **ret, struct err *e);
void raw_free(struct raw *r);
/* Operations per second for so long, `batch` of them a commit; `series` names rise side by side. */
int raw_run(struct raw *r, int batch, int series, int64_t ms, double *ret_per_second, int64_t *ret_n,
            struct err *e);

/* Milliseconds of one fdatasync after a write of 4 KiB: the median of n. */
double raw_fdatasync_ms(const char *dir, int n);

/* One number of a database, read-only; -1 when it cannot be had. */
int64_t raw_ask(const char *db, const char *sql);

/* The same, asked again and again at little cost. */
struct watch;
struct watch *watch_new(const char *db, const char *sql);
int64_t watch_get(struct watch *w);
void watch_free(struct watch *w);

#endif
