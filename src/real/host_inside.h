/* host_inside: what the three threads of a host share. For src/real/host*.c only.
 *
 * Who may touch what: "io", "brain", "reader" name the thread; what has no name is written before the threads
 * start and only read after that.
 */
#ifndef SKEP_REAL_HOST_INSIDE_H
#define SKEP_REAL_HOST_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "core/restart.h"
#include "real/hook_http.h"
#include "real/host.h"
#include "real/http_client.h"
#include "real/http_server.h"
#include "real/identity.h"
#include "real/keeper_link.h"
#include "real/loop.h"
#include "real/machine.h"
#include "real/mailbox.h"
#include "real/pki.h"
#include "real/reserve.h"

#define BRAIN_REQUESTS_MAX  10000 /* with the pings and pulls of peers */
#define BRAIN_ASKED_MAX     8000  /* of these, clients' requests: there is always room for peers */
#define OVERLOAD_MS         1000 /* a queue as old as this is overload, if it is longer than OVERLOAD_REQUESTS: */
#define OVERLOAD_REQUESTS   32 /* so few wait through a moment's stall of the disk */
#define READER_REQUESTS_MAX 2000
#define LINE_BYTES_MAX      (32u << 20) /* of workers' lines, on their way to disk */
#define LINE_BYTES_MORE     256         /* what a line takes besides its text */

/* What the brain and the reader want done by the I/O thread. */
enum command_kind {
    CMD_ANSWER,
    CMD_STREAM, /* begins (id is unknown yet) or goes on: line */
    CMD_CALL,
    CMD_RESET, /* node */
    CMD_BEGIN, /* the run */
    CMD_SPAWN,
    CMD_TERMINATE,
    CMD_KILL,
    CMD_LINE,
    CMD_BACKUP, /* the copy is made, or was not: answer */
    CMD_ENDED
};

struct command {
    enum command_kind kind;
    uint64_t id;     /* of the request or the run */
    unsigned keeper; /* generation of the keeper that the brain knew */
    struct answer *answer;
    struct peer_call *call;
    struct id node;
    struct spawn *spawn;
    char *line;
    size_t line_n;
    int status; /* CMD_ENDED */
};

/* What the reader's mailbox holds: a request, or news of a stream that the reader fills. */
enum errand_kind { ERRAND_READ, ERRAND_ROOM, ERRAND_GONE };
struct errand {
    enum errand_kind kind;
    struct request *request; /* ERRAND_READ */
    uint64_t id;             /* of the stream's request */
};

/* What the brain's mailbox holds. */
struct note {
    struct event event;
    struct setup *setup; /* with EV_RELOADED: a reference */
    unsigned keeper;     /* with EV_KEEPER_DIED: the generation that follows */
    int keeper_pid;      /* of a new keeper; 0 = it is the same */
};

struct host {
    struct setup *setup; /* io */
    char *const *envp;
    char *keeper_path, *cgroup, *db;
    struct reserve *reserve;
    char self[ID_TEXT], boot[ID_TEXT], name[64];
    struct identity_lock lock;
    struct log log;             /* io */
    struct log brain_log;       /* brain */
    struct machine_gauge gauge; /* brain */
    struct pki_ca *ca;

    struct loop *loop; /* io, and all down to the threads */
    struct loop_timer *tick, *ready, *drain, *revive;
    struct http_server *server;
    struct http_client *client;
    struct stream_open *streams; /* uthash */
    struct backup *backup;       /* io: the one that is being taken, or NULL */
    struct keeper_link *keeper;  /* NULL while it is dead */
    unsigned keeper_generation;
    struct intensity keeper_restarts; /* io */
    int64_t keeper_died_ms, nofile;
    bool ended;
    int stops, exit_status;
    int64_t watchdog_ms, cert_checked_ms;

    struct mailbox *to_io, *to_brain, *to_reader;
    pthread_t brain, reader;
    bool brain_started, reader_started;
    struct node *node;           /* brain, but for node_frozen */
    struct store *store;         /* reader */
    struct setup *brain_setup;   /* brain */
    struct node_options options; /* brain */
    struct hook_http *hooks;     /* brain */
    unsigned brain_keeper;       /* brain */
    bool declared;               /* brain: what the configuration says of swarms was said */

    _Atomic int64_t turned_boot_ms; /* the brain's last turn */
    _Atomic size_t asked;           /* requests posted to the brain and not handled */
    _Atomic int64_t asked_boot_ms;  /* since when the oldest of them waits; about, and never later */
    _Atomic size_t line_bytes;      /* posted and not handled */
    _Atomic size_t held_bytes;      /* handled, and waiting for the disk */
};

void command_free(void *command);
void note_free(void *note);

/* ---- the brain's thread (host_brain.c) ---- */

/* Opens the node. Its world posts commands. */
int host_brain_open(struct host *h, struct err *e);
void host_brain_start(struct host *h);
/* An event for the brain, stamped now. Any thread. False: it is a request, a ping or a pull and too many of
 * them wait; it is freed. */
bool host_post(struct host *h, struct event ev TAKES);
/* Whether the brain is so far behind that one more client had better ask another node. */
bool host_overloaded(struct host *h);
void host_post_note(struct host *h, struct note n TAKES);

/* Says what the configuration declares of swarms (host_declare.c). On the brain's thread. */
void host_declare(struct host *h);
/* On the I/O thread: whether this was the answer to one of these. */
bool host_declared(struct host *h, uint64_t request, const struct answer *a);

/* ---- the reader's thread (host_reader.c) ---- */

int host_reader_open(struct host *h, struct err *e);
void host_reader_start(struct host *h);
/* False: too many reads wait; the request is freed. */
bool host_read(struct host *h, struct request *r TAKES);
void host_read_stream(struct host *h, enum errand_kind kind, uint64_t id);
int64_t host_brain_age_ms(struct host *h);

/* ---- requests, on the I/O thread (host_door.c) ---- */

int host_door_open(struct host *h, struct err *e);
/* Certificates and keys as the files hold them now. */
int host_door_tls(struct host *h, struct err *e);
bool host_is_peer_path(const char *path);

/* ---- streams, on the I/O thread (host_stream.c) ---- */

#define STREAMS_MAX 1000

void host_stream(struct host *h, uint64_t id, const char *bytes, size_t n);
void host_stream_gone(struct host *h, uint64_t id);
void host_stream_drained(struct host *h, uint64_t id);
void host_streams_end(struct host *h);

/* ---- backups, on the I/O thread (host_backup.c) ---- */

void host_backup(struct host *h, struct request *r TAKES);
void host_backup_made(struct host *h, struct command *c);
void host_backup_gone(struct host *h, uint64_t id);
void host_backup_drained(struct host *h, uint64_t id);
/* What is being sent breaks off. */
void host_backup_end(struct host *h);
/* Before the server is freed; waits for its thread. */
void host_backup_fini(struct host *h);
/* Removes what a crash may have left. */
void host_backup_sweep(struct host *h);

/* ---- the loop (host.c) ---- */

void host_do(struct host *h, struct command *c TAKES);
void host_drained(struct host *h);

#endif
