"""Real clusters for the tests of the HTTP interface, and requests to their nodes.

    from lib import Cluster, refused
    c = Cluster(3)                                  # skep dev -n 3, ready; ended with the test program
    r = c[0].put("/v1/swarms/jobs", {})             # Reply: .status, .json, .headers, .body
    refused(r, 400, "invalid_argument", "nodes")    # a problem document, field to blame included

A node's requests use the admin token unless token= says another one (None: no credentials).
"""
import atexit
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import BIN

SKEP = os.path.join(BIN, "skep")
READY_S = 60
FAULT = re.compile(r"skep: bug at |Sanitizer: |runtime error: ")
CODES = {"invalid_json": 400, "invalid_argument": 400, "unauthorized": 401, "forbidden": 403, "exec_not_allowed": 403,
         "not_found": 404, "no_such_session": 404, "no_such_entry": 404, "method_not_allowed": 405,
         "already_started": 409, "taken": 409, "fenced": 409, "key_reused": 409, "conflict": 412, "too_large": 413,
         "start_failed": 422, "worker_failed": 422, "rate_limited": 429, "partitioned": 503, "settling": 503,
         "no_node_available": 503, "not_alive": 503, "queue_full": 503, "overloaded": 503, "store_fault": 503,
         "store_busy": 503, "disk_full": 503, "clock": 503, "timeout": 504}


def quote(name):
    """A name as a segment of a path."""
    return urllib.parse.quote(name, safe="").replace(".", "%2E")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {k.lower(): v for k, v in headers}, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "%d %s" % (self.status, self.body[:500])


class Node:
    """One node of a cluster, as `skep dev -o json` describes it."""

    def __init__(self, cluster, facts):
        self.cluster, self.__dict__ = cluster, {**facts, "cluster": cluster}
        self.host, port = urllib.parse.urlsplit(self.url).netloc.rsplit(":", 1)
        self.port = int(port)

    def connect(self, timeout_s=30):
        """A TLS connection to it."""
        plain = socket.create_connection((self.host, self.port), timeout_s)
        try:
            return self.cluster.tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def connection(self, timeout_s=60):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self.cluster.tls)

    def ask(self, method, path, body=None, headers=None, token=True, connection=None, timeout_s=60):
        """body: bytes as they are, anything else as JSON, None for none."""
        c = connection or self.connection(timeout_s)
        headers = {"Accept": "application/json", **(headers or {})}
        if token:
            headers["Authorization"] = "Bearer " + (self.cluster.token if token is True else token)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            c.request(method, path, data, headers)
            answer = c.getresponse()
            return Reply(answer.status, answer.getheaders(), answer.read())
        finally:
            if not connection:
                c.close()

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def put(self, path, body=None, **more):
        return self.ask("PUT", path, body, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, body, **more)

    def patch(self, path, body=None, **more):
        return self.ask("PATCH", path, body, **more)

    def delete(self, path, **more):
        return self.ask("DELETE", path, **more)

    def raw(self, data, timeout_s=30, half_close=False, connection=None):
        """Sends these bytes and reads until the node closes: what it said."""
        with connection or self.connect(timeout_s) as s:
            s.settimeout(timeout_s)
            try:
                s.sendall(data)
                if half_close:
                    s.unwrap()
            except OSError:
                pass  # it may close before it has read all; what it said counts
            return read_all(s)

    def status_of(self, other):
        """What this node thinks of another one."""
        r = self.get("/v1/nodes/" + quote(other))
        return r.json["status"] if r.status == 200 else None

    def is_alive(self):
        return self.get("/livez", token=None).status == 200


def read_all(s):
    got = b""
    try:
        while True:
            some = s.recv(65536)
            if not some:
                return got
            got += some
    except (ConnectionError, ssl.SSLError):
        return got


def answer_of(data):
    """The first HTTP answer in these bytes."""
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    assert lines[0].startswith("HTTP/1.1 "), data[:200]
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    reply = Reply(int(lines[0].split()[1]), headers, rest)
    if "content-length" in reply.headers:
        reply.body = rest[:int(reply.headers["content-length"])]
    return reply


class Cluster:
    """`skep dev -n count`, ready. Ends with stop(), or with the program that made it."""

    def __init__(self, count=1, folder=None, env=None):
        """On a folder of an earlier one it resumes that cluster; env is added to the environment of its nodes."""
        self.folder, self.keep = folder or tempfile.mkdtemp(prefix="skep-api-"), bool(folder)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SKEP_")} | (env or {})
        self.log = open(os.path.join(self.folder, "dev.err"), "ab")
        self.process = subprocess.Popen([SKEP, "dev", "-n", str(count), "--dir", self.folder, "-o", "json"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                        env=environment)
        self.nodes = []
        atexit.register(self.stop)
        facts = self.first_line()
        self.facts, self.token, self.ca = facts, facts["token"], facts["ca"]
        self.tls = ssl.create_default_context(cafile=self.ca)
        self.nodes = [Node(self, node) for node in facts["nodes"]]

    def first_line(self):
        """The one object that dev prints once all nodes are ready."""
        deadline, line = time.monotonic() + READY_S, b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            some = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert some, "skep dev did not come up: %s" % open(self.log.name, errors="replace").read()[-3000:]
            line += some
        return json.loads(line)

    def __getitem__(self, i):
        return self.nodes[i]

    def crashes(self):
        """What the nodes wrote about faults of their own: stories of ensure() and of sanitizers."""
        found = []
        for node in self.nodes:
            with open(os.path.join(os.path.dirname(node.db), "skepd.log"), errors="replace") as f:
                lines = f.read().splitlines()
            for i, line in enumerate(lines):
                if FAULT.search(line):
                    found += ["node %s: %s" % (node.name, told) for told in lines[i:i + 12]]
        return found

    def stop(self):
        """Ends it in order; its folder goes, unless it was given. The exit status of dev, or 1 if a node told of a fault
        of its own, which is shown."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()
        atexit.unregister(self.stop)
        code = self.process.returncode
        for line in self.crashes():
            print("# " + line, flush=True)
            code = code or 1
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return code


def refused(reply, status, code, field=None, word=None):
    """It is this problem, as a document; with this field to blame, and this word in its detail."""
    assert reply.status == status, (reply, status, code)
    assert reply.headers.get("content-type", "").startswith("application/problem+json"), reply.headers
    problem = reply.json
    assert problem["code"] == code and problem["status"] == status == CODES[code], problem
    assert problem["title"] and problem["detail"] and problem["type"], problem
    if field is not None:
        assert problem.get("field") == field, problem
    if word is not None:
        assert word in problem["detail"], problem
    if status == 503:
        assert int(reply.headers["retry-after"]) > 0, reply.headers
    return problem


def works(reply, status=200):
    """It did what it should: the answer's JSON."""
    assert reply.status == status, reply
    assert reply.headers["content-type"].startswith("application/json"), reply.headers
    return reply.json


def pages(node, path, plural, limit):
    """All of a list, by pages of this size."""
    found, after = [], None
    while True:
        query = "limit=%d" % limit + ("&after=" + urllib.parse.quote(after, safe="") if after is not None else "")
        page = works(node.get(path + ("&" if "?" in path else "?") + query))
        assert len(page[plural]) <= limit
        found += page[plural]
        after = page["next"]
        if after is None:
            return found
