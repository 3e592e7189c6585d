/* sleeper: a worker that does nothing, in little memory. For measuring skep, not itself.
 *
 *     sleeper [--state BYTES]      hand over a state of so many bytes; without it, ignore hand-offs
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/skep.h"

static int sleeper_step(struct skep_worker *w, const struct skep_line *line, const char *state)
{
    if (line->type == SKEP_BEGIN_HANDOFF)
        return state ? skep_worker_state(w, line->ref, state) : skep_worker_ignore(w, line->ref);
    if (line->type == SKEP_END_HANDOFF)
        return skep_worker_restored(w, line->ref);
    if (line->type == SKEP_CALL)
        return skep_worker_reply(w, line->ref, "null");
    return line->type == SKEP_STOP;
}

/* A JSON string of so many bytes, its quotes included; NULL for none. */
static char *state_new(size_t bytes)
{
    char *state = bytes >= 2 ? malloc(bytes + 1) : NULL;

    if (!state)
        return NULL;
    memset(state, 's', bytes);
    state[0] = state[bytes - 1] = '"';
    state[bytes] = 0;
    return state;
}

int main(int argc, char **argv)
{
    char *state = state_new(argc == 3 && !strcmp(argv[1], "--state") ? strtoul(argv[2], NULL, 10) : 0);
    struct skep_worker *w;
    struct skep_line line;
    int r = 0;

    if (argc != 1 && !state) {
        fprintf(stderr, "usage: sleeper [--state BYTES]\n");
        return 64;
    }
    signal(SIGTERM, SIG_IGN); /* the line "stop" comes with it, and is enough */
    if (skep_worker_open(&w) < 0) {
        fprintf(stderr, "sleeper: start me with skep\n");
        return 1;
    }
    while (r == 0 && (r = skep_worker_next(w, -1, &line)) > 0)
        r = sleeper_step(w, &line, state);
    skep_worker_free(w);
    free(state);
    return r > 0 ? 0 : 1;
}
