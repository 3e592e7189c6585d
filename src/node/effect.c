/* effect: what a batch wants done, in order, and what it takes to make it unhappen.
 *
 * Decides nothing. Marks separate the events of a batch; effects_drop undoes back to a mark, effects_release
 * lets everything go after the commit.
 */
#include "node/effect.h"

#include <string.h>

#include "node/brain.h"

enum effect_kind { EFF_ANSWER, EFF_CALL, EFF_RESET, EFF_SPAWN, EFF_TERMINATE, EFF_KILL, EFF_LINE, EFF_DO };

struct effect {
    enum effect_kind kind;
    uint64_t id;
    void *p;
    size_t n;
    void (*fn)(struct node *n, void *arg);
    void (*drop)(void *arg);
};

/* A piece of memory as it was. */
struct undo {
    void *at;
    size_t bytes, saved; /* offset in effects.saved */
};

struct effects {
    struct effect *list;
    size_t n, cap, next;
    struct undo *undo;
    size_t undo_n, undo_cap;
    struct str saved;
};

struct effects *effects_new(void)
{
    return mem_alloc(sizeof(struct effects));
}

static void drop_one(struct effect *e)
{
    switch (e->kind) {
    case EFF_ANSWER:
        answer_free(e->p);
        break;
    case EFF_CALL:
        peer_call_free(e->p);
        break;
    case EFF_SPAWN:
        spawn_free(e->p);
        break;
    case EFF_LINE:
    case EFF_RESET:
        free(e->p);
        break;
    case EFF_DO:
        if (e->drop)
            e->drop(e->p);
        break;
    case EFF_TERMINATE:
    case EFF_KILL:
        break;
    }
}

void effects_free(struct effects *fx)
{
    if (!fx)
        return;
    for (size_t i = fx->next; i < fx->n; i++)
        drop_one(&fx->list[i]);
    free(fx->list);
    free(fx->undo);
    str_fini(&fx->saved);
    free(fx);
}

static struct effect *add(struct node *n, enum effect_kind kind)
{
    struct effects *fx = n->fx;
    ARRAY_GROW(fx->list, fx->n, fx->cap);
    struct effect *e = &fx->list[fx->n++];
    *e = (struct effect){.kind = kind};
    return e;
}

void eff_answer(struct node *n, uint64_t request, struct answer *a TAKES)
{
    struct effect *e = add(n, EFF_ANSWER);
    e->id = request;
    e->p = a;
}

void eff_call(struct node *n, struct peer_call *c TAKES)
{
    add(n, EFF_CALL)->p = c;
}

void eff_reset(struct node *n, const struct id *node)
{
    add(n, EFF_RESET)->p = mem_copy(node, sizeof *node);
}

void eff_spawn(struct node *n, struct spawn *s TAKES)
{
    add(n, EFF_SPAWN)->p = s;
}

void eff_terminate(struct node *n, uint64_t run)
{
    add(n, EFF_TERMINATE)->id = run;
}

void eff_kill(struct node *n, uint64_t run)
{
    add(n, EFF_KILL)->id = run;
}

void eff_line(struct node *n, uint64_t run, struct str *line TAKES)
{
    struct effect *e = add(n, EFF_LINE);
    e->id = run;
    e->n = line->n;
    e->p = str_take(line);
}

void eff_do(struct node *n, void (*fn)(struct node *n, void *arg), void *arg, void (*drop)(void *arg))
{
    struct effect *e = add(n, EFF_DO);
    e->fn = fn;
    e->p = arg;
    e->drop = drop;
}

void node_touch(struct node *n, void *p, size_t bytes)
{
    struct effects *fx = n->fx;
    ARRAY_GROW(fx->undo, fx->undo_n, fx->undo_cap);
    fx->undo[fx->undo_n++] = (struct undo){p, bytes, fx->saved.n};
    str_add(&fx->saved, p, bytes);
}

struct mark effects_mark(const struct effects *fx)
{
    return (struct mark){fx->n, fx->undo_n};
}

void effects_drop(struct effects *fx, struct mark m)
{
    while (fx->undo_n > m.undos) { /* first, for dropping an effect may free what was touched */
        const struct undo *u = &fx->undo[--fx->undo_n];
        memcpy(u->at, fx->saved.p + u->saved, u->bytes);
        fx->saved.n = u->saved;
    }
    while (fx->n > m.effects)
        drop_one(&fx->list[--fx->n]);
}

static void release_one(struct node *n, struct effect *e)
{
    struct world *w = &n->w;
    switch (e->kind) {
    case EFF_ANSWER:
        w->net.answer(w->net.self, e->id, e->p);
        break;
    case EFF_CALL:
        w->net.call(w->net.self, e->p);
        break;
    case EFF_RESET:
        if (w->net.reset)
            w->net.reset(w->net.self, e->p);
        free(e->p);
        break;
    case EFF_SPAWN:
        w->proc.spawn(w->proc.self, e->p);
        break;
    case EFF_TERMINATE:
        w->proc.terminate(w->proc.self, e->id);
        break;
    case EFF_KILL:
        w->proc.kill(w->proc.self, e->id);
        break;
    case EFF_LINE:
        w->proc.line(w->proc.self, e->id, e->p, e->n);
        break;
    case EFF_DO:
        e->fn(n, e->p);
        break;
    }
}

/* An eff_do may add effects: they are released in the same pass, behind the others. */
void effects_release(struct node *n)
{
    struct effects *fx = n->fx;
    fx->undo_n = 0;
    str_clear(&fx->saved);
    while (fx->next < fx->n) {
        struct effect e = fx->list[fx->next++];
        release_one(n, &e);
    }
    fx->n = fx->next = 0;
    fx->undo_n = 0;
    str_clear(&fx->saved);
}
