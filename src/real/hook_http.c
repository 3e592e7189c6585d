/* One multi handle on one thread; hook_http_call puts a call into a list and wakes it up. */
#include "real/hook_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/ensure.h"
#include "base/list.h"
#include "node/hook_spec.h"
#include "wire/digest.h"

#define POLL_MS 1000

struct call {
    TAILQ_ENTRY(call) link;
    struct hook_call *c;
    struct setup *setup;
    struct hook_http *owner;
    CURL *easy;
    struct curl_slist *headers;
    struct str answer;
    char why[CURL_ERROR_SIZE];
};
TAILQ_HEAD(calls, call);

struct hook_http {
    void (*answered)(void *ctx, uint64_t id, int status, char *text TAKES, size_t n);
    void *ctx;
    CURLM *multi;
    pthread_t thread;
    bool started;
    atomic_bool ended;
    pthread_mutex_t lock;
    struct calls fresh, running; /* fresh: under the lock */
};

void hook_sign(const char *secret, int64_t at_s, struct span body, struct str *ret)
{
    unsigned char sum[DIGEST_BYTES];
    AUTOFREE char *at = mem_printf("%lld.", (long long)at_s);
    struct span pieces[] = {{at, strlen(at)}, body};
    digest_hmac((struct span){secret, strlen(secret)}, pieces, COUNT(pieces), sum);
    str_printf(ret, "t=%lld,v1=", (long long)at_s);
    str_hex(ret, sum, sizeof sum);
}

/* ---- one call ---- */

static void call_free(struct call *k)
{
    if (k->easy)
        curl_easy_cleanup(k->easy);
    curl_slist_free_all(k->headers);
    hook_call_free(k->c);
    setup_unref(k->setup);
    str_fini(&k->answer);
    free(k);
}

static void call_end(struct call *k, int status, const char *why)
{
    size_t n = why ? strlen(why) : k->answer.n;
    k->owner->answered(k->owner->ctx, k->c->id, status, why ? mem_dup(why) : str_take(&k->answer), n);
    call_free(k);
}

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct call *k = arg;
    if (k->answer.n + size * n > HOOK_HTTP_ANSWER_MAX)
        return 0;
    str_add(&k->answer, p, size * n);
    return size * n;
}

static void header(struct call *k, const char *name, const char *value)
{
    AUTOFREE char *line = mem_printf("%s: %s", name, value);
    k->headers = curl_slist_append(k->headers, line);
    ensure(k->headers, "out of memory");
}

static const char *sign(struct call *k)
{
    AUTOSTR struct str value = STR_INIT;
    if (!k->c->secret)
        return NULL;
    const char *secret = setup_hook_secret(k->setup, k->c->secret);
    if (!secret)
        return "hook_secrets of this node has no secret of that name";
    hook_sign(secret, (int64_t)time(NULL), (struct span){k->c->body, k->c->body_n}, &value);
    header(k, "Skep-Signature", str_get(&value));
    return NULL;
}

static void headers(struct call *k)
{
    AUTOFREE char *attempt = mem_printf("%u", k->c->attempt);
    header(k, "Content-Type", "application/json");
    header(k, "Expect", "");
    header(k, "Skep-Hook", k->c->hook);
    header(k, "Skep-Event", k->c->event);
    if (*k->c->event_id)
        header(k, "Skep-Event-Id", k->c->event_id);
    header(k, "Skep-Attempt", attempt);
}

/* NULL, or why it cannot be made. */
static const char *call_make(struct call *k)
{
    if (text_starts(k->c->url, "http://") && !hook_url_is_local(k->c->url))
        return "http:// is for this machine only";
    k->easy = curl_easy_init();
    ensure(k->easy, "libcurl gives no handle");
    headers(k);
    const char *why = sign(k);
    if (why)
        return why;
    CURL *e = k->easy;
    curl_easy_setopt(e, CURLOPT_URL, k->c->url);
    curl_easy_setopt(e, CURLOPT_PRIVATE, k);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (k->setup->config.hook_ca)
        curl_easy_setopt(e, CURLOPT_CAINFO, k->setup->config.hook_ca); /* the system's stay in CAPATH */
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)k->c->timeout_ms);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)k->c->timeout_ms);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "skep/" SKEP_VERSION);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)k->c->body_n);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, k->c->body);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, k->headers);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, k);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, k->why);
    return NULL;
}

/* ---- the thread ---- */

static void take_fresh(struct hook_http *h)
{
    struct calls fresh = TAILQ_HEAD_INITIALIZER(fresh);
    struct call *k;
    pthread_mutex_lock(&h->lock);
    TAILQ_CONCAT(&fresh, &h->fresh, link);
    pthread_mutex_unlock(&h->lock);
    while ((k = TAILQ_FIRST(&fresh))) {
        TAILQ_REMOVE(&fresh, k, link);
        const char *why = call_make(k);
        if (why) {
            call_end(k, 0, why);
            continue;
        }
        TAILQ_INSERT_TAIL(&h->running, k, link);
        curl_multi_add_handle(h->multi, k->easy);
    }
}

static void one_done(struct hook_http *h, CURL *easy, CURLcode result)
{
    struct call *k = NULL;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &k);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(h->multi, easy);
    TAILQ_REMOVE(&h->running, k, link);
    if (result == CURLE_OK)
        call_end(k, (int)status, NULL);
    else if (result == CURLE_WRITE_ERROR)
        call_end(k, 0, "its answer is longer than 1 MiB");
    else
        call_end(k, 0, k->why[0] ? k->why : curl_easy_strerror(result));
}

static void *run(void *arg)
{
    struct hook_http *h = arg;
    int some;
    pthread_setname_np(pthread_self(), "skepd-hooks");
    while (!atomic_load(&h->ended)) {
        take_fresh(h);
        curl_multi_perform(h->multi, &some);
        for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &some));)
            if (m->msg == CURLMSG_DONE)
                one_done(h, m->easy_handle, m->data.result);
        curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL);
    }
    return NULL;
}

struct hook_http *
hook_http_new(void (*answered)(void *ctx, uint64_t id, int status, char *text TAKES, size_t n), void *ctx)
{
    struct hook_http *h = mem_alloc(sizeof *h);
    h->answered = answered;
    h->ctx = ctx;
    TAILQ_INIT(&h->fresh);
    TAILQ_INIT(&h->running);
    pthread_mutex_init(&h->lock, NULL);
    ensure(curl_global_init(CURL_GLOBAL_DEFAULT) == 0, "libcurl does not start");
    h->multi = curl_multi_init();
    ensure(h->multi, "libcurl gives no handle");
    return h;
}

void hook_http_call(struct hook_http *h, struct setup *setup, struct hook_call *c TAKES)
{
    struct call *k = mem_alloc(sizeof *k);
    k->c = c;
    k->setup = setup_ref(setup);
    k->owner = h;
    pthread_mutex_lock(&h->lock);
    TAILQ_INSERT_TAIL(&h->fresh, k, link);
    pthread_mutex_unlock(&h->lock);
    if (!h->started) {
        h->started = true;
        ensure(pthread_create(&h->thread, NULL, run, h) == 0, "no thread for hooks");
    }
    curl_multi_wakeup(h->multi);
}

static void calls_free(struct hook_http *h, struct calls *list)
{
    struct call *k;
    while ((k = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, k, link);
        if (k->easy)
            curl_multi_remove_handle(h->multi, k->easy);
        call_free(k);
    }
}

void hook_http_free(struct hook_http *h)
{
    if (!h)
        return;
    atomic_store(&h->ended, true);
    curl_multi_wakeup(h->multi);
    if (h->started)
        pthread_join(h->thread, NULL);
    calls_free(h, &h->running);
    calls_free(h, &h->fresh);
    curl_multi_cleanup(h->multi);
    curl_global_cleanup();
    pthread_mutex_destroy(&h->lock);
    free(h);
}
