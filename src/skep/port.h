/* port: TCP ports on loopback that nobody uses, outside the range the kernel takes for outgoing connections:
 * a port from that range could be taken while its node is down.
 */
#ifndef SKEP_SKEP_PORT_H
#define SKEP_SKEP_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

bool port_is_free(uint16_t port);
/* A free one that is not in taken[0..n). */
int port_find(const uint16_t *taken, size_t n, uint16_t *ret_port, struct err *e);

#endif
