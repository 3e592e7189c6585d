/* child_spawn: what is spawned for a child: program, environment, and whether this node lets it run.
 *
 * Whether a child may be spawned now is child.c's to say. A spawn leaves after the commit that wrote it, and
 * only if the view is still open then.
 */
#include <stdio.h>
#include <string.h>

#include "core/place.h"
#include "node/child.h"
#include "node/hook.h"

/* ---- spawning ---- */

bool child_exec_allowed(const struct node *n, const char *path)
{
    for (char *const *p = n->o.allow_exec; p && *p; p++)
        if (text_matches(*p, path))
            return true;
    return false;
}

/* A file name for its output: readable, and unique by the hash of the whole name. */
void child_log_name(const char *swarm, const char *name, char ret[CHILD_LOG_NAME])
{
    char plain[41];
    size_t i = 0;
    for (; name[i] && i + 1 < sizeof plain; i++) {
        char ch = name[i];
        bool keep =
            (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '-';
        plain[i] = keep ? ch : '_';
    }
    plain[i] = 0;
    snprintf(ret, CHILD_LOG_NAME, "%s-%016llx", plain, (unsigned long long)place_hash(swarm, name));
}

void child_env_add(char **env, size_t *count, char *text TAKES)
{
    size_t name = (size_t)(strchr(text, '=') - text) + 1;
    for (size_t i = 0; i < *count; i++)
        if (env[i][0] == text[0] && strncmp(env[i], text, name) == 0) { /* what comes later wins */
            free(env[i]);
            env[i] = text;
            return;
        }
    env[(*count)++] = text;
}

static char **env_of(struct node *n, const struct child *c)
{
    size_t base = 0, count = 0;
    while (n->o.env && n->o.env[base])
        base++;
    char **env = mem_array(base + c->spec.env.n + 10, sizeof *env);
    for (size_t i = 0; i < base; i++)
        child_env_add(env, &count, mem_dup(n->o.env[i]));
    for (size_t i = 0; i < c->spec.env.n; i++)
        child_env_add(env, &count, mem_printf("%s=%s", c->spec.env.list[i].name, c->spec.env.list[i].value));
    child_env_add(env, &count, mem_dup("SKEP_FD=3"));
    child_env_add(env, &count, mem_printf("SKEP_SWARM=%s", c->swarm));
    child_env_add(env, &count, mem_printf("SKEP_NAME=%s", c->name));
    child_env_add(env, &count, mem_printf("SKEP_NODE=%s", n->name));
    child_env_add(env, &count, mem_printf("SKEP_EPOCH=%lld", (long long)c->s.epoch));
    child_env_add(env, &count, mem_printf("SKEP_RUN=%s", n->run_mark));
    if (n->o.worker_role && strcmp(n->o.worker_role, "write") != 0 && n->o.socket)
        child_env_add(env, &count, mem_printf("SKEP_SOCKET=%s", n->o.socket));
    return env;
}

static struct spawn *spawn_of(struct node *n, struct child *c)
{
    struct spawn *s = mem_alloc(sizeof *s);
    char log[CHILD_LOG_NAME];
    child_log_name(c->swarm, c->name, log);
    s->argv = mem_array(c->spec.argv.n + 1, sizeof *s->argv);
    for (size_t i = 0; i < c->spec.argv.n; i++)
        s->argv[i] = mem_dup(c->spec.argv.list[i]);
    s->env = env_of(n, c);
    s->cwd = mem_dup(c->spec.cwd ? c->spec.cwd : n->o.work_dir);
    s->user = mem_dup(n->o.exec_user);
    s->log = mem_dup(log);
    s->channel = true;
    return s;
}

char *child_reason(const char *code, int exit_status, int sig, const char *detail)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "code", code);
    if (exit_status >= 0)
        jw_kv_i64(&j, "exit_status", exit_status);
    if (sig)
        jw_kv_string(&j, "signal", sigabbrev_np(sig) ? sigabbrev_np(sig) : "?");
    if (detail)
        jw_kv_string(&j, "detail", detail);
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

void child_reason_words(const char *reason, struct str *out)
{
    static const char *const members[] = {"detail", "exit_status", "signal"}, *const before[] = {
                                                                                  "", "status ", "signal "};
    size_t begin = out->n;
    if (reason && json_check(reason, strlen(reason), NULL) < 0) /* a peer's row */
        return;
    for (size_t i = 0; reason && i < 3; i++) {
        AUTOSTR struct str text = STR_INIT;
        struct span raw = json_raw_member(reason, strlen(reason), members[i]);
        if (!raw.p)
            continue;
        if (!json_unquote(raw, &text))
            str_add(&text, raw.p, raw.n);
        str_printf(out, "%s%s%s", out->n > begin ? ", " : "", before[i], str_get(&text));
    }
}

/* Finds the program and asks the configuration. NULL, or the reason why not. */
static char *program_find(struct node *n, struct spawn *s)
{
    if (n->o.children_max && n->children_run >= n->o.children_max)
        return child_reason("start_failed", -1, 0, "max_children of this node is reached");
    char path[4096];
    if (!s->argv[0])
        return child_reason("start_failed", -1, 0,
                            "its specification names no program that this node understands");
    int error = n->w.proc.find(n->w.proc.self, s->argv[0], s->env, s->cwd, path, sizeof path);
    if (error) {
        AUTOFREE char *detail = mem_printf("%.1000s: %s", s->argv[0], strerror(error));
        return child_reason("start_failed", -1, 0, detail);
    }
    if (!child_exec_allowed(n, path))
        return child_reason("exec_not_allowed", -1, 0, "allow_exec of this node does not name this program");
    mem_replace(&s->argv[0], path);
    return NULL;
}

static void spawn_drop(void *arg)
{
    spawn_free(arg);
}

/* The commit may have taken long: what was true before it must still be. If not, nothing was started, which
 * comes back as an event like any other end. A run that ended in the very batch that asked for it, with its
 * keeper, is started by nobody: another one has taken its place. */
static void spawn_now(struct node *n, void *arg)
{
    struct spawn *s = arg;
    const struct child *c = child_of_run(n, s->run);
    if (!c || c->s.run != s->run) {
        spawn_free(s);
        return;
    }
    view_lapse(&n->view, n->w.clock.boot_ms(n->w.clock.self));
    if (n->view.open) {
        n->w.proc.spawn(n->w.proc.self, s);
        return;
    }
    struct event ev = {.kind = EV_CHILD_FAILED, .run = s->run, .error = NOT_TRIED};
    node_hold(n, &ev);
    spawn_free(s);
}

void child_start_fact(struct node *n, const struct child *c, enum gathered_kind kind, const char *reason)
{
    struct child_row row = {.swarm = c->swarm,
                            .name = c->name,
                            .epoch = c->s.epoch,
                            .restarts = c->s.restarts,
                            .pid = c->s.pid,
                            .reason = (char *)(uintptr_t)reason};
    facts_start_here(n, kind, &row);
}

int child_spawn(struct node *n, struct child *c)
{
    AUTOFREE char *refused = NULL;
    int altered = c->s.session ? 1 : hook_alter(n, c, &refused);
    if (altered <= 0)
        return altered;
    struct spawn *s = spawn_of(n, c);
    if (!refused)
        refused = program_find(n, s);
    child_touch(n, c);
    if (refused) {
        spawn_free(s);
        return child_run_ended(n, c, c->s.published ? EXIT_UNREADY : EXIT_UNSTARTED, refused);
    }
    c->s.phase = PHASE_SPAWNING;
    node_touch(n, &n->children_run, sizeof n->children_run);
    n->children_run++;
    c->s.run = s->run = ++n->next_run;
    c->s.is_asked = c->s.given_up = c->s.unplaced = false;
    c->s.backoff_until_ms = 0;
    c->s.checkpoint_hlc = c->s.resolving = 0;
    c->s.queued_bytes = c->s.queued_lines = 0;
    eff_do(n, child_run_enters, c, NULL);
    eff_do(n, spawn_now, s, spawn_drop);
    if (!c->s.session)
        child_start_fact(n, c, GATHER_STARTING, NULL);
    /* said before it is so: a home that finds nothing here may give the name to another node */
    return child_write(n, c, "starting", NULL);
}
