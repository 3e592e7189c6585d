/* http: the one door to libcurl. Decides how long to wait and what an unreachable node is called. */
#include "skep/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "skep/problem.h"
#include "wire/uri.h"

#define ANSWER_BYTES_MAX   (64u << 20)
#define PORT_DEFAULT       7537
#define CONNECT_TIMEOUT_MS 5000L
#define ANSWER_TIMEOUT_MS  30000 /* what the server allows when nothing is said */
#define GRACE_MS           5000  /* the server's own timeout answer must have time to arrive */
#define PROGRESS_AFTER_US  1000000

struct http {
    CURL *curl;
    struct http_target target;
    char *base;   /* what stands before the path in a URL */
    char *socket; /* what curl is given for a Unix socket; NULL = TLS */
    int folder;   /* keeps "/proc/self/fd/N" alive for a long socket path; -1 */
    int64_t timeout_ms, patience_ms;
    struct curl_slist *headers;
    bool progress_shown;
};

/* What one call collects. */
struct reception {
    struct http *h;
    struct str body;
    char etag[64];
    bool (*on_bytes)(void *self, const char *bytes, size_t n);
    void *self;
    bool ended; /* on_bytes said so */
};

static void unix_address(struct sockaddr_un *a, const char *path)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(a->sun_path, sizeof a->sun_path, "%s", path);
}

/* sun_path holds 107 bytes; a longer path is reached through its folder's descriptor. Yours. */
static char *unix_short(const char *path, int *ret_folder)
{
    struct sockaddr_un a;
    const char *slash = strrchr(path, '/');
    *ret_folder = -1;
    if (strlen(path) < sizeof a.sun_path || !slash)
        return mem_dup(path);
    char *folder AUTOFREE = mem_printf("%.*s", (int)(slash - path), path);
    *ret_folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_folder < 0 ? mem_dup(path) : mem_printf("/proc/self/fd/%d%s", *ret_folder, slash);
}

bool unix_answers(const char *path)
{
    int folder, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char *near AUTOFREE = unix_short(path, &folder);
    struct sockaddr_un a;
    unix_address(&a, near);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    return ok;
}

char *path_printf(const char *fmt, ...)
{
    struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    for (const char *p = fmt; *p; p++) {
        if (p[0] != '%' || p[1] != 's') {
            str_putc(&s, *p);
            continue;
        }
        const char *word = va_arg(ap, const char *);
        uri_encode(&s, word, strlen(word));
        p++;
    }
    va_end(ap);
    return str_take(&s);
}

void http_target_fini(struct http_target *t)
{
    free(t->addr);
    free(t->token);
    free(t->cacert);
    free(t->client_cert);
    free(t->client_key);
    free(t->ca_pem);
    *t = (struct http_target){0};
}

/* Unencrypted HTTP is spoken to a Unix socket only. */
static int set_address(struct http *h, struct err *e)
{
    const char *addr = h->target.addr;
    struct uri_base base = {0};
    struct str text = STR_INIT;
    if (text_starts(addr, "unix:///") && addr[8]) { /* a path as people type it: nothing in it is encoded */
        h->socket = unix_short(addr + strlen("unix://"), &h->folder);
        h->base = mem_dup("http://localhost");
        return 0;
    }
    bool good = uri_base_parse(addr, PORT_DEFAULT, &base, NULL) == 0 && base.scheme == URI_HTTPS;
    if (good)
        uri_base_text(&text, &base);
    uri_base_fini(&base);
    h->base = good ? str_take(&text) : NULL;
    if (good)
        return 0;
    return err_set(e, SKEP_EUSAGE,
                   "\"%.200s\" is no address of a node: give https://host:port or unix:///path", addr);
}

int http_new(struct http_target *t, struct http **ret_h, struct err *e)
{
    static bool ready;
    if (!ready)
        curl_global_init(CURL_GLOBAL_DEFAULT);
    ready = true;
    struct http *h = mem_alloc(sizeof *h);
    h->target = *t;
    *t = (struct http_target){0};
    h->folder = -1;
    int rc = set_address(h, e);
    if (rc == 0 && !(h->curl = curl_easy_init()))
        rc = err_set(e, SKEP_EINTERNAL, "libcurl does not start");
    if (rc)
        http_free(h);
    else
        *ret_h = h;
    return rc;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    curl_slist_free_all(h->headers);
    http_target_fini(&h->target);
    if (h->folder >= 0)
        close(h->folder);
    free(h->base);
    free(h->socket);
    free(h);
}

void http_set_timeout(struct http *h, int64_t timeout_ms)
{
    h->timeout_ms = timeout_ms;
}

void http_set_patience(struct http *h, int64_t ms)
{
    h->patience_ms = ms;
}

void http_set_header(struct http *h, const char *header)
{
    h->headers = curl_slist_append(h->headers, header);
}

const char *http_addr(const struct http *h)
{
    return h->target.addr;
}

void http_answer_fini(struct http_answer *a)
{
    free(a->body);
    *a = (struct http_answer){0};
}

/* Progress. */

static int on_progress(void *self, curl_off_t down_n, curl_off_t down, curl_off_t up_n, curl_off_t up)
{
    (void)down_n, (void)down, (void)up_n, (void)up;
    struct http *h = self;
    curl_off_t us = 0;
    curl_easy_getinfo(h->curl, CURLINFO_TOTAL_TIME_T, &us);
    if (us < PROGRESS_AFTER_US)
        return 0;
    fprintf(stderr, "\rskep: waiting for %s, %ld s \033[K", h->target.addr, (long)(us / 1000000));
    h->progress_shown = true;
    return 0;
}

static void progress_end(struct http *h)
{
    if (h->progress_shown)
        fputs("\r\033[K", stderr);
    h->progress_shown = false;
}

/* One call. */

static size_t on_body(char *bytes, size_t size, size_t n, void *self)
{
    struct reception *r = self;
    long status = 0;
    curl_easy_getinfo(r->h->curl, CURLINFO_RESPONSE_CODE, &status);
    if (r->on_bytes && status < 300) {
        progress_end(r->h);
        r->ended = !r->on_bytes(r->self, bytes, n * size);
        return r->ended ? 0 : n * size;
    }
    if (r->body.n + n * size > ANSWER_BYTES_MAX)
        return 0;
    str_add(&r->body, bytes, n * size);
    return n * size;
}

static size_t on_header(char *line, size_t size, size_t n, void *self)
{
    struct reception *r = self;
    size_t len = n * size, from = 5;
    if (len < from || strncasecmp(line, "etag:", 5) != 0)
        return len;
    while (from < len && strchr(" \"", line[from]))
        from++;
    size_t end = from;
    while (end < len && !strchr("\"\r\n", line[end]))
        end++;
    snprintf(r->etag, sizeof r->etag, "%.*s", (int)(end - from), line + from);
    return len;
}

static void set_tls(struct http *h)
{
    CURL *c = h->curl;
    const struct http_target *t = &h->target;
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    if (t->ca_pem) {
        struct curl_blob blob = {.data = t->ca_pem, .len = strlen(t->ca_pem), .flags = CURL_BLOB_COPY};
        curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    } else if (t->cacert) {
        curl_easy_setopt(c, CURLOPT_CAINFO, t->cacert);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    }
    if (t->client_cert)
        curl_easy_setopt(c, CURLOPT_SSLCERT, t->client_cert);
    if (t->client_key)
        curl_easy_setopt(c, CURLOPT_SSLKEY, t->client_key);
}

static void set_common(struct http *h, const char *method, const char *url)
{
    CURL *c = h->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_USERAGENT, "skep/" SKEP_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    if (h->socket)
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, h->socket);
    else
        set_tls(h);
    if (isatty(STDERR_FILENO)) {
        curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
        curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    }
}

/* The headers of one call: yours to free with curl_slist_free_all. */
static struct curl_slist *headers_of(const struct http *h, const char *body, bool streamed)
{
    struct curl_slist *list = streamed ? NULL : curl_slist_append(NULL, "Accept: application/json");
    for (const struct curl_slist *s = h->headers; s; s = s->next)
        list = curl_slist_append(list, s->data);
    if (h->target.token && !h->socket) {
        char *auth AUTOFREE = mem_printf("Authorization: Bearer %s", h->target.token);
        list = curl_slist_append(list, auth);
    }
    if (body)
        list = curl_slist_append(list, "Content-Type: application/json");
    return curl_slist_append(list, "Expect:");
}

static int curl_failed(const struct http *h, CURLcode code, const char *text, struct err *e)
{
    const char *addr = h->target.addr, *why = *text ? text : curl_easy_strerror(code);
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
        if (h->socket)
            return err_set(e, SKEP_EUNREACHABLE,
                           "nobody answers at %s; is skepd running, and may you use its socket?", addr);
        return err_set(e, SKEP_EUNREACHABLE, "nobody answers at %s: %s", addr, why);
    case CURLE_PEER_FAILED_VERIFICATION:
        return err_set(
            e, SKEP_EUNREACHABLE,
            "the certificate of %s is not one of the cluster's: %s; give the cluster's ca.pem with "
            "--cacert or SKEP_CACERT",
            addr, why);
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return err_set(e, SKEP_EUSAGE, "a certificate file cannot be used: %s", why);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(e, SKEP_EUNREACHABLE,
                       "%s took the request and did not answer in time; it may still happen", addr);
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return err_set(
            e, SKEP_EUNREACHABLE,
            "%s closed the connection before its answer was complete; what was asked may still happen", addr);
    case CURLE_WRITE_ERROR:
        return err_set(e, SKEP_ETOOLARGE, "the answer of %s is larger than %u bytes", addr, ANSWER_BYTES_MAX);
    default:
        return err_set(e, SKEP_EUNREACHABLE, "no answer from %s: %s", addr, why);
    }
}

static char *url_of(const struct http *h, const char *path)
{
    if (!h->timeout_ms)
        return mem_printf("%s%s", h->base, path);
    return mem_printf("%s%s%ctimeout_ms=%lld", h->base, path, strchr(path, '?') ? '&' : '?',
                      (long long)h->timeout_ms);
}

static long patience(const struct http *h)
{
    if (h->patience_ms)
        return (long)h->patience_ms;
    return (long)((h->timeout_ms ? h->timeout_ms : ANSWER_TIMEOUT_MS) + GRACE_MS);
}

static int perform(struct reception *r, const char *method, const char *path, const char *body, struct err *e)
{
    struct http *h = r->h;
    char text[CURL_ERROR_SIZE] = "", *url AUTOFREE = url_of(h, path);
    struct curl_slist *headers = headers_of(h, body, r->on_bytes != NULL);
    set_common(h, method, url);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, r);
    if (body) {
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, body);
    }
    if (!r->on_bytes)
        curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, patience(h));
    CURLcode code = curl_easy_perform(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    progress_end(h);
    return code == CURLE_OK || r->ended ? 0 : curl_failed(h, code, text, e);
}

static int status_of(const struct http *h)
{
    long status = 0;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

int http_call(struct http *h, const char *method, const char *path, const char *body,
              struct http_answer *ret_a, struct err *e)
{
    struct reception r = {.h = h, .body = STR_INIT};
    int rc = perform(&r, method, path, body, e);
    int status = rc ? 0 : status_of(h);
    if (rc == 0 && status >= 300)
        rc = problem_err(status, str_get(&r.body), r.body.n, e);
    if (rc == 0 && ret_a) {
        size_t n = r.body.n;
        *ret_a = (struct http_answer){.status = status, .body = str_take(&r.body), .body_n = n};
        memcpy(ret_a->etag, r.etag, sizeof r.etag);
    }
    str_fini(&r.body);
    return rc;
}

int http_stream(struct http *h, const char *method, const char *path,
                bool (*on_bytes)(void *self, const char *bytes, size_t n), void *self, struct err *e)
{
    struct reception r = {.h = h, .body = STR_INIT, .on_bytes = on_bytes, .self = self};
    int rc = perform(&r, method, path, NULL, e);
    if (rc == 0 && status_of(h) >= 300)
        rc = problem_err(status_of(h), str_get(&r.body), r.body.n, e);
    str_fini(&r.body);
    return rc;
}

static size_t on_nothing(char *bytes, size_t size, size_t n, void *self)
{
    (void)bytes, (void)self;
    return size * n;
}

/* A request that carries no secret, to whoever answers: only the certificates of its handshake are taken. */
int http_chain(struct http *h, char **ret_chain, struct err *e)
{
    char text[CURL_ERROR_SIZE] = "", *url AUTOFREE = url_of(h, "/livez");
    set_common(h, "GET", url);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_nothing);
    curl_easy_setopt(h->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(h->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(h->curl, CURLOPT_SSLCERT, NULL);
    curl_easy_setopt(h->curl, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(h->curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(h->curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS);
    CURLcode code = curl_easy_perform(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
    progress_end(h);
    if (code != CURLE_OK)
        return curl_failed(h, code, text, e);
    struct curl_certinfo *info = NULL;
    curl_easy_getinfo(h->curl, CURLINFO_CERTINFO, &info);
    struct str chain = STR_INIT;
    for (int i = 0; info && i < info->num_of_certs; i++)
        for (const struct curl_slist *s = info->certinfo[i]; s; s = s->next)
            if (text_starts(s->data, "Cert:"))
                str_printf(&chain, "%s\n", s->data + 5);
    *ret_chain = str_take(&chain);
    return 0;
}
