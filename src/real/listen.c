#include "real/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

static void close_ptr(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

/* Accepted sockets inherit these. */
static void tcp_options(int fd, int family)
{
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* here, not later: an answer may wait 44 ms otherwise */
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1); /* a client whose machine lost power sends no farewell */
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    if (family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}

static int bind_failed(const char *host, uint16_t port, struct err *e)
{
    if (errno == EADDRINUSE)
        return err_set(e, SKEP_EUNREACHABLE,
                       "port %u of %s is in use by another program. Choose another port, or end "
                       "that program (`ss -ltnp` names it)",
                       port, host);
    if (errno == EADDRNOTAVAIL)
        return err_set(e, SKEP_ECONFIG,
                       "%s is not an address of this machine. Listen on one that is, or on "
                       "0.0.0.0",
                       host);
    if (errno == EACCES)
        return err_set(e, SKEP_ECONFIG, "this user may not listen on port %u. Choose one from 1024 on", port);
    return err_set(e, SKEP_ECONFIG, "cannot listen on %s port %u: %s", host, port, strerror(errno));
}

static int resolve(const char *host, uint16_t port, struct addrinfo **ret_list, struct err *e)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int rc = getaddrinfo(host, service, &hints, ret_list);
    if (rc)
        return err_set(e, SKEP_ECONFIG, "cannot listen on %s: %s. Give an address of this machine", host,
                       gai_strerror(rc));
    return 0;
}

static int bind_tcp(const struct addrinfo *a, const char *host, uint16_t port, int backlog, int *ret_fd,
                    struct err *e)
{
    int fd CLEANUP(close_ptr) = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, SKEP_ECONFIG, "cannot make a socket for %s: %s", host, strerror(errno));
    tcp_options(fd, a->ai_family);
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, backlog))
        return bind_failed(host, port, e);
    *ret_fd = take_fd(&fd);
    return 0;
}

int listen_tcp(const char *host, uint16_t port, int backlog, int *ret_fd, struct err *e)
{
    struct addrinfo *list;
    int rc = resolve(host, port, &list, e);
    if (rc)
        return rc;
    rc = bind_tcp(list, host, port, backlog, ret_fd, e);
    freeaddrinfo(list);
    return rc;
}

/* 0 = the path is free now. Only a socket that refuses connections is stale. */
static int replace_stale(const struct sockaddr_un *at, const char *path, struct err *e)
{
    struct stat st;
    if (lstat(at->sun_path, &st))
        return 0; /* nothing there; bind() has the words for everything else */
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, SKEP_ECONFIG,
                       "%s exists and is not a socket. Move it away, or choose another path for "
                       "the socket",
                       path);
    int fd CLEANUP(close_ptr) = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 || errno == EAGAIN)
        return err_set(e, SKEP_ELOCKED,
                       "another process answers on the socket %s. End it, or choose another path", path);
    if (errno == ECONNREFUSED && unlink(at->sun_path) == 0)
        return 0;
    return err_set(e, SKEP_ECONFIG, "cannot replace the socket %s: %s", path, strerror(errno));
}

/* The address of a path that does not fit into one: through its folder, which stays open as *ret_dir
 * meanwhile. */
static int unix_address(const char *path, struct sockaddr_un *ret, int *ret_dir, struct err *e)
{
    const char *slash = strrchr(path, '/');
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof ret->sun_path) {
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return 0;
    }
    AUTOFREE char *dir = mem_copy(path, slash ? (size_t)(slash - path) : 0);
    *ret_dir = slash ? open(slash == path ? "/" : dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    AUTOFREE char *through = mem_printf("/proc/self/fd/%d%s", *ret_dir, slash ? slash : "");
    if (*ret_dir < 0 || strlen(through) >= sizeof ret->sun_path)
        return err_set(e, SKEP_ECONFIG,
                       "the socket's path is longer than %zu bytes: %s. Choose a shorter one",
                       sizeof ret->sun_path - 1, path);
    memcpy(ret->sun_path, through, strlen(through) + 1);
    return 0;
}

int listen_unix(const char *path, int backlog, int *ret_fd, struct err *e)
{
    struct sockaddr_un at;
    int dir CLEANUP(close_ptr) = -1;
    int rc = unix_address(path, &at, &dir, e);
    if (rc == 0)
        rc = replace_stale(&at, path, e);
    if (rc)
        return rc;
    int fd CLEANUP(close_ptr) = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode of the unbound socket is the mode the file is born with, less the umask: never wider. */
    if (fd < 0 || fchmod(fd, 0660) || bind(fd, (const struct sockaddr *)&at, sizeof at) ||
        chmod(at.sun_path, 0660) || listen(fd, backlog))
        return err_set(e, SKEP_ECONFIG, "cannot listen on the socket %s: %s. Check the folder", path,
                       strerror(errno));
    *ret_fd = take_fd(&fd);
    return 0;
}

uint16_t listen_port(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t n = sizeof at;
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&at, &n))
        return 0;
    if (at.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&at)->sin_port);
    if (at.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
    return 0;
}
