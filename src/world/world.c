#include "world/world.h"

void request_free(struct request *r)
{
    if (!r)
        return;
    free(r->path);
    free(r->query);
    free(r->authorization);
    free(r->if_match);
    free(r->idempotency_key);
    free(r->last_event_id);
    free(r->accept);
    free(r->body);
    free(r->who.swarm);
    free(r);
}

void answer_free(struct answer *a)
{
    if (!a)
        return;
    free(a->body);
    free(a);
}

void peer_call_free(struct peer_call *c)
{
    if (!c)
        return;
    free(c->url);
    free(c->path);
    free(c->body);
    free(c);
}

static void strings_free(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

void hook_call_free(struct hook_call *c)
{
    if (!c)
        return;
    free(c->url);
    free(c->secret);
    free(c->hook);
    free(c->event);
    free(c->event_id);
    free(c->body);
    free(c);
}

void spawn_free(struct spawn *s)
{
    if (!s)
        return;
    strings_free(s->argv);
    strings_free(s->env);
    free(s->cwd);
    free(s->user);
    free(s->log);
    free(s->input);
    free(s);
}

void event_fini(struct event *e)
{
    request_free(e->request);
    free(e->bytes);
    *e = (struct event){0};
}
