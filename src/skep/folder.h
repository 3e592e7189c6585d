/* folder: a node's folder being made: keys, certificate, configuration, database. What init, join and dev
 * have in common. The database comes last: a folder that has one is complete.
 */
#ifndef SKEP_SKEP_FOLDER_H
#define SKEP_SKEP_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"

#define LISTEN_DEFAULT "0.0.0.0:7537"

struct folder {
    const char *dir;       /* absolute */
    const char *name;      /* of the node */
    const char *listen;    /* host:port */
    const char *advertise; /* https://host:port */
    char *const *peers;    /* URLs */
    size_t peers_n;
    const char *work_dir; /* not NULL: a node for trying things out, that may run every program there */
    struct id cluster, node;
};

/* An id nobody had before. */
void folder_id(struct id *ret_id);
/* The absolute form of a path, which need not exist; yours. */
char *folder_absolute(const char *path);
/* "https://host:port" for a node that listens there: its own name where it listens everywhere. Yours. */
char *folder_advertise(const char *listen);
/* A path in the folder; yours. */
char *folder_path(const char *dir, const char *file);
bool folder_complete(const char *dir);

/* Name, listen and advertise are such that skepd will take them; SKEP_EUSAGE. */
int folder_check(const struct folder *f, struct err *e);
/* Makes the folder and those above it. SKEP_ETAKEN if there is a node in it. */
int folder_make(const char *dir, struct err *e);
/* A new CA in the folder. */
int folder_ca(const struct folder *f, struct err *e);
/* Key and certificate, signed by the CA that lives in ca_dir. */
int folder_issue(const struct folder *f, const char *ca_dir, struct err *e);
/* A request for a certificate under a key that is made in the folder; *ret_csr is yours. */
int folder_csr(const struct folder *f, char **ret_csr, struct err *e);
/* Certificate, key and CA in the folder belong together. */
int folder_pki_check(const struct folder *f, struct err *e);
/* skep.conf. */
int folder_conf(const struct folder *f, struct err *e);
/* A new admin token, kept in the file; ret_hash as the database wants it. *ret_token is yours. */
int folder_token(const char *path, char ret_hash[65], char **ret_token, struct err *e);
/* The database. token_hash NULL = none. */
int folder_store(const struct folder *f, bool member, const char *token_hash, struct err *e);
/* All of it, of the first node of a new cluster: both ids are drawn. */
int folder_found(struct folder *f, struct err *e);

#endif
