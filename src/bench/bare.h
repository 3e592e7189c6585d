/* bare: what a core can do at all. A child process that answers everything with one constant: epoll, OpenSSL,
 * and nothing else.
 */
#ifndef SKEP_BENCH_BARE_H
#define SKEP_BENCH_BARE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Answers as many bytes as `body` has, with the key and certificate of a node's folder. Ends with us. */
int bare_start(const char *node_dir, const char *body, pid_t *ret_pid, uint16_t *ret_port, struct err *e);
void bare_stop(pid_t pid);

#endif
