/* devcluster: decides names, ports and peers of a cluster for trying things out. Starts nothing. */
#include "skep/devcluster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/config.h"
#include "real/file.h"
#include "skep/folder.h"
#include "skep/port.h"
#include "store/store.h"

static int make_temporary(char **ret_dir, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/skep-dev-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        int rc = err_set(e, SKEP_EARG, "cannot make a folder like %s: %s", dir, strerror(errno));
        free(dir);
        return rc;
    }
    *ret_dir = dir;
    return 0;
}

static int make_given(const char *dir, char **ret_dir, struct err *e)
{
    char *absolute AUTOFREE = folder_absolute(dir);
    int rc = folder_make(absolute, e);
    if (rc)
        return rc;
    *ret_dir = folder_absolute(absolute);
    return 0;
}

static int take_lock(struct devcluster *c, struct err *e)
{
    char *path AUTOFREE = folder_path(c->dir, "dev.lock"), pid[16] = "";
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock < 0)
        return err_set(e, SKEP_EFORBIDDEN, "cannot open %s: %s", path, strerror(errno));
    if (flock(c->lock, LOCK_EX | LOCK_NB)) {
        ssize_t n = pread(c->lock, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        return err_set(e, SKEP_ELOCKED, "another skep dev (pid %.15s) runs the cluster in %s", pid, c->dir);
    }
    int len = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(c->lock, 0) || pwrite(c->lock, pid, (size_t)len, 0) != len)
        return err_set(e, SKEP_EIO, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

static void node_fini(struct devnode *n)
{
    free(n->dir);
    free(n->conf);
    free(n->db);
    free(n->socket);
    free(n->url);
    free(n->log);
    *n = (struct devnode){0};
}

static void name_node(struct devcluster *c, size_t i)
{
    struct devnode *n = &c->nodes[i];
    node_fini(n);
    n->name[0] = (char)('a' + i);
    n->dir = folder_path(c->dir, n->name);
    n->conf = folder_path(n->dir, "skep.conf");
    n->db = folder_path(n->dir, "skep.db");
    n->socket = folder_path(n->dir, "skep.sock");
    n->log = folder_path(n->dir, "skepd.log");
}

void devcluster_fini(struct devcluster *c)
{
    for (size_t i = 0; i < DEV_NODES_MAX; i++)
        node_fini(&c->nodes[i]);
    free(c->dir);
    free(c->ca);
    free(c->token);
    if (c->lock >= 0)
        close(c->lock);
    *c = (struct devcluster){.lock = -1};
}

/* What an earlier run made. */

static int read_conf(struct devnode *n, struct err *e)
{
    struct config conf = CONFIG_INIT;
    char *const none[] = {NULL};
    int64_t port;
    int rc = config_load(&conf, n->conf, none, NULL, 0, e);
    if (rc)
        return rc;
    const char *colon = strrchr(conf.advertise, ':');
    if (colon && text_i64(colon + 1, 1, 65535, &port)) {
        n->port = (uint16_t)port;
        n->url = mem_dup(conf.advertise);
    } else {
        rc = err_set(e, SKEP_ECONFIG, "%s names no port to be reached at (advertise)", n->conf);
    }
    config_fini(&conf);
    return rc;
}

static int read_token(struct devcluster *c, struct err *e)
{
    char *path AUTOFREE = folder_path(c->dir, "token");
    struct str text AUTOSTR = STR_INIT;
    int rc = file_read(path, 4096, &text, NULL, e);
    if (rc)
        return rc;
    while (text.n && text.p[text.n - 1] == '\n')
        text.p[--text.n] = 0;
    c->token = str_take(&text);
    return 0;
}

static int check_port(const struct devnode *n, struct err *e)
{
    if (port_is_free(n->port))
        return 0;
    return err_set(e, SKEP_EUNREACHABLE,
                   "port %u of node %s is in use by another program; end it, or make another cluster",
                   n->port, n->name);
}

static int load(struct devcluster *c, struct err *e)
{
    int rc = 0;
    while (c->n < DEV_NODES_MAX && rc == 0) {
        name_node(c, c->n);
        if (!folder_complete(c->nodes[c->n].dir))
            break;
        rc = read_conf(&c->nodes[c->n], e);
        if (rc == 0)
            rc = check_port(&c->nodes[c->n], e);
        c->n += rc == 0;
    }
    return rc || c->n == 0 ? rc : read_token(c, e);
}

/* What this run makes. */

static int choose_ports(struct devcluster *c, size_t n, uint16_t base_port, struct err *e)
{
    uint16_t taken[DEV_NODES_MAX];
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct devnode *node = &c->nodes[i];
        if (i >= c->n) {
            name_node(c, i);
            if (base_port)
                node->port = (uint16_t)(base_port + i);
            rc = base_port ? check_port(node, e) : port_find(taken, i, &node->port, e);
            free(node->url);
            node->url = mem_printf("https://127.0.0.1:%u", node->port);
        }
        taken[i] = node->port;
    }
    return rc;
}

/* The ids of the cluster, from the database of its first node. */
static int read_cluster_id(const struct devcluster *c, struct id *ret_id, struct err *e)
{
    struct store *s = NULL;
    struct store_options o = {.path = c->nodes[0].db, .readonly = true};
    int rc = store_open(&s, &o, e);
    if (rc)
        return rc;
    char *text AUTOFREE = store_meta(s, "cluster");
    store_close(s);
    if (!text || !id_parse(text, ret_id))
        return err_set(e, SKEP_EDAMAGED, "%s names no cluster", c->nodes[0].db);
    return 0;
}

static int make_node(struct devcluster *c, size_t i, size_t n, const struct id *cluster, const char *work_dir,
                     struct err *e)
{
    const struct devnode *node = &c->nodes[i];
    char listen[32], hash[65], *peers[DEV_NODES_MAX];
    char *token_path AUTOFREE = folder_path(c->dir, "token");
    size_t peers_n = 0;
    for (size_t k = 0; k < n; k++)
        if (k != i)
            peers[peers_n++] = c->nodes[k].url;
    snprintf(listen, sizeof listen, "127.0.0.1:%u", node->port);
    struct folder f = {.dir = node->dir,
                       .name = node->name,
                       .listen = listen,
                       .advertise = node->url,
                       .peers = peers,
                       .peers_n = peers_n,
                       .work_dir = work_dir,
                       .cluster = *cluster};
    folder_id(&f.node);
    int rc = folder_make(f.dir, e);
    if (rc == 0 && i == 0)
        rc = folder_ca(&f, e);
    if (rc == 0)
        rc = folder_issue(&f, c->nodes[0].dir, e);
    if (rc == 0)
        rc = folder_conf(&f, e);
    if (rc == 0 && i == 0)
        rc = folder_token(token_path, hash, &c->token, e);
    return rc ? rc : folder_store(&f, i == 0, i == 0 ? hash : NULL, e);
}

static int copy_ca(const struct devcluster *c, struct err *e)
{
    char *from AUTOFREE = folder_path(c->nodes[0].dir, "ca.crt");
    struct str text AUTOSTR = STR_INIT;
    int rc = file_read(from, 1u << 20, &text, NULL, e);
    return rc ? rc : file_replace(c->ca, 0644, str_get(&text), text.n, e);
}

static int make(struct devcluster *c, size_t n, uint16_t base_port, struct err *e)
{
    struct id cluster;
    char *here = getcwd(NULL, 0);
    int rc = choose_ports(c, n, base_port, e);
    if (rc == 0 && c->n)
        rc = read_cluster_id(c, &cluster, e);
    else
        folder_id(&cluster);
    for (size_t i = c->n; i < n && rc == 0; i++)
        rc = make_node(c, i, n, &cluster, here ? here : "/", e);
    free(here);
    if (rc == 0)
        c->n = n;
    return rc ? rc : copy_ca(c, e);
}

int devcluster_open(const char *dir, size_t n, uint16_t base_port, struct devcluster *ret_c, struct err *e)
{
    struct devcluster c = {.lock = -1};
    int rc = dir ? make_given(dir, &c.dir, e) : make_temporary(&c.dir, e);
    if (rc == 0)
        rc = take_lock(&c, e);
    if (rc == 0) {
        c.ca = folder_path(c.dir, "ca.crt");
        rc = load(&c, e);
    }
    if (rc == 0 && n && n < c.n)
        rc = err_set(e, SKEP_EUSAGE, "the cluster in %s has %zu nodes; -n can only add some", c.dir, c.n);
    if (rc == 0 && (n > c.n || c.n == 0))
        rc = make(&c, n ? n : 1, base_port, e);
    if (rc)
        devcluster_fini(&c);
    else
        *ret_c = c;
    return rc;
}
