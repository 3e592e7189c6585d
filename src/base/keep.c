#include "base/keep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEP_MAGIC 0x736b6570u /* "skep" */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * KEEP_FDS_MAX)];
};

int keep_send(int socket, struct keep_msg msg, const int *fds, size_t fds_n)
{
    msg.magic = KEEP_MAGIC;
    union control control = {0};
    struct iovec io = {&msg, offsetof(struct keep_msg, text) + strlen(msg.text) + 1};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    if (fds_n) {
        h.msg_control = control.bytes;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fds_n);
    }
    while (sendmsg(socket, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* What the padding had room for beyond what a message may carry is closed. */
static void take_some(const void *from, size_t n, int fds[KEEP_FDS_MAX])
{
    for (size_t i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, (const char *)from + i * sizeof fd, sizeof fd);
        if (i < KEEP_FDS_MAX)
            fds[i] = fd;
        else
            close(fd);
    }
}

static void take_fds(struct msghdr *h, int fds[KEEP_FDS_MAX])
{
    for (size_t i = 0; i < KEEP_FDS_MAX; i++)
        fds[i] = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            take_some(CMSG_DATA(c), (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), fds);
}

static void drop_fds(int fds[KEEP_FDS_MAX])
{
    for (size_t i = 0; i < KEEP_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

int keep_recv(int socket, struct keep_msg *ret_msg, int ret_fds[KEEP_FDS_MAX])
{
    struct keep_msg msg = {0};
    union control control;
    struct iovec io = {&msg, sizeof msg};
    struct msghdr h = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(socket, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    take_fds(&h, ret_fds);
    if (n == 0)
        return 0;
    if ((size_t)n <= offsetof(struct keep_msg, text) || msg.magic != KEEP_MAGIC || h.msg_flags & MSG_TRUNC) {
        drop_fds(ret_fds);
        return -EBADMSG;
    }
    msg.text[KEEP_LOG_NAME_MAX] = 0;
    *ret_msg = msg;
    if (h.msg_flags & MSG_CTRUNC) {
        drop_fds(ret_fds);
        return -EMFILE;
    }
    return 1;
}

static void pack(struct str *s, const char *text)
{
    str_add(s, text ? text : "", text ? strlen(text) + 1 : 1);
}

void keep_pack(struct str *s, const char *cwd, const char *user, const char *log, char *const *argv,
               char *const *env)
{
    size_t argc = 0;
    while (argv[argc])
        argc++;
    pack(s, cwd);
    pack(s, user);
    pack(s, log);
    str_printf(s, "%zu", argc);
    str_putc(s, 0);
    for (size_t i = 0; i < argc; i++)
        pack(s, argv[i]);
    for (char *const *e = env; e && *e; e++)
        pack(s, *e);
}

/* A log's name becomes a file name: no path, nothing hidden. */
static bool log_name_ok(const char *name)
{
    return strlen(name) <= KEEP_LOG_NAME_MAX && !strchr(name, '/') && name[0] != '.' &&
           text_is_clean(name, strlen(name));
}

/* Cuts bytes at its zeros; NULL unless the last byte is one. */
static char **cut(char *bytes, size_t n, size_t *ret_count)
{
    if (n == 0 || bytes[n - 1])
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += bytes[i] == 0;
    char **list = mem_array(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++, bytes += strlen(bytes) + 1)
        list[i] = bytes;
    *ret_count = count;
    return list;
}

bool keep_unpack(char *bytes TAKES, size_t n, struct keep_order *ret)
{
    enum { CWD, USER, LOG, ARGC, ARGV };
    AUTOFREE char *own = bytes;
    size_t count = 0;
    AUTOFREE char **part = cut(bytes, n, &count);
    int64_t argc;
    if (!part || count < ARGV + 1 || !text_i64(part[ARGC], 1, (int64_t)(count - ARGV), &argc))
        return false;
    if (part[CWD][0] != '/' || !part[ARGV][0] || !log_name_ok(part[LOG]))
        return false;
    struct keep_order o = {.cwd = part[CWD], .user = part[USER], .log = part[LOG]};
    size_t args = (size_t)argc, envs = count - ARGV - args;
    o.argv = mem_array(args + 1, sizeof *o.argv);
    memcpy(o.argv, part + ARGV, args * sizeof *o.argv);
    o.env = mem_array(envs + 1, sizeof *o.env);
    memcpy(o.env, part + ARGV + args, envs * sizeof *o.env);
    o.bytes = TAKE(own);
    *ret = o;
    return true;
}

void keep_order_fini(struct keep_order *o)
{
    free(o->argv);
    free(o->env);
    free(o->bytes);
    *o = (struct keep_order){0};
}
