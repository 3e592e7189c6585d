"""Real clusters for the tests end to end: `skep dev`, its nodes killed, stopped and started again.

    from cluster import Cluster
    c = Cluster(3)                       # tests/api/lib.py's, whose nodes can die
    c[1].kill()                          # kill -9
    c[1].start()                         # its argv again
    c.start("x", WORKER)                 # PUT …/children/x, 201
    c.alone("x")                         # waits until x runs everywhere the same, in exactly one process
"""
import atexit
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "api")]
import lib
from lib import BIN, SKEP, quote, refused, works
from tap import SRC, until

COUNTER = [os.path.join(os.path.dirname(BIN), "examples", "counter")]
WORKER = [sys.executable, "-S", os.path.join(HERE, "worker.py")]
SLEEP = ["sleep", "1000"]


class OverUnix(http.client.HTTPConnection):
    def __init__(self, path, timeout_s):
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def state_of(pid):
    """Its state letter in /proc; None when it is gone or a zombie without a thread that still ends."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            letter = f.read().rpartition(")")[2].split()[0]
        threads = len(os.listdir("/proc/%d/task" % pid))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if letter in "ZX" and threads <= 1 else letter


def lives(pid):
    return state_of(pid) is not None


def environments():
    """(pid, environment) of every process that skep started on this machine."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                data = f.read()
        except OSError:
            continue
        if b"SKEP_RUN=" in data and lives(int(pid)):
            text = data.decode("utf-8", "surrogateescape").split("\0")
            yield int(pid), dict(v.split("=", 1) for v in text if "=" in v)


class Node(lib.Node):
    """One that can be killed and come back. Its pid is that of the skepd that runs now."""

    again = None  # the process that start() made

    def local(self, method, path, body=None, timeout_s=60):
        """A request over its Unix socket, without credentials."""
        return self.ask(method, path, body, token=None, connection=OverUnix(self.socket, timeout_s))

    def kill(self):
        """kill -9 of its skepd; returns once that process is gone."""
        self.signal(signal.SIGKILL)
        self.gone()

    def signal(self, number):
        os.kill(self.pid, number)

    def gone(self, timeout_s=30):
        """Waits for the end of its skepd; its exit status where this program started it."""
        if self.again:
            return self.again.wait(timeout_s)
        until(lambda: not lives(self.pid), timeout_s, "the end of node %s" % self.name)

    def lives(self):
        return self.again.poll() is None if self.again else lives(self.pid)

    def spawn(self, env=None):
        """Its argv again, whatever becomes of it: the process."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEP_")}
        self.again = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=self.cluster.log, env=clean | self.cluster.env | (env or {}))
        self.pid = self.again.pid
        return self.again

    def start(self, env=None):
        """Its argv again; returns once it is ready."""
        self.spawn(env)
        until(self.ready, 30, "node %s is ready" % self.name)

    def ready(self):
        assert self.lives(), "node %s ended:\n%s" % (self.name, self.cluster.tail())
        try:
            return self.get("/readyz", token=None, timeout_s=5).status == 200
        except OSError:
            return False

    def connection(self, timeout_s=60):
        made = super().connection(timeout_s)
        if self.cluster.dial:
            made._create_connection = self.cluster.dial(self)
        return made

    def sql(self, query, *values):
        """Rows of its database, read beside it."""
        db = sqlite3.connect("file:%s?mode=ro" % self.db, uri=True, timeout=5)
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    def digest(self):
        """Of every live replicated row in its file, and its stamp: what nodes that agree have in common."""
        db = sqlite3.connect("file:%s?mode=ro" % self.db, uri=True, timeout=5)
        try:
            db.execute("BEGIN")  # all of one moment
            tables = [t for t, in db.execute("SELECT name FROM tables WHERE kind = 'replicated' ORDER BY name")]
            sums = {"change": db.execute("SELECT tbl, key, rank, actor, hlc, hash FROM change WHERE dead = 0 "
                                         "ORDER BY tbl, key")}
            for t in tables:
                key = db.execute("SELECT key FROM tables WHERE name = ?", (t,)).fetchone()[0]
                sums[t] = db.execute("SELECT * FROM %s ORDER BY %s" % (t, key))
            return {t: hashlib.sha256(repr(rows.fetchall()).encode()).hexdigest() for t, rows in sums.items()}
        finally:
            db.close()

    def child(self, name):
        """What it says about a child; None for 404."""
        r = self.get("/v1/swarms/default/children/" + quote(name))
        return None if r.status == 404 else works(r)

    def call(self, name, data, timeout_ms=20000):
        return works(self.post("/v1/swarms/default/children/%s/calls?timeout_ms=%d" % (quote(name), timeout_ms),
                               {"data": data}))["data"]


class Cluster(lib.Cluster):
    """`skep dev`, with what a test of a whole cluster asks of it."""

    dial = None  # a node → how to connect to it, where that is not plain

    def __init__(self, count=3, folder=None, env=None):
        self.env = dict(env or {})
        super().__init__(count, folder, env)
        self.nodes = [Node(self, facts) for facts in self.facts["nodes"]]
        self.ids = {self.id_of(n): n.name for n in self.nodes}

    @staticmethod
    def id_of(node):
        return node.sql("SELECT value FROM meta WHERE key = 'node'")[0][0]

    def tail(self):
        """The end of what the nodes that start() made have said."""
        with open(self.log.name, errors="replace") as f:
            return f.read()[-2000:]

    def crashes(self):
        """Also of the nodes that start() made: they write beside dev."""
        with open(os.path.join(self.folder, "dev.err"), errors="replace") as f:
            return super().crashes() + [line.rstrip() for line in f if lib.FAULT.search(line)]

    def stop(self):
        for n in self.nodes:
            if n.again and n.lives():
                n.signal(signal.SIGCONT)
                n.signal(signal.SIGTERM)
        code = super().stop()
        for n in self.nodes:
            if n.again and n.lives():
                try:
                    n.gone(40)
                except subprocess.TimeoutExpired:
                    n.kill()
        return code

    def named(self, name):
        return next(n for n in self.nodes if n.name == name)

    def living(self):
        return [n for n in self.nodes if n.lives() and state_of(n.pid) != "T"]

    def other(self, *nodes):
        """A living node that is none of these."""
        return next(n for n in self.living() if n not in nodes)

    def calm(self, timeout_s=40):
        """Waits until all living nodes see each other healthy and decide again."""
        def settled():
            for n in self.living():
                r = n.get("/v1/nodes")
                up = {v["name"] for v in works(r)["nodes"] if v["status"] == "healthy"}
                if up != {m.name for m in self.living()}:
                    return False
                if not re.search(r"^skep_view_open 1$", n.get("/metrics").body.decode(), re.M):
                    return False
            return True
        until(settled, timeout_s, "a settled cluster", 0.05)

    def put(self, name, argv, node=None, query="", **spec):
        return (node or self.living()[0]).put("/v1/swarms/default/children/%s%s" % (quote(name), query),
                                              {"argv": argv, **spec})

    def start(self, name, argv, node=None, query="", **spec):
        return works(self.put(name, argv, node, query, **spec), 201)

    def end(self, name, node=None):
        return works((node or self.living()[0]).delete("/v1/swarms/default/children/" + quote(name)))

    def processes(self, name=None):
        """Pids of this cluster's processes (their helpers not counted), of one name or by name."""
        found = {}
        for pid, env in environments():
            if env["SKEP_RUN"].split("/")[0] in self.ids and "SKEP_NAME" in env:
                found.setdefault(env["SKEP_NAME"], {})[pid] = env
        if name is None:
            return found
        return found.get(name, {})

    def heads(self, name):
        """Of these the ones that skep itself spawned: whose parent is a keeper."""
        return [pid for pid in self.processes(name) if is_keeper(parent_of(pid))]

    def alone(self, name, timeout_s=20, not_on=None):
        """Waits until every living node shows it running, the same, as the one process there is; that answer."""
        def settled():
            shown = [n.child(name) for n in self.living()]
            first = shown[0]
            if not first or first["status"] != "running" or first["node"] == (not_on and not_on.name):
                return None
            what = "status", "node", "epoch", "pid", "restarts", "started_at"
            if any(not s or any(s[k] != first[k] for k in what) for s in shown):
                return None
            return first if self.heads(name) == [first["pid"]] else None
        return until(settled, timeout_s, "one process under %s" % name)

    def equal(self, timeout_s=20):
        """Waits until the version tables of all living nodes are the same, row by row."""
        def same():
            tables = [n.sql("SELECT tbl, key, rank, actor, hlc, dead, hash FROM change ORDER BY tbl, key")
                      for n in self.living()]
            return all(t == tables[0] for t in tables) and tables[0]
        try:
            return until(same, timeout_s, "the same rows on every node", 0.1)
        except AssertionError as e:
            raise AssertionError("%s: %s" % (e, self.differing("change")))

    def same(self, timeout_s=20):
        """Waits until the files of all living nodes hold the same, tables included; what differs is told."""
        told = {}

        def so():
            told.update({n.name: n.digest() for n in self.living()})
            first = next(iter(told.values()))
            return all(d == first for d in told.values())
        try:
            until(so, timeout_s, "equal digests", 0.2)
        except AssertionError as e:
            differ = {t for d in told.values() for t in d if len({o.get(t) for o in told.values()}) > 1}
            raise AssertionError("%s: %s" % (e, {t: self.differing(t) for t in differ}))

    def differing(self, table):
        """Rows that some living node has and another has not, by node: a few of them."""
        where = " WHERE dead = 0" if table == "change" else ""
        rows = {n.name: set(n.sql("SELECT * FROM " + table + where)) for n in self.living()}
        common = set.intersection(*rows.values())
        return {name: sorted(r - common, key=repr)[:3] for name, r in rows.items()}

    def events(self, name, node=None):
        """Types of what is in the name's history, oldest first."""
        r = (node or self.living()[0]).get("/v1/swarms/default/children/%s/history" % quote(name))
        return [e["type"] for e in works(r)["history"]]


class Grown(Cluster):
    """A cluster made by skep init and skep join, each node a skepd that this program started."""

    def __init__(self):
        self.folder, self.env, self.nodes, self.ids = tempfile.mkdtemp(prefix="skep-grown-"), {}, [], {}
        self.log = open(os.path.join(self.folder, "dev.err"), "ab")
        atexit.register(self.stop)

    def inside(self, name):
        """What comes before the command that runs the skepd of this name."""
        return []

    def skep(self, *argv, before=()):
        """(exit status, standard output, standard error)"""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEP_")}
        done = subprocess.run([*before, SKEP, *argv], capture_output=True, text=True, timeout=30, env=clean | {"HOME": self.folder})
        return done.returncode, done.stdout, done.stderr

    def place(self, name):
        """Options of init and join for a node of this name, on a free port."""
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        return ["--dir", os.path.join(self.folder, name), "--name", name, "--listen", "127.0.0.1:%d" % port,
                "--advertise", "https://127.0.0.1:%d" % port]

    def init(self, name, conf):
        status, out, err = self.skep("init", *self.place(name))
        assert status == 0, err
        self.ca = os.path.join(self.folder, name, "ca.crt")
        with open(os.path.join(self.folder, name, "admin.token")) as f:
            self.token = f.read().strip()
        self.tls = ssl.create_default_context(cafile=self.ca)
        return self.run(name, conf)

    def invite(self, name, *more):
        status, out, err = self.skep("token", "create", "--role", "join", name, "--addr", "unix://" + self.nodes[0].socket,
                                     *more)
        assert status == 0, err
        return out.strip()

    def join(self, name, token, url=None):
        return self.skep("join", url or self.nodes[0].url, "--token", token, *self.place(name))

    def known(self, name, conf="", program=None):
        """What init or join made, with these lines more in its skep.conf; another skepd, if wanted. It does not run yet."""
        folder = os.path.join(self.folder, name)
        path = os.path.join(folder, "skep.conf")
        with open(path, "a") as f:
            f.write(conf)
        with open(path) as f:
            url = re.search(r"^advertise = '(.*)'$", f.read(), re.M).group(1)
        node = Node(self, {"name": name, "url": url, "socket": os.path.join(folder, "skep.sock"), "pid": None,
                           "keeper_pid": None, "db": os.path.join(folder, "skep.db"),
                           "argv": [*self.inside(name), program or os.path.join(BIN, "skepd"), "--config", path]})
        self.nodes.append(node)
        self.ids[self.id_of(node)] = name
        return node

    def run(self, name, conf="", program=None):
        """Starts it."""
        node = self.known(name, conf, program)
        node.start()
        return node

    def crashes(self):
        with open(self.log.name, errors="replace") as f:
            return [line.rstrip() for line in f if lib.FAULT.search(line)]

    def stop(self):
        atexit.unregister(self.stop)
        for n in self.nodes:
            if n.lives():
                n.signal(signal.SIGCONT)
                n.signal(signal.SIGTERM)
        codes = [n.gone(40) for n in self.nodes]
        self.log.close()
        found = self.crashes()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not found, found
        return max(codes, default=0)


def parent_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return int(f.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_keeper(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip() == "skep-keeper"
    except (FileNotFoundError, ProcessLookupError):
        return False
