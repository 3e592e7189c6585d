/* devrun: starts, watches and ends nodes. Decides nothing about what they do. */
#include "skep/devrun.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "real/file.h"
#include "skep/http.h"
#include "skep/print.h"
#include "wire/json.h"

#define POLL_MS     50
#define PATIENCE_MS 1000 /* with one answer while starting */
#define NOW_MS      3000 /* from "end now" to SIGKILL */
#define LOG_TAIL    1200
#define PROGRESS_MS 1000

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* skepd lives beside skep. */
int devrun_init(struct devrun *ret_r, const struct devcluster *c, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    char *skepd = mem_printf("%s/skepd", self);
    if (access(skepd, X_OK)) {
        int rc = err_set(e, SKEP_ENOTFOUND, "there is no skepd beside this program (%s)", skepd);
        free(skepd);
        return rc;
    }
    *ret_r = (struct devrun){.cluster = c, .skepd = skepd};
    return 0;
}

void devrun_fini(struct devrun *r)
{
    free(r->skepd);
    r->skepd = NULL;
}

/* Starting. */

/* The environment counts more than a node's own file: what says who a node is must not come from there. */
static void forget_identity(void)
{
    static const char *const names[] = {"SKEP_CONFIG",     "SKEP_NODE_NAME", "SKEP_DIR", "SKEP_LISTEN",
                                        "SKEP_ADVERTISE",  "SKEP_PEERS",     "SKEP_CA",  "SKEP_CERT",
                                        "SKEP_KEY",        "SKEP_CA_KEY",    "SKEP_FD",  "SKEP_RUN",
                                        "SKEP_SOCKET_PATH"};
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
}

_Noreturn static void become_skepd(const struct devrun *r, const struct devnode *n, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0); /* a Ctrl-C is dev's alone: dev decides what nodes hear */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    int in = open("/dev/null", O_RDONLY), out = open(n->log, O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(1);
    close_range(3, ~0U, 0);
    signal(SIGPIPE, SIG_DFL);
    forget_identity();
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl(r->skepd, r->skepd, "--config", n->conf, (char *)NULL);
    dprintf(2, "cannot run %s: %s\n", r->skepd, strerror(errno));
    _exit(127);
}

int devrun_start(struct devrun *r, struct err *e)
{
    pid_t parent = getpid();
    for (size_t i = 0; i < r->cluster->n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            become_skepd(r, &r->cluster->nodes[i], parent);
        if (pid < 0)
            return err_set(e, SKEP_EINTERNAL, "cannot start node %s: %s", r->cluster->nodes[i].name,
                           strerror(errno));
        r->pid[i] = pid;
        r->started_pid[i] = pid;
    }
    return 0;
}

/* Ends. */

static void end_text(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

/* Takes one ended node; false if there is none. */
static bool reap(struct devrun *r, size_t *ret_i, int *ret_status)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0)
        return false;
    for (size_t i = 0; i < r->cluster->n; i++)
        if (r->pid[i] == pid) {
            r->pid[i] = 0;
            *ret_i = i;
            *ret_status = status;
            return true;
        }
    return false;
}

static size_t living(const struct devrun *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->cluster->n; i++)
        n += r->pid[i] > 0;
    return n;
}

static void signal_all(const struct devrun *r, int sig)
{
    for (size_t i = 0; i < r->cluster->n; i++)
        if (r->pid[i] > 0) {
            kill(r->pid[i], sig);
            kill(r->pid[i], SIGCONT); /* a stopped node hears nothing else */
        }
}

/* One of the three signals within the time, or 0. */
static int wait_signal(int64_t ms)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (ms < 0)
        ms = 0;
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int sig = sigtimedwait(&set, NULL, &t);
    return sig > 0 ? sig : 0;
}

/* Ready. */

static int ask(const struct devnode *n, const char *path, struct str *ret_body)
{
    struct http_target t = {.addr = mem_printf("unix://%s", n->socket)};
    struct http *h = NULL;
    struct http_answer a = {0};
    if (http_new(&t, &h, NULL))
        return -1;
    http_set_patience(h, PATIENCE_MS);
    int rc = http_call(h, "GET", path, NULL, &a, NULL);
    if (rc == 0 && json_check(a.body, a.body_n, NULL) == 0) {
        str_clear(ret_body);
        str_add(ret_body, a.body, a.body_n);
    }
    http_answer_fini(&a);
    http_free(h);
    return rc;
}

static bool sees(struct span list, const char *name)
{
    struct span item;
    struct json_iter it = json_iter_init(list);
    while (json_iter_next(&it, NULL, &item)) {
        char *called AUTOFREE = text_at(item, "name"), *status AUTOFREE = text_at(item, "status");
        if (strcmp(called, name) == 0)
            return strcmp(status, "healthy") == 0;
    }
    return false;
}

/* Itself ready, and all of the cluster healthy in its eyes. */
static bool node_ready(struct devrun *r, size_t i)
{
    const struct devnode *n = &r->cluster->nodes[i];
    struct str body AUTOSTR = STR_INIT;
    if (ask(n, "/readyz", &body) || ask(n, "/v1/nodes?limit=1000", &body))
        return false;
    struct span list = json_raw_member(str_get(&body), body.n, "nodes");
    for (size_t k = 0; k < r->cluster->n; k++)
        if (!list.p || !sees(list, r->cluster->nodes[k].name))
            return false;
    char *path AUTOFREE = path_printf("/v1/nodes/%s", n->name);
    if (ask(n, path, &body))
        return false;
    struct span keeper = json_raw_member(str_get(&body), body.n, "keeper_pid");
    return !keeper.p || json_type(keeper) != JSON_T_NUMBER || json_int(keeper, &r->keeper_pid[i]);
}

static int node_died(const struct devrun *r, size_t i, int status, struct err *e)
{
    const struct devnode *n = &r->cluster->nodes[i];
    char how[96];
    struct str log AUTOSTR = STR_INIT;
    end_text(status, how, sizeof how);
    const char *tail = "";
    if (file_read(n->log, 64u << 20, &log, NULL, NULL) == 0) {
        tail = str_get(&log) + (log.n > LOG_TAIL ? log.n - LOG_TAIL : 0);
        if (log.n > LOG_TAIL && strchr(tail, '\n'))
            tail = strchr(tail, '\n') + 1;
    }
    fprintf(stderr, "%s", tail);
    return err_set(e, SKEP_EUNREACHABLE, "node %s %s before it was ready; its log is %s", n->name, how,
                   n->log);
}

static void show_progress(int64_t ms, const char *name)
{
    if (ms >= PROGRESS_MS && isatty(STDERR_FILENO))
        fprintf(stderr, "\rskep: waiting for node %s, %lld s \033[K", name, (long long)ms / 1000);
}

int devrun_wait_ready(struct devrun *r, int64_t limit_ms, bool *ret_asked, struct err *e)
{
    int64_t start = now_ms();
    size_t i = 0, dead;
    int rc = 0, status;
    *ret_asked = false;
    while (i < r->cluster->n && rc == 0) {
        if (node_ready(r, i)) {
            i++;
            continue;
        }
        int sig = wait_signal(POLL_MS);
        if (reap(r, &dead, &status))
            rc = node_died(r, dead, status, e);
        else if (sig == SIGINT || sig == SIGTERM)
            rc = *ret_asked = true, err_set(e, SKEP_EINTERNAL, "asked to end before the cluster was ready");
        else if (now_ms() - start > limit_ms)
            rc = err_set(e, SKEP_EUNREACHABLE, "node %s is not ready after %lld s; its log is %s",
                         r->cluster->nodes[i].name, (long long)limit_ms / 1000, r->cluster->nodes[i].log);
        show_progress(now_ms() - start, r->cluster->nodes[i].name);
    }
    if (now_ms() - start >= PROGRESS_MS && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    return rc;
}

void devrun_wait_end(struct devrun *r)
{
    for (int sig = 0; sig != SIGINT && sig != SIGTERM;) {
        size_t i;
        int status;
        char how[96];
        sig = wait_signal(60000);
        while (reap(r, &i, &status)) {
            end_text(status, how, sizeof how);
            fprintf(stderr, "skep: node %s %s; it is not started again\n", r->cluster->nodes[i].name, how);
        }
    }
}

void devrun_stop(struct devrun *r)
{
    int64_t kill_at = INT64_MAX;
    size_t i;
    int status, asked = 0;
    if (living(r) == 0)
        return;
    if (isatty(STDERR_FILENO))
        fputs("\nskep: ending the nodes; interrupt again to end them now\n", stderr);
    signal_all(r, SIGTERM);
    while (living(r) > 0) {
        int64_t left = kill_at - now_ms();
        int sig = wait_signal(left < 1000 ? left : 1000);
        if ((sig == SIGINT || sig == SIGTERM) && asked++ == 0) {
            signal_all(r, SIGTERM);
            kill_at = now_ms() + NOW_MS;
        } else if (sig == SIGINT || sig == SIGTERM || now_ms() >= kill_at) {
            signal_all(r, SIGKILL);
        }
        while (reap(r, &i, &status))
            continue;
    }
}
