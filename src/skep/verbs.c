/* The verb table. Help prints it in this order. */
#include "skep/options.h"
#include "skep/verb.h"

extern const struct verb verb_dev, verb_init, verb_join, verb_nodes, verb_drain, verb_forget;
extern const struct verb verb_start, verb_stop, verb_restart, verb_move, verb_ps, verb_show, verb_metadata,
    verb_why, verb_plan, verb_history, verb_operation;
extern const struct verb verb_logs, verb_send, verb_call, verb_checkpoint, verb_resolve, verb_name,
    verb_swarm, verb_group;
extern const struct verb verb_session, verb_template, verb_events, verb_hooks;
extern const struct verb verb_backup, verb_restore;
extern const struct verb verb_sql, verb_doctor, verb_cert, verb_token, verb_config;
extern const struct verb verb_completion, verb_version, verb_help;

const struct verb *const verbs[] = {
    &verb_dev,        &verb_init,    &verb_join,       &verb_nodes,   &verb_drain,     &verb_forget,
    &verb_start,      &verb_stop,    &verb_restart,    &verb_move,    &verb_ps,        &verb_show,
    &verb_metadata,   &verb_why,     &verb_plan,       &verb_history, &verb_operation, &verb_logs,
    &verb_send,       &verb_call,    &verb_checkpoint, &verb_resolve, &verb_name,      &verb_swarm,
    &verb_group,      &verb_session, &verb_template,   &verb_events,  &verb_hooks,     &verb_sql,
    &verb_backup,     &verb_restore, &verb_doctor,     &verb_cert,    &verb_token,     &verb_config,
    &verb_completion, &verb_version, &verb_help,       NULL,
};

const struct verb_option options_common[] = {
    {.name = "addr",
     .letter = 'a',
     .kind = OPT_TEXT,
     .value = "URL",
     .help = "the node to talk to: https://host:port or unix:///path (SKEP_ADDR)"},
    {.name = "token", .kind = OPT_TEXT, .value = "T", .help = "a bearer token, \"-\" reads it (SKEP_TOKEN)"},
    {.name = "token-file",
     .kind = OPT_TEXT,
     .value = "F",
     .help = "a file that holds it (SKEP_TOKEN_FILE)",
     .complete = COMPLETE_FILE},
    {.name = "cacert",
     .kind = OPT_TEXT,
     .value = "F",
     .help = "the cluster's CA (SKEP_CACERT)",
     .complete = COMPLETE_FILE},
    {.name = "client-cert",
     .kind = OPT_TEXT,
     .value = "F",
     .help = "a certificate to show (SKEP_CLIENT_CERT)",
     .complete = COMPLETE_FILE},
    {.name = "client-key",
     .kind = OPT_TEXT,
     .value = "F",
     .help = "its key (SKEP_CLIENT_KEY)",
     .complete = COMPLETE_FILE},
    {.name = "format",
     .letter = 'o',
     .kind = OPT_TEXT,
     .value = "F",
     .help = "how to print (SKEP_FORMAT)",
     .words = "table json jsonl csv"},
    {.name = "no-header", .kind = OPT_FLAG, .help = "tables and csv without their first line"},
    {.name = "config",
     .kind = OPT_TEXT,
     .value = "F",
     .help = "instead of /etc/skep/skep.conf",
     .complete = COMPLETE_FILE},
    {.name = "timeout-ms",
     .kind = OPT_INT,
     .value = "N",
     .help = "how long the node may take to answer; 30000",
     .min = 1,
     .max = 86400000},
    {.name = "idempotency-key", .kind = OPT_TEXT, .value = "K", .help = "a repeated change is made once"},
    {.name = "help", .letter = 'h', .kind = OPT_FLAG, .help = "explain the verb"},
    OPTION_END,
};
