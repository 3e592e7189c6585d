#include "bench/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/samples.h"
#include "wire/json.h"

#define START_MS 60000

char *folder_new(const char *base, const char *name)
{
    static int number;
    char *path = mem_printf("%s/%s-%d", base, name, ++number);
    mkdir(path, 0700);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    remove(path);
    return 0;
}

void folder_remove(const char *path)
{
    if (path)
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int said(const char *error_file, const char *what, struct err *e)
{
    char words[400] = "";
    FILE *f = fopen(error_file, "re");
    if (f) {
        fseek(f, -(long)(sizeof words - 1), SEEK_END);
        words[fread(words, 1, sizeof words - 1, f)] = 0;
        fclose(f);
    }
    return err_set(e, SKEP_EUNREACHABLE, "%s: %s", what, words);
}

pid_t run(char *const *argv, int out, const char *error_file)
{
    pid_t us = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != us)
        _exit(1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(out >= 0 ? out : null, 1);
    dup2(open(error_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 2);
    execv(argv[0], argv);
    _exit(127);
}

/* One line from a pipe. */
static int read_line(int fd, const char *log, struct str *ret, struct err *e)
{
    int64_t end = now_ms() + START_MS;
    for (;;) {
        char bytes[4096];
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left = end - now_ms();
        ssize_t n = poll(&p, 1, left > 0 ? (int)left : 0) > 0 ? read(fd, bytes, sizeof bytes) : -1;
        if (n <= 0)
            return said(log, "skep dev did not come up", e);
        str_add(ret, bytes, (size_t)n);
        if (bytes[n - 1] == '\n')
            return 0;
    }
}

static char *text_at(const struct cJSON *v, const char *path)
{
    return mem_dup(json_text(json_path(v, path)));
}

static void node_read(struct bench_node *n, const struct cJSON *v)
{
    const char *url = json_text(json_member(v, "url")), *port = url ? strrchr(url, ':') : NULL;
    n->name = text_at(v, "name");
    n->db = text_at(v, "db");
    n->skepd = text_at(v, "argv.0");
    n->conf = text_at(v, "argv.2");
    n->port = (uint16_t)(port ? atoi(port + 1) : 0);
    n->pid = (pid_t)json_i64(json_member(v, "pid"), 0);
}

static int cluster_read(struct cluster *c, const struct str *line, struct err *e)
{
    struct json *j = NULL;
    int rc = json_parse(str_get(line), line->n, &j, e);
    if (rc < 0)
        return rc;
    c->ca = text_at(json_root(j), "ca");
    c->token = text_at(json_root(j), "token");
    const struct cJSON *v = json_first(json_path(json_root(j), "nodes"));
    for (; v && c->n < CLUSTER_NODES_MAX; v = json_next(v), c->n++) {
        node_read(&c->node[c->n], v);
        c->port[c->n] = c->node[c->n].port;
    }
    json_free(j);
    return c->ca && c->token ? http_tls_new(c->ca, &c->tls, e)
                             : err_set(e, SKEP_EINTERNAL, "skep dev said %s", str_get(line));
}

int cluster_start(struct cluster *ret, const char *bin, const char *dir, size_t n, struct err *e)
{
    AUTOSTR struct str line = STR_INIT;
    AUTOFREE char *program = mem_printf("%s/skep", bin), *number = mem_printf("%zu", n);
    char *argv[] = {program, "dev", "-n", number, "--dir", (char *)(uintptr_t)dir, "-o", "json", NULL};
    int out[2];
    *ret = (struct cluster){.dir = mem_dup(dir), .log = mem_printf("%s/dev.log", dir)};
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_set(e, SKEP_EIO, "pipe: %m");
    ret->dev = run(argv, out[1], ret->log);
    close(out[1]);
    int rc = ret->dev < 0 ? err_set(e, SKEP_EIO, "fork: %m") : read_line(out[0], ret->log, &line, e);
    close(out[0]);
    if (rc == 0)
        rc = cluster_read(ret, &line, e);
    if (rc < 0)
        cluster_stop(ret);
    return rc;
}

void cluster_stop(struct cluster *c)
{
    if (c->dev > 0) {
        kill(c->dev, SIGTERM);
        waitpid(c->dev, NULL, 0);
    }
    for (size_t i = 0; i < c->n; i++) {
        free(c->node[i].name);
        free(c->node[i].db);
        free(c->node[i].skepd);
        free(c->node[i].conf);
    }
    http_tls_free(c->tls);
    free(c->dir);
    free(c->log);
    free(c->ca);
    free(c->token);
    *c = (struct cluster){0};
}

int cluster_call(struct cluster *c, size_t node, const char *method, const char *path, const char *body,
                 int want, struct str *ret_body, struct err *e)
{
    struct http h = {.fd = -1};
    int rc = http_open(&h, c->tls, c->port[node], e);
    if (rc == 0)
        rc = http_call(&h, method, path, c->token, body, 60000, e);
    if (rc == 0 && h.status != want)
        rc = err_set(e, SKEP_EINTERNAL, "%s %s: %d %.*s", method, path, h.status, (int)http_body(&h).n,
                     http_body(&h).p);
    if (rc == 0 && ret_body)
        str_add(ret_body, http_body(&h).p, http_body(&h).n);
    http_close(&h);
    return rc;
}

double process_cpu_s(pid_t pid)
{
    AUTOFREE char *path = mem_printf("/proc/%d/stat", (int)pid);
    unsigned long user = 0, kernel = 0;
    FILE *f = fopen(path, "re");
    /* pid (name) state and ten more, then user and kernel time */
    if (f &&
        fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        user = kernel = 0;
    if (f)
        fclose(f);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

double cluster_cpu_s(const struct cluster *c)
{
    double s = 0;
    for (size_t i = 0; i < c->n; i++)
        s += process_cpu_s(c->node[i].pid);
    return s;
}

double cluster_metric(struct cluster *c, size_t node, const char *name)
{
    AUTOSTR struct str text = STR_INIT;
    AUTOFREE char *line = mem_printf("\n%s ", name);
    if (cluster_call(c, node, "GET", "/metrics", NULL, 200, &text, NULL) < 0)
        return -1;
    const char *at = strstr(str_get(&text), line);
    return at ? strtod(at + strlen(line), NULL) : -1;
}
