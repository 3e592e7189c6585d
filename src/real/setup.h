/* setup: a configuration as a node takes it: node_options, the environment of children, and what they point
 * to.
 *
 * Made once, never changed, counted: the thread that reads settings of the I/O and the brain that borrows the
 * options hold a reference each.
 */
#ifndef SKEP_REAL_SETUP_H
#define SKEP_REAL_SETUP_H

#include <stdatomic.h>

#include "base/log.h"
#include "node/node.h"
#include "real/config.h"
#include "real/pki.h"

#define SETUP_ALONE_MS 5000 /* node_options.alone_ms */

struct setup {
    atomic_int refs;
    struct config config;
    struct node_options options; /* url, boot and the pids are the caller's to fill, before others see it */
    char **env;                  /* of children */
    char **hook_secrets;         /* name, value, …, NULL */
    char *labels;                /* JSON; NULL: none */
    struct declared *declared;   /* children of the configuration; ends with zeros */
    struct texts declared_texts; /* what they point to */
    struct texts serves;         /* swarms that are declared to be served here */
    char *ca_pem;                /* NULL where there is none to hand out */
    char ca_fingerprint[PKI_FINGERPRINT];
    char *url, *boot; /* owned, may be NULL until filled */
};

/* TAKES the configuration, also on failure. envp: the environment to pass on. SKEP_ECONFIG. */
int setup_new(struct config *c TAKES, char *const *envp, struct setup **ret, struct err *e);
struct setup *setup_ref(struct setup *s);
void setup_unref(struct setup *s); /* accepts NULL */
/* Fills url, boot and pids. Before anybody else has a reference. */
void setup_name(struct setup *s, const char *url, const char *boot, int pid, int keeper_pid);

/* What hooks sign with; NULL: there is none of this name. Borrowed. */
const char *setup_hook_secret(const struct setup *s, const char *name);
enum log_level setup_log_level(const struct setup *s);
/* Where to listen, from the setting: the host is yours. */
uint16_t setup_listen(const struct setup *s, char **ret_host);

#endif
