/* talk: the kernel's own counters of TCP, by NETLINK_SOCK_DIAG: nothing is captured, nothing slows down. */
#include "bench/talk.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define ESTABLISHED 1

static int ask(int fd)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
    } m = {
        .head = {.nlmsg_len = sizeof m,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .req = {.sdiag_family = AF_INET,
                .sdiag_protocol = IPPROTO_TCP,
                .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                .idiag_states = 1 << ESTABLISHED},
    };
    return send(fd, &m, sizeof m, 0) == (ssize_t)sizeof m ? 0 : -1;
}

static bool is_listed(const uint16_t *ports, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (ports[i] == port)
            return true;
    return false;
}

static void line_add(struct talk *t, const struct nlmsghdr *h, const uint16_t *ports, size_t n)
{
    const struct inet_diag_msg *d = NLMSG_DATA(h);
    const struct rtattr *a = (const void *)(d + 1);
    unsigned left = h->nlmsg_len - (unsigned)NLMSG_LENGTH(sizeof *d);
    struct tcp_info info = {0};
    if (!is_listed(ports, n, ntohs(d->id.idiag_sport)))
        return;
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == INET_DIAG_INFO)
            memcpy(&info, RTA_DATA(a), RTA_PAYLOAD(a) < sizeof info ? RTA_PAYLOAD(a) : sizeof info);
    ARRAY_GROW(t->line, t->n, t->cap);
    t->line[t->n++] = (struct talk_line){.port = ntohs(d->id.idiag_sport),
                                         .from = ntohs(d->id.idiag_dport),
                                         .bytes = (int64_t)(info.tcpi_bytes_acked + info.tcpi_bytes_received),
                                         .requests = (int64_t)info.tcpi_data_segs_in};
}

/* One read of the dump: 1 when it has ended. */
static int read_some(int fd, const uint16_t *ports, size_t n, struct talk *ret)
{
    _Alignas(struct nlmsghdr) char bytes[32768];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0)
        return -1;
    size_t left = (size_t)got;
    for (const struct nlmsghdr *h = (const void *)bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == NLMSG_DONE)
            return 1;
        if (h->nlmsg_type == NLMSG_ERROR)
            return -1;
        line_add(ret, h, ports, n);
    }
    return 0;
}

int talk_take(const uint16_t *ports, size_t n, struct talk *ret, struct err *e)
{
    struct talk t = {0};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), rc = fd < 0 ? -1 : ask(fd);
    while (rc == 0)
        rc = read_some(fd, ports, n, &t);
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        talk_fini(&t);
        return err_set(e, SKEP_EIO, "the kernel does not tell what goes over connections: %m");
    }
    talk_fini(ret);
    *ret = t;
    return 0;
}

bool talk_since(const struct talk *before, const struct talk_line *now, struct talk_line *ret)
{
    for (size_t i = 0; i < before->n; i++) {
        const struct talk_line *was = &before->line[i];
        if (was->port != now->port || was->from != now->from)
            continue;
        *ret = *now;
        ret->bytes -= was->bytes;
        ret->requests -= was->requests;
        return true;
    }
    return false;
}

void talk_fini(struct talk *t)
{
    free(t->line);
    *t = (struct talk){0};
}
