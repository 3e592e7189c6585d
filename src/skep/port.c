/* port: asks the kernel by binding; what it said may be outdated a moment later. */
#include "skep/port.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MIN 10240
#define TRIES    2000

/* The same as skepd will do: an address that a dead connection still holds is free. */
bool port_is_free(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool ok = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0;
    close(fd);
    return ok;
}

static unsigned outgoing_min(void)
{
    unsigned low = 32768;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (f && fscanf(f, "%u", &low) != 1)
        low = 32768;
    if (f)
        fclose(f);
    return low > PORT_MIN + TRIES && low < 65536 ? low : 32768;
}

static bool is_in(const uint16_t *taken, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (taken[i] == port)
            return true;
    return false;
}

int port_find(const uint16_t *taken, size_t n, uint16_t *ret_port, struct err *e)
{
    unsigned span = outgoing_min() - PORT_MIN, start = 0;
    if (getrandom(&start, sizeof start, 0) != sizeof start)
        start = (unsigned)getpid() * 7919u;
    for (unsigned i = 0; i < TRIES; i++) {
        uint16_t port = (uint16_t)(PORT_MIN + (start + i) % span);
        if (!is_in(taken, n, port) && port_is_free(port)) {
            *ret_port = port;
            return 0;
        }
    }
    return err_set(e, SKEP_EUNREACHABLE, "no free port on 127.0.0.1 in %d tries; choose one with --base-port",
                   TRIES);
}
