/* store: rows <-> structs. The only floor that speaks SQL of skep's tables.
 *
 * Every replicated row is written through store_save or store_kill, which stamp it, or through store_merge,
 * which decides by the one comparison (core/dot.h). Nothing else changes a replicated table, so "change"
 * always describes them.
 *
 * Invariants
 *  1. A replicated table, or "aside" in its place, has a row for a key exactly if "change" has one for it
 * with dead = 0.
 *  2. (actor, hlc) is unique: each local write gets a stamp of its own, above every stamp seen so far.
 *  3. A local write exceeds what it replaces.
 *
 * All functions run inside the caller's transaction and return 0 or a code (< 0) of base/err.h, unless said
 * otherwise. Not thread safe: one store a thread.
 */
#ifndef SKEP_STORE_STORE_H
#define SKEP_STORE_STORE_H

#include "base/id.h"
#include "core/dot.h"
#include "core/vv.h"
#include "db/db.h"
#include "store/query.h"
#include "store/table.h"
#include "world/clock.h"

#define STORE_APPLICATION_ID 0x736b6570 /* "skep" */
#define STORE_PAGE_ROWS      256
#define STORE_PAGE_BYTES     (256 * 1024)

struct store;

struct store_options {
    const char *path;
    const char *vfs;
    bool exclusive, readonly;
    int read_limit_ms;
    const struct world_clock *clock; /* borrowed; must outlive the store */
};

/* Makes the database of a new node; fails if there is one. admin_token_hash: of a first token of role admin,
 * or NULL. member: the node of `skep init` is born one. */
int store_create(const char *path, const struct id *cluster, const struct id *node, const char *node_name,
                 bool member, const char *admin_token_hash, struct err *e);
/* The same through another VFS. */
int store_create_in(const struct store_options *o, const struct id *cluster, const struct id *node,
                    const char *node_name, bool member, const char *admin_token_hash, struct err *e);

/* Opens and, for the writer, migrates. SKEP_ENEWER, SKEP_EFOREIGN, SKEP_EDAMAGED and SKEP_ENOTFOUND say what
 * is wrong with the file. */
int store_open(struct store **ret, const struct store_options *o, struct err *e);
/* What somebody added to the schema, or NULL. Borrowed. */
const char *store_notice(const struct store *s);
/* Checks the i-th table and its indexes, outside any transaction. 1: ask for the next; 0: there is none;
 * SKEP_EDAMAGED with the first complaint. */
int store_check_slice(struct store *s, size_t i, struct err *e);
void store_close(struct store *s);
struct db *store_db(struct store *s);
/* Version of the database's schema: how many migrations it has seen. */
int64_t store_schema(struct store *s);

/* meta. The value is yours; NULL if there is none. */
char *store_meta(struct store *s, const char *key);
int store_meta_set(struct store *s, const char *key, const char *value, struct err *e);

/* The run that stamps: called once, with a fresh random actor, before the first write. */
void store_run(struct store *s, int64_t actor);
int64_t store_actor(const struct store *s);
/* The newest stamp given or seen. */
int64_t store_hlc(const struct store *s);
/* A stamp of now, above all others, for what is not a row. */
int64_t store_stamp(struct store *s);
/* A stamp that another node gave to what is no row: ours will be greater. */
void store_heard(struct store *s, int64_t hlc);
/* Until it is told so again with NULL, whatever needs a stamp fails with SKEP_ECLOCK and this text. */
void store_freeze(struct store *s, const char *why);
/* Highest hlc this run has written. Taken together with the commit it is what others must cover. */
int64_t store_written(const struct store *s);
/* After a rollback: what it was before. Stamps are not used again all the same. */
void store_unwritten(struct store *s, int64_t written);
/* How many replicated rows were written, by whomever, since it was opened; also what was rolled back. */
int64_t store_writes(const struct store *s);

/* row: a struct of the table, its key members set. 1 found (the rest is filled in), 0 not there (unchanged).
 * Only key members may be set before. */
int store_load(struct store *s, enum table_id t, void *row, struct err *e);
/* Writes the row under a new stamp. SKEP_EFENCED if the row there has a higher epoch, SKEP_EARG if it is none
 * (table_fits). */
int store_save(struct store *s, enum table_id t, const void *row, struct err *e);
/* The same, but where the row there says it all already, nothing is written and nobody hears of it. For what
 * is wanted, as people say it again; not for what a new stamp is proof of. */
int store_set(struct store *s, enum table_id t, const void *row, struct err *e);
/* Deletes it, leaving a tombstone under its rank or `rank` if that is higher; nothing there is fine. */
int store_kill(struct store *s, enum table_id t, const void *row, int64_t rank, struct err *e);
/* The stamp of a row, alive or dead. 1 found. */
int store_version(struct store *s, enum table_id t, const void *row, struct stamp *ret_stamp, bool *ret_dead,
                  struct err *e);
/* Appends a row's key as "change" has it. */
void store_key(enum table_id t, const void *row, struct str *ret);
/* Removes dependants of a dead parent without tombstones: rows of table t whose key begins with `prefix`. */
int store_drop(struct store *s, enum table_id t, const char *key_prefix, struct err *e);

/* The same for the one row with these key members. */
int store_drop_row(struct store *s, enum table_id t, const void *row, struct err *e);
/* 1: the row lies idle. It belongs under a parent, as entries do under their session, and that one is not
 * alive here. It stays until the parent's tombstone is dropped, for the parent may be alive elsewhere under a
 * higher rank; until then nobody shows it, and it does not count where nodes are compared. */
int store_is_idle(struct store *s, struct span tbl, struct span key, struct err *e);

/* Asks one of the queries of store/query.h; kinds: 't' const char * (NULL allowed), 'i' int64_t. */
struct stmt *store_ask(struct store *s, enum query q, const char *kinds, ...);
/* The next row of a query of table t into a struct (emptied first). 1, 0 at the end (then the row is empty).
 */
int store_next(struct stmt *q, enum table_id t, void *row, struct err *e);
/* Runs a query that answers nothing. */
int store_do(struct store *s, enum query q, struct err *e, const char *kinds, ...);
/* One number of a query, or the fallback. */
int64_t store_number(struct store *s, enum query q, int64_t fallback, const char *kinds, ...);

/* ---- replication (page.c, replicate.c) ---- */

/* The vector as it is on disk, floor included. */
int store_vv(struct store *s, struct vv *ret, struct err *e);
int store_vv_raise(struct store *s, int64_t actor, int64_t hlc, struct err *e);
/* Rows of this actor up to hlc were merged, though the vector does not prove them: they are passed on. Called
 * once for each actor of a page, in its transaction. */
int store_vv_saw(struct store *s, int64_t actor, int64_t hlc, struct err *e);
/* An ended actor without a row left, up to its last hlc: from now on it counts as the floor. */
int store_vv_fold(struct store *s, int64_t actor, int64_t hlc, struct err *e);
/* How many rows of "change" an actor has: 0, 1, or 2 for more. */
int64_t store_actor_rows(struct store *s, int64_t actor);
/* Per actor, the highest hlc of any tombstone that was dropped. */
int store_gcvv(struct store *s, struct vv *ret, struct err *e);
int store_gc_raise(struct store *s, int64_t actor, int64_t hlc, struct err *e);
/* The highest stamp or rank of all of them: a row not above it may be one that was deleted. */
int64_t store_gc_floor(const struct store *s);

/* One page: every row above `have`, by actor and hlc, at most STORE_PAGE_ROWS rows or STORE_PAGE_BYTES (but
 * at least one row). Appends rows as store_read_row reads them. 1: rows were left out, for they are not what
 * their versions say. */
int store_page(struct store *s, const struct vv *have, struct str *ret_rows, uint32_t *ret_count,
               bool *ret_more, struct err *e);
/* The same of all rows, dead ones too, by table and key, behind these. SKEP_EDAMAGED instead of leaving one
 * out: who walks over two stores would take it for deleted. */
int store_scan_page(struct store *s, const char *tbl, const char *key, struct str *ret_rows,
                    uint32_t *ret_count, bool *ret_more, struct err *e);
/* The version behind (tbl, key), which become its own. 1, 0 at the end. */
int store_row_after(struct store *s, struct str *tbl, struct str *key, struct stamp *ret_stamp,
                    bool *ret_dead, struct err *e);

/* One snapshot for several questions, on a store that nobody writes through at the moment. One inside another
 * is the outer one. After a begin that failed an end does no harm, unless there is an outer one. */
int store_read_begin(struct store *s, struct err *e);
void store_read_end(struct store *s);

/* Rows with a stamp above `limit`, which nobody else can have seen (restamp.c), get new ones of this run,
 * by_ms earlier, and the vectors fall to what is left. Before the run's first write. */
int store_restamp(struct store *s, int64_t limit, int64_t by_ms, int64_t *ret_rows, struct err *e);

struct remote_row {
    enum table_id t;      /* T_N: a table of a newer version */
    struct span tbl, key; /* borrowed from the page */
    struct stamp stamp;
    bool dead;
    bool doubt;        /* alive, and aside where it comes from, for it may have been deleted */
    struct span bytes; /* canonical bytes, empty when dead */
};

/* On the wire: table bytes, key bytes, rank i64, hlc i64, actor i64, one of these u8, canonical bytes. */
enum row_flag { ROW_ALIVE, ROW_DEAD, ROW_DOUBT };

struct reader;
/* The next row of a page. 0, or SKEP_EARG for bytes that are none. */
int store_read_row(struct reader *r, struct remote_row *ret, struct err *e);

/* ASIDE: taken, but as bytes only, for this program cannot apply it. */
enum merged { MERGED_KEPT, MERGED_TAKEN, MERGED_ASIDE };
/* Merges by (rank, hlc, actor). SKEP_EARG: its stamp is that of another row. One in doubt lies aside here,
 * too. */
int store_merge(struct store *s, const struct remote_row *row, enum merged *ret, struct err *e);

/* Before a live row is replaced or deleted by merging `row`: fn may read and write other
 * rows, and ends the merge with a failure of its own. */
void store_on_loss(struct store *s,
                   int (*fn)(void *ctx, const struct remote_row *row, const struct stamp *old, struct err *e),
                   void *ctx);

/* Reasons to keep a row aside though it could be applied. */
#define STORE_ASIDE_AMBIGUOUS "it may have been deleted: decide with skep doctor"
#define STORE_ASIDE_CRASHED   "applying it ended skepd twice"
/* The same, keeping it aside for that reason; NULL: only if it cannot be applied. */
int store_merge_as(struct store *s, const struct remote_row *row, const char *aside, enum merged *ret,
                   struct err *e);
/* The row that is here may have been deleted: it lies aside from now on, under the stamp it has. 1; 0: it
 * does already, or is not there, or dead. */
int store_doubt(struct store *s, struct span tbl, struct span key, struct err *e);
/* Applies rows and columns that an older program had to keep as bytes. When a run begins; does something only
 * when the program knows other tables than the last one did. */
int store_newer_apply(struct store *s, struct err *e);

/* A copy into quarantine. */
int store_quarantine(struct store *s, const struct remote_row *row, const char *why, struct err *e);
/* The same of a row that is here, if it is. */
int store_keep(struct store *s, enum table_id t, const void *row, const char *why, struct err *e);
/* 1: this row is in quarantine already. Looks at all that is there. */
int store_quarantined(struct store *s, const struct remote_row *row, struct err *e);
/* A row and its version away, without a tombstone. */
int store_take_out(struct store *s, struct span tbl, struct span key, struct err *e);

/* Drops tombstones with *after < hlc < before that may go, with what lies idle under each; looks at rows_max
 * of them, or fewer if much lay under them, and moves *after behind what it looked at (0: the end was
 * reached). */
int store_drop_dead(struct store *s, int64_t *after, int64_t before,
                    bool (*may)(void *ctx, const struct stamp *stamp), void *ctx, int64_t rows_max,
                    int *ret_dropped, struct err *e);

/* ---- the log (log.c) ---- */

struct log_entry {
    const char *type; /* fact, past tense: child_started */
    const char *swarm, *name, *node, *who;
    int64_t epoch;
    const char *data; /* JSON or NULL */
};
int store_log(struct store *s, const struct log_entry *l, struct err *e);

struct log_keep {
    int64_t from_ms;       /* real: what is older goes */
    int64_t rows, of_name; /* at most, of all and of each name */
};
/* Takes away some of what is older, or more; the newest row stays. *after: how far it has looked for names of
 * which there is more; 0 at first. */
int store_log_trim(struct store *s, const struct log_keep *k, int64_t *after, struct err *e);

/* A digest of every live replicated row and its stamp, 32 hex digits: equal on nodes that agree. */
int store_digest(struct store *s, char ret_hex[33], struct err *e);

#endif
