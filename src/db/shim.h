/* shim: a thin SQLite VFS under the writer's connection that keeps everybody else from checkpointing.
 *
 * SQLite 3.7.0 to 3.51.2 can lose committed frames when one connection checkpoints while another one
 * commits and restarts the WAL. Any stock shell can be either of the two. The shim makes the race
 * impossible without patching SQLite:
 *   1. It holds the checkpoint byte of the WAL index (shm lock slot 1) for good, so that a checkpoint of
 *      anybody else is told "busy". Reads and commits of others go on.
 *   2. A checkpoint of its own connection runs only while it holds the write byte (slot 0), so that
 *      nobody commits meanwhile. SQLite alone would fall back to a PASSIVE checkpoint without that byte.
 *   3. A PASSIVE checkpoint of its own connection does nothing.
 * All else goes straight through to the VFS "unix".
 */
#ifndef SKEP_DB_SHIM_H
#define SKEP_DB_SHIM_H

struct shim;

/* Registers a VFS of its own for one connection; shim_free after the connection is closed. */
struct shim *shim_new(void);
void shim_free(struct shim *s);
/* The name to open the connection with. */
const char *shim_vfs(const struct shim *s);
/* Takes the checkpoint byte; the connection must have read once in WAL mode. 0 or SKEP_EBUSY while
 * somebody else checkpoints. */
int shim_hold(struct shim *s);

#endif
