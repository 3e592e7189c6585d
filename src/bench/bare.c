#include "bench/bare.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

static void accept_one(int listener, int epoll, SSL_CTX *tls)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL *ssl = SSL_new(tls);
    SSL_set_fd(ssl, fd);
    SSL_set_accept_state(ssl);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = ssl});
}

/* A request without a body, whole in one record: what our own client sends. */
static void answer(SSL *ssl, const struct str *constant)
{
    char in[8192];
    for (;;) {
        int n = SSL_read(ssl, in, sizeof in);
        if (n > 0 && memcmp(in + n - 4, "\r\n\r\n", 4) == 0) {
            SSL_write(ssl, constant->p, (int)constant->n);
            if (SSL_has_pending(ssl))
                continue;
            return; /* epoll says when there is more */
        }
        int why = SSL_get_error(ssl, n);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            return;
        ERR_clear_error();
        close(SSL_get_fd(ssl));
        SSL_free(ssl);
        return;
    }
}

static _Noreturn void serve(int listener, SSL_CTX *tls, const struct str *constant)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
    for (;;) {
        struct epoll_event ready[64];
        int n = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr)
                answer(ready[i].data.ptr, constant);
            else
                accept_one(listener, epoll, tls);
    }
}

static SSL_CTX *server_tls(const char *dir, struct err *e)
{
    AUTOFREE char *crt = mem_printf("%s/node.crt", dir), *key = mem_printf("%s/node.key", dir);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_read_ahead(tls, 1); /* a record in one read */
    if (SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 &&
        SSL_CTX_use_certificate_chain_file(tls, crt) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1)
        return tls;
    err_set(e, SKEP_ECONFIG, "cannot use %s: %s", crt, ERR_reason_error_string(ERR_peek_last_error()));
    SSL_CTX_free(tls);
    return NULL;
}

static int listen_any(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return -1;
    *ret_port = ntohs(a.sin_port);
    return fd;
}

int bare_start(const char *node_dir, const char *body, pid_t *ret_pid, uint16_t *ret_port, struct err *e)
{
    AUTOSTR struct str constant = STR_INIT;
    SSL_CTX *tls = server_tls(node_dir, e);
    int listener = tls ? listen_any(ret_port) : -1;
    if (!tls)
        return SKEP_ECONFIG;
    str_printf(&constant,
               "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
               strlen(body), body);
    pid_t us = getpid();
    *ret_pid = listener >= 0 ? fork() : -1;
    if (*ret_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == us)
            serve(listener, tls, &constant);
        _exit(1);
    }
    SSL_CTX_free(tls);
    if (listener >= 0)
        close(listener);
    return *ret_pid > 0 ? 0 : err_set(e, SKEP_EIO, "the bare loop: %m");
}

void bare_stop(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
