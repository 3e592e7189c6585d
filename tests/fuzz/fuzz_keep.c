/* The keeper's messages. The first byte chooses: an order as it lies in a memfd, or datagrams as they come
 * through the socket, with as many descriptors as the second byte says. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/keep.h"

#define SENT_FDS_MAX 5

static void same_list(char **a, char **b)
{
    for (; *a && *b; a++, b++)
        ensure(strcmp(*a, *b) == 0, "a word changed: %s, %s", *a, *b);
    ensure(!*a && !*b, "a word more or less");
}

static void fuzz_order(const char *p, size_t n)
{
    struct keep_order o, again;
    AUTOSTR struct str s = STR_INIT;
    char *copy = mem_copy(p, n);
    if (!keep_unpack(copy, n, &o))
        return;
    ensure(o.cwd[0] == '/' && o.argv[0] && *o.argv[0], "an order that cannot be run");
    ensure(!strchr(o.log, '/') && o.log[0] != '.' && strlen(o.log) <= KEEP_LOG_NAME_MAX, "a log at %s",
           o.log);
    keep_pack(&s, o.cwd, o.user, o.log, o.argv, o.env);
    size_t packed_n = s.n;
    ensure(keep_unpack(str_take(&s), packed_n, &again), "our own order is none");
    ensure(strcmp(o.cwd, again.cwd) == 0 && strcmp(o.user, again.user) == 0 && strcmp(o.log, again.log) == 0,
           "a part changed");
    same_list(o.argv, again.argv);
    same_list(o.env, again.env);
    keep_order_fini(&o);
    keep_order_fini(&again);
}

/* Sends one datagram with fds_n copies of a descriptor. */
static void send_raw(int socket, const char *p, size_t n, int fd, size_t fds_n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * SENT_FDS_MAX)];
    } control = {0};
    struct iovec io = {(char *)(uintptr_t)p, n};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    if (fds_n) {
        h.msg_control = control.bytes;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
        for (size_t i = 0; i < fds_n; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
    }
    ensure(sendmsg(socket, &h, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n, "not sent: %s", strerror(errno));
}

static void fuzz_datagram(const char *p, size_t n, size_t fds_n)
{
    static int pair[2], spare = -1;
    if (spare < 0) {
        ensure(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "no socket pair");
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    int fds[KEEP_FDS_MAX], before = dup(spare);
    struct keep_msg m;
    close(before);
    if (n == 0 || n > 65536)
        return; /* an empty datagram says that the other end is gone */
    send_raw(pair[0], p, n, spare, fds_n);
    int rc = keep_recv(pair[1], &m, fds);
    ensure(rc == 1 || rc == -EBADMSG || rc == -EMFILE, "received: %d", rc);
    ensure(rc == -EBADMSG || strlen(m.text) <= KEEP_LOG_NAME_MAX, "a text without an end");
    for (size_t i = 0; i < KEEP_FDS_MAX; i++) {
        ensure(fds[i] < 0 || rc == 1, "descriptors of a message that is none");
        if (fds[i] >= 0)
            close(fds[i]);
    }
    ensure(keep_recv(pair[1], &m, fds) == -EAGAIN, "one datagram is two messages");
    int after = dup(spare);
    close(after);
    ensure(before == after, "a descriptor was lost");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_order((const char *)data + 1, n - 1);
    else
        fuzz_datagram((const char *)data + 2, n - 2, data[1] % (SENT_FDS_MAX + 1));
    return 0;
}
