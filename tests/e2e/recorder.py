"""A load on a cluster that writes down what it was told, and the judgement of a cluster by that record.

    load = Load(c)                  # clients of the cluster c; they work until they are told otherwise
    with load.lax(): …              # what is deleted now may come back: both sides of a split may claim a name
    load.strike(c, node, dice)      # kill -9 right after an answer of a ledger that runs there
    load.more(100)                  # waits for so many acknowledgements
    load.rest()                     # no request is under way any more
    load.judge()                    # nothing acknowledged is missing, nothing deleted is back, each name runs once
    load.go_on()
    load.stop()

A client asks any node, tries again elsewhere with the same Idempotency-Key when a node is gone or refuses for now, and
gives up after a while. It concludes no more than a client may: what got no answer, or `timeout`, may have happened or
may happen yet; 503 has not; what was acknowledged has. Every key belongs to one client and is never used again.

Children are ledgers (ledger.py): of each number it is known whether it was acknowledged. A number is sent once.
"""
import collections
import contextlib
import http.client
import itertools
import os
import random
import signal
import sys
import threading
import time

from cluster import HERE, SLEEP, quote, until, works
from lib import pages

LEDGER = [sys.executable, "-S", os.path.join(HERE, "ledger.py")]
CHILDREN, NAMES = "/v1/swarms/default/children", "/v1/swarms/default/names"
SESSIONS, TEMPLATES = "/v1/sessions", "/v1/templates"
SPEC = {"restart": "permanent", "max_restarts": 1000, "backoff_max_ms": 1000}
PATIENCE_S = 8       # of a client, for one thing that it wants
SHUN_S = 1           # for so long it rather asks others than a node that was silent
BEFORE_SPLIT_S = 3   # what was acknowledged so shortly before a split may not be everywhere yet
loads = itertools.count(1)


class Thing:
    """A key as its client knows it."""

    def __init__(self, kind, name):
        self.kind, self.name = kind, name
        self.state = "unknown"   # unknown | live | gone
        self.refused = False     # no try to make it can have worked
        self.doubt = False       # a try to make it may be under way still
        self.gone_at, self.tries = None, []
        self.sent, self.told = [], []  # of a ledger: numbers; of a session: (number, entry's id) of what is told

    def __repr__(self):
        return "%s %s (%s%s)" % (self.kind, self.name, self.state, ", in doubt" if self.doubt else "")


class Client(threading.Thread):
    def __init__(self, load, number, seed):
        super().__init__(daemon=True)
        self.load, self.who, self.dice = load, "%d.%d" % (load.number, number), random.Random(seed)
        self.links, self.shunned, self.made = {}, {}, 0
        self.things = []
        self.tries = []                     # of the operation under way, as text
        self.told = collections.Counter()   # acknowledgements by kind of operation
        self.unknown = 0
        self.wrong = []

    # ---- asking

    def once(self, node, method, path, body=None, headers=None):
        """(reply or None, whether it may have happened without our knowing)"""
        link = self.links.get(node.name)
        try:
            if not link:
                link = node.connection(self.load.answer_s)
                link.connect()
                self.links[node.name] = link
        except OSError:
            self.shunned[node.name] = time.monotonic() + SHUN_S
            return None, False
        try:
            return node.ask(method, path, body, headers, connection=link), False
        except (OSError, http.client.HTTPException):
            self.links.pop(node.name, None)
            link.close()
            self.shunned[node.name] = time.monotonic() + SHUN_S
            return None, True

    def node(self):
        """Any of them, rather one that has not just failed."""
        now, nodes = time.monotonic(), self.load.cluster.nodes
        return self.dice.choice([n for n in nodes if self.shunned.get(n.name, 0) < now] or nodes)

    def ask(self, method, path, body=None, headers=None):
        """The answer that counts, None when there was none; whether a try may have happened or may yet happen."""
        give_up, doubt, self.tries = time.monotonic() + PATIENCE_S, False, []
        path += ("&" if "?" in path else "?") + "timeout_ms=%d" % (self.load.answer_s * 800)
        while True:
            node, began = self.node(), time.monotonic()
            r, open_end = self.once(node, method, path, body, headers)
            self.tries.append("%s after %.2f s: %s" % (
                node.name, time.monotonic() - began, "%d %s" % (r.status, r.body[:120]) if r else
                "no answer" if open_end else "no connection"))
            doubt |= open_end or (r is not None and r.status == 504)
            if r and r.status == 503:
                self.load.refusals[r.json["code"]] += 1
            elif r and r.status != 504:
                return r, doubt
            if time.monotonic() > give_up or self.load.ends.is_set():
                return None, doubt
            self.load.ends.wait(0.02 + self.dice.random() * 0.1)

    def note(self, what):
        self.told[what] += 1

    # ---- making and deleting

    def make(self, kind, method, path, body, good):
        self.made += 1
        thing = Thing(kind, "%s-%s-%d" % (kind, self.who, self.made))
        self.things.append(thing)
        for field in ("id",) if method == "POST" else ():
            body[field] = thing.name
        r, thing.doubt = self.ask(method, path if method == "POST" else "%s/%s" % (path, quote(thing.name)), body,
                                  {"Idempotency-Key": thing.name})
        thing.tries = self.tries
        if r is None:
            thing.refused = not thing.doubt
            self.unknown += thing.doubt
        elif r.status in good:
            thing.state = "live"
            self.note("make " + kind)
        elif not (r.status in (409, 422) and thing.doubt):  # an earlier try may have got so far
            self.wrong.append("%r: %r; %s" % (thing, r, self.tries))
        return thing

    def delete(self, thing, path):
        thing.state = "unknown"
        r, open_end = self.ask("DELETE", "%s/%s" % (path, quote(thing.name)))
        if r is not None and r.status == 200:
            thing.state, thing.gone_at, thing.tries = "gone", time.monotonic(), [*thing.tries, *self.tries]
            self.note("delete " + thing.kind)
        elif r is not None and r.status != 404:  # 404: an earlier try, or a node that does not know it yet
            self.wrong.append("DELETE %r: %r; %s" % (thing, r, self.tries))

    def some(self, kind):
        found = [t for t in self.things if t.kind == kind and t.state == "live"]
        return self.dice.choice(found) if found else None

    # ---- what a client does

    def child(self):
        live = [t for t in self.things if t.kind == "child" and t.state == "live"]
        if len(live) < 2:
            self.make("child", "PUT", CHILDREN, {"argv": LEDGER, **SPEC}, (201,))
        else:
            self.delete(self.dice.choice(live), CHILDREN)

    def add(self):
        """One number into a ledger of its own, or one of those that all share."""
        thing = self.dice.choice([self.some("child")] + self.load.shared)
        if not thing:
            return
        self.made += 1
        token = (self.who, self.made)
        thing.sent.append(token)
        node = self.node()
        r, _ = self.once(node, "POST", "%s/%s/calls?timeout_ms=%d" % (
            CHILDREN, quote(thing.name), self.load.answer_s * 800), {"data": {"add": token}})
        if r is not None and r.status == 200:
            self.load.struck(thing, node)
            thing.told.append(token)
            self.note("add")
        elif r is not None and r.status not in (404, 422, 503, 504):
            self.wrong.append("%r: %r" % (thing, r))

    def address(self):
        thing = self.some("name")
        if thing and self.dice.random() < 0.4:
            self.delete(thing, NAMES)
        else:
            self.make("name", "PUT", NAMES, {"address": "10.0.0.1:1"}, (200, 201))

    def template(self):
        thing = self.some("template")
        if thing and self.dice.random() < 0.4:
            self.delete(thing, TEMPLATES)
        else:
            self.make("template", "PUT", TEMPLATES, {"argv": SLEEP}, (200, 201))

    def session(self):
        live = [t for t in self.things if t.kind == "session" and t.state == "live"]
        if len(live) < 3 or self.dice.random() < 0.5:
            self.make("session", "POST", SESSIONS, {"template": self.load.template}, (201,))
        else:
            self.delete(self.dice.choice(live), SESSIONS)

    def entry(self):
        thing = self.some("session")
        if not thing:
            return
        self.made += 1
        number = "%s-%d" % (self.who, self.made)
        thing.sent.append(number)
        r, _ = self.ask("POST", "%s/%s/entries" % (SESSIONS, thing.name), {"role": "user", "content": number},
                        {"Idempotency-Key": number})
        if r is not None and r.status == 201:
            thing.told.append((number, r.json["id"]))
            self.note("entry")
        elif r is not None and r.status != 404:
            self.wrong.append("entry of %r: %r" % (thing, r))

    def run(self):
        deeds = [self.add] * 10 + [self.entry] * 5 + [self.address] * 3 + [self.template, self.session, self.child]
        while not self.load.ends.is_set():
            if self.load.resting.is_set():
                self.idle = True
                self.load.ends.wait(0.01)
                continue
            self.idle = False
            if self.load.resting.is_set():
                continue
            try:
                self.dice.choice(deeds)()
            except Exception as e:  # a client that dies unnoticed would record nothing
                self.wrong.append("%s: %r" % (type(e).__name__, e))
                raise
            self.load.ends.wait(self.load.pause_s)
        self.idle = True

    idle = True


class Load:
    """shared: how many ledgers there are beside those of the clients, never deleted."""

    def __init__(self, cluster, seed=0, clients=4, shared=6, answer_s=2, pause_s=0.01):
        self.number = next(loads)  # a later one on the same cluster has keys of its own
        self.cluster, self.answer_s, self.pause_s = cluster, answer_s, pause_s
        self.ends, self.resting = threading.Event(), threading.Event()
        self.refusals, self.blows = collections.Counter(), {}
        self.splits = []  # (from, to) of what was lax
        self.template = "load"
        assert cluster.nodes[0].put(TEMPLATES + "/load", {"argv": SLEEP}).status in (200, 201)
        self.shared = [Thing("child", "shared-%d.%d" % (self.number, i)) for i in range(shared)]
        for i, thing in enumerate(self.shared):
            cluster.start(thing.name, LEDGER, cluster.nodes[i % len(cluster.nodes)], **SPEC)
            thing.state = "live"
        for n in cluster.nodes:
            until(lambda: n.get(TEMPLATES + "/load").status == 200, 10)
        self.clients = [Client(self, i, seed * 1000 + i) for i in range(clients)]
        for k in self.clients:
            k.start()

    @contextlib.contextmanager
    def lax(self):
        began = time.monotonic() - BEFORE_SPLIT_S
        self.splits.append([began, None])
        try:
            yield
        finally:
            self.splits[-1][1] = time.monotonic()

    def in_split(self, at):
        return any(a <= at and (b is None or at <= b) for a, b in self.splits)

    def rest(self):
        self.resting.set()
        until(lambda: all(k.idle for k in self.clients), PATIENCE_S + 2 * self.answer_s + 10, "the end of what is under way")

    def go_on(self):
        self.resting.clear()

    def stop(self):
        self.ends.set()
        for k in self.clients:
            k.join(60)

    def more(self, count, timeout_s=60):
        """Waits for so many further acknowledgements."""
        goal = sum(self.told().values()) + count
        until(lambda: sum(self.told().values()) >= goal, timeout_s, "%d more acknowledgements" % count, 0.05)

    def strike(self, c, node, dice):
        """A fault of a node: it dies with an answer of one of its ledgers on its lips, and stays away until others have
        taken over."""
        names = [t.name for t in self.shared if c.named(c.alone(t.name)["node"]) is node]
        hit = threading.Event()

        def blow(asked):
            if asked is node and not hit.is_set():
                hit.set()
                os.kill(node.pid, signal.SIGKILL)
        self.blows.update({name: blow for name in names})
        struck = hit.wait(20)
        self.blows.clear()
        assert struck or not names, "%s do not answer" % names
        if struck:
            node.gone()
            for name in names:
                c.alone(name, 40, not_on=node)
            node.start()

    def struck(self, thing, asked):
        blow = self.blows.get(thing.name)
        if blow:
            blow(asked)

    def told(self):
        return sum((k.told.copy() for k in self.clients), collections.Counter())

    def things(self):
        return self.shared + [t for k in self.clients for t in k.things]

    # ---- the judgement

    def judge(self):
        """Of a load at rest, on a cluster whose faults are over."""
        c = self.cluster
        c.calm(60)
        c.same(40)
        wrong = [w for k in self.clients for w in k.wrong]
        wrong += self.judge_keys() + self.judge_ledgers() + self.judge_sessions()
        assert not wrong, "\n".join(wrong[:60])
        self.judge_processes()
        c.same(40)
        self.forget_gone()

    def judge_keys(self):
        """Live things are there, deleted ones are not, refused ones never were: on every node."""
        wrong = []
        for kind, path, plural in (("child", CHILDREN, "children"), ("name", NAMES, "names"),
                                   ("session", SESSIONS, "sessions"), ("template", TEMPLATES, "templates")):
            for n in self.cluster.nodes:
                shown = {v["id" if kind in ("session", "template") else "name"] for v in pages(n, path, plural, 1000)}
                for t in (t for t in self.things() if t.kind == kind):
                    if t.state == "live" and t.name not in shown:
                        wrong += ["%r is missing on %s" % (t, n.name), *self.story(t.name)]
                    if t.state == "gone" and not t.doubt and t.name in shown and not self.in_split(t.gone_at):
                        wrong += ["%r is back on %s, deleted %.1f s ago by %s" % (
                            t, n.name, time.monotonic() - t.gone_at, t.tries), *self.story(t.name)]
                    if t.state == "unknown" and t.refused and t.name in shown:
                        wrong.append("%r was refused by all, and is there on %s" % (t, n.name))
        return wrong

    def judge_ledgers(self):
        """Every number told is there, none that was not sent, none twice."""
        wrong, give_up = [], time.monotonic() + 40
        for t in (t for t in self.things() if t.kind == "child" and t.state == "live"):
            try:
                self.cluster.alone(t.name, max(1, give_up - time.monotonic()))
            except AssertionError as e:
                wrong += ["%s: %s" % (t, e), *self.story(t.name)]
                continue
            has, patient_until = self.ledger(t), time.monotonic() + 10
            while (lost := [token for token in t.told if token not in has]) and time.monotonic() < patient_until:
                time.sleep(0.2)  # what the loser of a split has left is on its way
                has = self.ledger(t)
            if lost:
                wrong.append("%r has lost %s" % (t, lost[:5]))
            if set(has) - set(t.sent):
                wrong.append("%r made up %s" % (t, set(has) - set(t.sent)))
            if any(times != 1 for times in has.values()):
                wrong.append("%r counted twice: %s" % (t, {k: v for k, v in has.items() if v != 1}))
        return wrong

    def ledger(self, thing):
        """{(who, number): times}"""
        state = self.cluster.nodes[0].call(thing.name, "get")
        return {(who, int(n)): times for who, numbers in state.items() for n, times in numbers.items()}

    def story(self, name):
        """What every node says about a name, and what runs."""
        told = ["%s runs as %s" % (name, {pid: (env["SKEP_NODE"], env["SKEP_EPOCH"])
                                          for pid, env in self.cluster.processes(name).items()})]
        for n in self.cluster.living():
            v = n.child(name) or {}
            told += ["%s holds %s" % (n.name, row) for row in n.sql(
                "SELECT tbl, rank, actor, hlc, dead, strftime('%H:%M:%f', (hlc >> 16) / 1000.0, 'unixepoch') "
                "FROM change WHERE key LIKE '%' || ?", name)]
            told.append("%s shows %s" % (n.name, {k: v.get(k) for k in ("status", "node", "epoch", "pid", "reason")}))
            told += ["%s of %s: %s" % (name, n.name, {k: x for k, x in e.items() if x not in (None, name)})
                     for e in works(n.get("%s/%s/history" % (CHILDREN, quote(name))))["history"]]
        return told

    def judge_sessions(self):
        """Every entry told is in the conversation or on a branch of it, under its id; none is in there twice."""
        wrong = []
        for t in (t for t in self.things() if t.kind == "session" and t.state == "live"):
            for n in self.cluster.nodes:
                path = "%s/%s" % (SESSIONS, t.name)
                main = pages(n, path + "/entries", "entries", 1000)
                found = {e["id"]: e["content"] for e in main}
                if len({e["content"] for e in main}) != len(main):
                    wrong.append("%r has an entry twice on %s" % (t, n.name))
                for b in pages(n, path + "/branches", "branches", 1000):
                    found.update({e["id"]: e["content"]
                                  for e in pages(n, "%s/entries?head=%s" % (path, b["head"]), "entries", 1000)})
                lost = [number for number, entry in t.told if found.get(entry) != number]
                if lost:
                    wrong.append("%r has lost %s on %s" % (t, lost[:5], n.name))
                if set(found.values()) - set(t.sent):
                    wrong.append("%r made up %s" % (t, set(found.values()) - set(t.sent)))
        return wrong

    def judge_processes(self):
        """What runs is what is shown, once each, and of living runs."""
        c = self.cluster

        def so():
            shown = {v["name"]: v["pid"] for v in pages(c.nodes[0], CHILDREN, "children", 1000)
                     if v["status"] == "running"}
            runs = {name: list(pids) for name, pids in c.processes().items()}
            boots = {"%s/%s" % (c.id_of(n), n.sql("SELECT boot FROM node WHERE node = ?", c.id_of(n))[0][0])
                     for n in c.living()}
            dead = [(pid, env["SKEP_RUN"]) for pids in c.processes().values() for pid, env in pids.items()
                    if env["SKEP_RUN"] not in boots]
            self.difference = "shown %s, running %s, of dead runs %s" % (
                {k: v for k, v in shown.items() if runs.get(k) != [v]},
                {k: v for k, v in runs.items() if [shown.get(k)] != v}, dead)
            return runs == {name: [pid] for name, pid in shown.items()} and not dead
        try:
            until(so, 20, "one process for each name")
        except AssertionError as e:
            raise AssertionError("%s: %s" % (e, self.difference))

    def forget_gone(self):
        """A long run would look for ever more keys: of the deleted ones some hundred stay."""
        for k in self.clients:
            old = [t for t in k.things if t.state != "live"]
            for t in old[:-300]:
                k.things.remove(t)
