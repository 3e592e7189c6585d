/* simvfs: a disk in memory that forgets, tears, fills up and breaks, as a SQLite VFS.
 *
 * Every file has what a reader sees now (volatile) and what a power cut would leave (durable). A write
 * changes the first, a sync makes it the second. At simdisk_crash each 512-byte sector that was written
 * and not synced is, by the dice, there, not there, or torn: a part of it new, the rest old. Names are
 * one change of the directory, made durable by the first sync of a new file: all that came and went since
 * count, or none. A truncation happened wholly or not at all. Bytes outside a write are never harmed
 * (power-safe overwrite), as the VFS "unix" also promises.
 *
 * There is no shared memory, so a database here needs db_options.exclusive; a second connection to a file
 * is told SQLITE_BUSY. No clock, no random source, no thread of its own: all of it comes from the hooks,
 * and the same calls give the same bytes.
 */
#ifndef SKEP_SIM_SIMVFS_H
#define SKEP_SIM_SIMVFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

struct simdisk;

struct simdisk_hooks {
    void *self;
    void (*fill)(void *self, void *bytes, size_t n); /* random bytes */
    int64_t (*real_ms)(void *self);
    void (*sleep_ms)(void *self, int64_t ms);
};

/* A new, empty disk, registered as the SQLite VFS `name`, which must be unique in the process. */
struct simdisk *simdisk_new(const char *name, const struct simdisk_hooks *hooks);
/* After the last connection on it is closed. Accepts NULL. */
void simdisk_free(struct simdisk *d);

/* SQLite's own random numbers (salts of the WAL) are one generator for the whole process: this starts it
 * again from seed (not 0). */
void simdisk_seed(uint32_t seed);

/* The power goes: what was not synced meets the dice. Connections that are open are dead from now on, all
 * they do fails; db_close them, then open again. */
void simdisk_crash(struct simdisk *d, struct prng *dice);
/* The process dies, the machine lives: connections are dead, nothing is lost. */
void simdisk_kill(struct simdisk *d);

enum simdisk_op { SIMDISK_READ, SIMDISK_WRITE, SIMDISK_SYNC, SIMDISK_OPS }; /* a truncation is a write */

enum simdisk_fault {
    SIMDISK_IOERR, /* this operation fails, with EIO */
    SIMDISK_FULL,  /* this operation fails, with ENOSPC; the next ones work */
    SIMDISK_DEAD,  /* it is done, but nobody learns: everything fails until simdisk_crash or _kill */
};

/* The nth operation of its kind from now (1 = the next) fails so, once. A new plan replaces the old one
 * of that kind; nth 0 cancels it. A failed sync leaves everything unsynced. */
void simdisk_plan(struct simdisk *d, enum simdisk_op op, int64_t nth, enum simdisk_fault fault);
/* While spared, operations are those of an observer: not counted, and no planned fault meets them. */
void simdisk_spare(struct simdisk *d, bool spare);
/* No file grows beyond this total: SQLITE_FULL. 0 = no limit. */
void simdisk_limit(struct simdisk *d, int64_t bytes);
/* Turns one bit of a file's contents, volatile and durable. False when the file is missing or empty. */
bool simdisk_flip(struct simdisk *d, const char *path, struct prng *dice);

/* A copy of all files as they are now: a backup. Yours. */
struct simdisk_image;
struct simdisk_image *simdisk_image_new(const struct simdisk *d);
void simdisk_image_free(struct simdisk_image *i); /* accepts NULL */
/* Exactly these files from now on, durably; NULL = none. No connection may be open. */
void simdisk_load(struct simdisk *d, const struct simdisk_image *i);

/* Operations since the disk was made, failed ones included. */
int64_t simdisk_count(const struct simdisk *d, enum simdisk_op op);
bool simdisk_is_dead(const struct simdisk *d);
/* Bytes in use now, of all files. */
int64_t simdisk_bytes(const struct simdisk *d);
/* The volatile contents, borrowed until the next write; NULL when there is no such file. */
const void *simdisk_file(const struct simdisk *d, const char *path, size_t *ret_bytes);
/* Puts a file there, durably: for restores and for files that were damaged elsewhere. NULL removes it. */
void simdisk_put(struct simdisk *d, const char *path, const void *bytes, size_t n);

#endif
