/* cluster: nodes to measure, by `skep dev` in a folder of their own. They end when this process does. */
#ifndef SKEP_BENCH_CLUSTER_H
#define SKEP_BENCH_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "bench/http.h"

#define CLUSTER_NODES_MAX 9

struct bench_node {
    char *name, *db, *skepd, *conf; /* owned */
    uint16_t port;
    pid_t pid;
};

struct cluster {
    char *dir, *log, *ca, *token; /* owned; log: what `skep dev` says */
    struct bench_node node[CLUSTER_NODES_MAX];
    uint16_t port[CLUSTER_NODES_MAX]; /* the same ports again, for struct load */
    size_t n;
    pid_t dev;
    struct ssl_ctx_st *tls;
};

/* bin: the folder of the programs. dir: exists. Ready when it returns. */
int cluster_start(struct cluster *ret, const char *bin, const char *dir, size_t n, struct err *e);
/* Ends all nodes gracefully and waits. Accepts zeros. Leaves the folder. */
void cluster_stop(struct cluster *c);
/* Seconds of processor time that a process, or all nodes, have used. */
double process_cpu_s(pid_t pid);
double cluster_cpu_s(const struct cluster *c);
/* The value of a line of a node's /metrics; -1 if there is none. */
double cluster_metric(struct cluster *c, size_t node, const char *name);
/* One request to a node on a connection of its own; the status must be `want`. ret_body may be NULL. */
int cluster_call(struct cluster *c, size_t node, const char *method, const char *path, const char *body,
                 int want, struct str *ret_body, struct err *e);

/* A new empty folder below base. Yours. */
char *folder_new(const char *base, const char *name);
void folder_remove(const char *path);
/* A child process; out >= 0: its standard output; standard error is added to the file. It gets SIGTERM when
 * we die. < 0: failed. */
pid_t run(char *const *argv, int out, const char *error_file);
/* Fails with the end of that file. */
int said(const char *error_file, const char *what, struct err *e);

#endif
