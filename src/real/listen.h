/* listen: listening sockets, bound with clear errors. Decides socket options; accepts nothing. */
#ifndef SKEP_REAL_LISTEN_H
#define SKEP_REAL_LISTEN_H

#include <stdint.h>

#include "base/err.h"

/* Bound and listening, non-blocking, close-on-exec; *ret_fd is yours. Errors as in http_server.h. */
int listen_tcp(const char *host, uint16_t port, int backlog, int *ret_fd, struct err *e);
int listen_unix(const char *path, int backlog, int *ret_fd, struct err *e);
/* The port a TCP socket is bound to; 0 if none. */
uint16_t listen_port(int fd);

#endif
