/* config: what a node and its command line were told, and where each word of it came from.
 *
 * Four layers, the later wins: the default, the file, the environment, the flags. A struct config is a
 * value: loaded once, read by any thread, replaced by a new one on reload, never changed.
 */
#ifndef SKEP_REAL_CONFIG_H
#define SKEP_REAL_CONFIG_H

#include "real/setting.h"

#define CONFIG_FILE           "/etc/skep/skep.conf"
#define CONFIG_FILE_BYTES_MAX (1 << 20)

enum config_layer { CONFIG_DEFAULT, CONFIG_IN_FILE, CONFIG_IN_ENV, CONFIG_IN_FLAG };

struct config_origin {
    enum config_layer layer;
    int line; /* in the file, with CONFIG_IN_FILE; 0 = not known */
};

/* A flag of the command line, without its dashes: {"suspect-ms", "4000"}. Several for one list add up. */
struct config_flag {
    const char *name, *value;
};

/* `swarm "name" { … }`: declared settings, as text; there may be none. */
struct config_swarm {
    char *name;
    int line;
    struct config_swarm_setting {
        const char *name;   /* static */
        struct texts value; /* one text, or the elements of a list */
        int line;
    } * settings;
    size_t settings_n;
};

/* The value of a setting of a swarm section, NULL where it is not said. Borrowed. */
const struct texts *config_swarm_value(const struct config_swarm *s, const char *setting);
/* Whether the declaration is a promise of this node to serve it ("serve":"joined"): unless it says otherwise,
 * or which nodes do; "default" is there for everybody. */
bool config_swarm_joined(const struct config_swarm *s);

struct config_client {
    char *addr, *token, *token_file, *cacert, *cert, *key, *format;
};

struct config {
    /* who and where */
    char *node, *dir, *listen, *advertise, *socket;
    struct texts peers;
    /* certificates; ca_key is NULL where this node holds none */
    char *ca, *cert, *key, *ca_key;
    struct texts ca_hosts;
    int64_t cert_days;
    bool metrics_token_required;
    /* processes */
    struct texts allow_exec, pass_env;
    struct texts hook_secrets; /* NAME=file:PATH or NAME=env:VARIABLE */
    char *hook_ca;
    char *env_file, *work_dir, *exec_user, *worker_role;
    int64_t max_children, weight;
    struct texts labels;
    /* failure detection and replication */
    int64_t ping_ms, suspect_ms, down_ms, nodedown_batch_window_ms, brake_ms, sync_ms, checkpoint_acks;
    int64_t compare_ms;
    int64_t handoff_ttl_ms, events_keep_ms, events_keep_rows, history_keep_rows;
    int64_t tombstone_min_ms, tombstone_max_ms;
    /* requests */
    int64_t connections_max, connections_address_max, accepts_per_s, accepts_address_per_s;
    int64_t header_bytes_max, body_bytes_max, body_large_bytes_max, head_ms, idle_ms;
    /* logs */
    char *log_level, *log_dir;
    int64_t log_file_bytes, log_files;

    struct config_client client;
    struct config_swarm *swarms;
    size_t swarms_n;
    struct config_swarm *hooks; /* name: EVENT/ID */
    size_t hooks_n;

    char *file;                   /* that was read; NULL = none */
    struct config_origin *origin; /* one per setting_at() */
    struct texts env;             /* what of the environment counted: for a reload */
    struct texts flags;           /* "name=value" */
};

#define CONFIG_INIT ((struct config){0})

/* Reads everything. file NULL means $SKEP_CONFIG, else CONFIG_FILE if it is there and we may read it; a file
 * that was named must be readable. envp is as execve gets it (NULL = empty). SKEP_ECONFIG, or SKEP_EUSAGE for
 * a flag: the text names file:line, variable or flag, the setting, and what is allowed. ret is to be
 * finished with config_fini, also after a failure (it is empty then). */
int config_load(struct config *ret, const char *file, char *const *envp, const struct config_flag *flags,
                size_t flags_n, struct err *e);
void config_fini(struct config *c);

/* Reads file, environment and flags of `now` again. ret gets what is new where that can be applied at once,
 * and keeps the old value elsewhere; both lists get names of settings (a swarm's as "swarm.NAME"). On failure
 * `now` goes on to count. */
int config_reload(const struct config *now, struct config *ret, struct texts *ret_applied,
                  struct texts *ret_restart, struct err *e);

/* One line of `skep config show --origin`. */
struct config_row {
    char *name, *value, *origin; /* owned; value "(set)" for a secret */
    const char *unit, *initial;  /* static; initial NULL = none */
    bool reload;
};

/* All settings in the table's order, then what swarm sections declare. Free with config_rows_free. */
void config_rows(const struct config *c, struct config_row **ret, size_t *ret_n);
void config_rows_free(struct config_row *rows, size_t n);

/* The token that the command line shows: client.token or what client.token_file holds, whichever came from
 * the later layer; NULL when there is neither. *ret is yours. */
int config_client_token(const struct config *c, char **ret, struct err *e);

#endif
