/* folder: decides what files a new node begins with. Refuses to know how it is asked for: init, join, dev. */
#include "skep/folder.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "node/token.h"
#include "real/config.h"
#include "real/file.h"
#include "real/pki.h"
#include "store/store.h"

#define PEM_BYTES_MAX (64u << 10)

/* The outside, as the libraries want to have it. */

static int64_t clock_ms(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t real_ms(void *self)
{
    (void)self;
    return clock_ms(CLOCK_REALTIME);
}

static int64_t boot_ms(void *self)
{
    (void)self;
    return clock_ms(CLOCK_BOOTTIME);
}

static void fill(void *self, void *bytes, size_t n)
{
    (void)self;
    for (char *p = bytes; n > 0;) {
        ssize_t got = getrandom(p, n, 0);
        ensure(got > 0 || errno == EINTR, "getrandom: %s", strerror(errno));
        p += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
}

static const struct world_clock our_clock = {NULL, real_ms, boot_ms};
static const struct world_random our_random = {NULL, fill};

void folder_id(struct id *ret_id)
{
    do
        fill(NULL, ret_id->b, sizeof ret_id->b);
    while (id_is_zero(ret_id));
}

/* Paths. */

char *folder_path(const char *dir, const char *file)
{
    return mem_printf("%s/%s", dir, file);
}

char *folder_absolute(const char *path)
{
    char here[PATH_MAX], *real = realpath(path, NULL);
    if (real)
        return real;
    if (*path == '/' || !getcwd(here, sizeof here))
        return mem_dup(path);
    return mem_printf("%s/%s", strcmp(here, "/") == 0 ? "" : here, text_starts(path, "./") ? path + 2 : path);
}

bool folder_complete(const char *dir)
{
    char *db AUTOFREE = folder_path(dir, "skep.db");
    return access(db, F_OK) == 0;
}

static int make_one(const char *dir, struct err *e)
{
    if (mkdir(dir, 0750) == 0 || errno == EEXIST || errno == EISDIR)
        return 0;
    int code = errno == ENOSPC                     ? SKEP_EDISKFULL
               : errno == EACCES || errno == EPERM ? SKEP_EFORBIDDEN
                                                   : SKEP_EARG;
    return err_set(e, code, "cannot make the folder %s: %s", dir, strerror(errno));
}

int folder_make(const char *dir, struct err *e)
{
    char *path AUTOFREE = mem_dup(dir);
    int rc = 0;
    for (char *p = path + 1; *p && rc == 0; p++)
        if (*p == '/' && access((*p = 0, path), F_OK))
            rc = make_one(path, e), *p = '/';
        else if (*p == 0)
            *p = '/';
    if (rc == 0)
        rc = make_one(dir, e);
    if (rc == 0 && folder_complete(dir))
        rc = err_set(e, SKEP_ETAKEN, "%s holds a node already; choose another folder with --dir", dir);
    return rc;
}

/* Addresses. "[::1]:7537" → "::1". */

static char *host_of(const char *host_port)
{
    const char *colon = strrchr(host_port, ':');
    size_t n = colon ? (size_t)(colon - host_port) : strlen(host_port);
    bool bracket = n > 1 && host_port[0] == '[' && host_port[n - 1] == ']';
    return mem_printf("%.*s", (int)(bracket ? n - 2 : n), host_port + bracket);
}

static bool is_everywhere(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "*") == 0;
}

char *folder_advertise(const char *listen)
{
    char *host AUTOFREE = host_of(listen), name[256] = "localhost";
    const char *port = strrchr(listen, ':');
    if (!is_everywhere(host))
        return mem_printf("https://%s", listen);
    gethostname(name, sizeof name - 1);
    return mem_printf("https://%s%s", name, port ? port : ":7537");
}

/* Certificates. */

int folder_ca(const struct folder *f, struct err *e)
{
    char text[ID_TEXT];
    return pki_ca_new(f->dir, id_text(&f->cluster, text), real_ms(NULL), e);
}

static int copy_file(const char *from, const char *to, mode_t mode, struct err *e)
{
    struct str text AUTOSTR = STR_INIT;
    int rc = file_read(from, PEM_BYTES_MAX, &text, NULL, e);
    return rc ? rc : file_replace(to, mode, str_get(&text), text.n, e);
}

struct subject {
    char *hosts[2];
    struct pki_subject pki;
};

static void subject_init(struct subject *s, const struct folder *f)
{
    *s = (struct subject){.pki = {.node = f->node, .name = f->name, .hosts = (const char *const *)s->hosts}};
    char *listen = host_of(f->listen);
    s->hosts[s->pki.hosts_n++] = host_of(f->advertise + strlen("https://"));
    if (!is_everywhere(listen) && strcmp(listen, s->hosts[0]) != 0)
        s->hosts[s->pki.hosts_n++] = TAKE(listen);
    free(listen);
}

static void subject_fini(struct subject *s)
{
    free(s->hosts[0]);
    free(s->hosts[1]);
}

int folder_issue(const struct folder *f, const char *ca_dir, struct err *e)
{
    char *ca_crt AUTOFREE = folder_path(ca_dir, "ca.crt"), *ca_key AUTOFREE = folder_path(ca_dir, "ca.key");
    char *crt AUTOFREE = folder_path(f->dir, "node.crt"), *key AUTOFREE = folder_path(f->dir, "node.key");
    char *own_ca AUTOFREE = folder_path(f->dir, "ca.crt");
    struct pki_policy policy = {.days = PKI_NODE_DAYS};
    struct pki_ca *ca = NULL;
    struct subject subject CLEANUP(subject_fini);
    subject_init(&subject, f);
    int rc = pki_ca_open(ca_crt, ca_key, &policy, &our_clock, &ca, e);
    if (rc == 0)
        rc = pki_issue(ca, &subject.pki, crt, key, e);
    pki_ca_free(ca);
    if (rc == 0 && strcmp(ca_crt, own_ca) != 0)
        rc = copy_file(ca_crt, own_ca, 0644, e);
    return rc;
}

int folder_csr(const struct folder *f, char **ret_csr, struct err *e)
{
    char *key AUTOFREE = folder_path(f->dir, "node.key");
    struct subject subject CLEANUP(subject_fini);
    subject_init(&subject, f);
    return pki_csr_new(&subject.pki, key, ret_csr, e);
}

int folder_pki_check(const struct folder *f, struct err *e)
{
    char *ca AUTOFREE = folder_path(f->dir, "ca.crt"), *crt AUTOFREE = folder_path(f->dir, "node.crt");
    char *key AUTOFREE = folder_path(f->dir, "node.key");
    return pki_check(ca, crt, key, &f->node, real_ms(NULL), NULL, e);
}

/* Configuration. */

/* By the very rules that skepd reads them with. */
int folder_check(const struct folder *f, struct err *e)
{
    const struct config_flag given[] = {
        {"node", f->name}, {"listen", f->listen}, {"advertise", f->advertise}};
    struct config scratch = CONFIG_INIT;
    struct err why = {0};
    int rc = 0;
    for (size_t i = 0; i < COUNT(given) && rc == 0; i++) {
        struct texts value = TEXTS_INIT;
        texts_add(&value, given[i].value);
        rc = setting_parse(setting_at((size_t)setting_find(given[i].name)), &value, "/", &scratch, &why);
        texts_fini(&value);
    }
    config_fini(&scratch);
    return rc ? err_set(e, SKEP_EUSAGE, "%s", why.text) : 0;
}

/* In single quotes: there libconfuse replaces no ${VARIABLE}. */
static void put_quoted(struct str *s, const char *text)
{
    str_putc(s, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            str_putc(s, '\\');
        str_putc(s, *text);
    }
    str_putc(s, '\'');
}

static void put_setting(struct str *s, const char *name, const char *value)
{
    str_printf(s, "%s = ", name);
    put_quoted(s, value);
    str_putc(s, '\n');
}

int folder_conf(const struct folder *f, struct err *e)
{
    struct str s AUTOSTR = STR_INIT;
    str_puts(&s, "# \"skep config show\" lists every setting; a path counts from this file's folder.\n");
    put_setting(&s, "node", f->name);
    put_setting(&s, "dir", ".");
    put_setting(&s, "listen", f->listen);
    put_setting(&s, "advertise", f->advertise);
    str_puts(&s, "peers = {");
    for (size_t i = 0; i < f->peers_n; i++) {
        str_puts(&s, i ? ", " : "");
        put_quoted(&s, f->peers[i]);
    }
    str_puts(&s, "}\n");
    if (f->work_dir) {
        str_puts(&s, "allow_exec = {'*'}\npass_env = {'*'}\n");
        put_setting(&s, "work_dir", f->work_dir);
    } else {
        str_puts(&s, "\n# The programs that may be started here. With none, this node starts nothing.\n"
                     "# allow_exec = {'/usr/local/bin/*'}\n");
    }
    char *path AUTOFREE = folder_path(f->dir, "skep.conf");
    return file_replace(path, 0644, s.p, s.n, e);
}

/* Database and token. */

int folder_token(const char *path, char ret_hash[65], char **ret_token, struct err *e)
{
    char *token = token_new(&our_random, NULL), *line AUTOFREE = mem_printf("%s\n", token);
    int rc = file_replace(path, 0600, line, strlen(line), e);
    if (rc) {
        free(token);
        return rc;
    }
    token_hash(token, ret_hash);
    *ret_token = token;
    return 0;
}

int folder_store(const struct folder *f, bool member, const char *token_hash_hex, struct err *e)
{
    char *path AUTOFREE = folder_path(f->dir, "skep.db");
    return store_create(path, &f->cluster, &f->node, f->name, member, token_hash_hex, e);
}

int folder_found(struct folder *f, struct err *e)
{
    char hash[65], *token AUTOFREE = NULL, *token_path AUTOFREE = folder_path(f->dir, "admin.token");
    folder_id(&f->cluster);
    folder_id(&f->node);
    int rc = folder_make(f->dir, e);
    if (rc == 0)
        rc = folder_ca(f, e);
    if (rc == 0)
        rc = folder_issue(f, f->dir, e);
    if (rc == 0)
        rc = folder_conf(f, e);
    if (rc == 0)
        rc = folder_token(token_path, hash, &token, e);
    return rc ? rc : folder_store(f, true, hash, e);
}
