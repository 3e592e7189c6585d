/* machine: what the machine tells a node at once: its clocks, chance, and where a program is. Any thread.
 */
#ifndef SKEP_REAL_MACHINE_H
#define SKEP_REAL_MACHINE_H

#include <stddef.h>

#include "world/clock.h"
#include "world/proc.h"
#include "world/random.h"

extern const struct world_clock machine_clock;
extern const struct world_random machine_random;

int64_t machine_real_ms(void);
int64_t machine_boot_ms(void);
int64_t machine_monotonic_ms(void);

/* See world/proc.h, find. The path has no ".." in it, so that it may be compared with patterns; a name that
 * is a symbolic link stays what it is called. */
int machine_find(const char *argv0, char *const *env, const char *cwd, char *ret_path, size_t bytes);

/* Whether process pid is `ancestor` or was made below it. False also when pid is gone. */
enum lineage { LINEAGE_GONE, LINEAGE_OTHER, LINEAGE_BELOW };
enum lineage machine_lineage(int pid, int ancestor);

/* How busy the machine is, from /proc; CPU time since the last call with this gauge (at first: since it
 * booted). One thread a gauge. */
struct machine_gauge {
    int64_t busy, all; /* jiffies; zeros at first */
};
bool machine_load(struct machine_gauge *g, struct machine_load *ret);

/* The cgroup of this process if the service manager delegated it ("Delegate=yes"), as a path; yours, else
 * NULL. */
char *machine_cgroup(void);

#endif
