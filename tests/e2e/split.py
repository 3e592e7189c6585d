"""A network that splits, for clusters on loopback: proxies between the nodes.

Each node advertises the port of a proxy of the test. A proxy knows the node that dials it by the owner of the other end
of its connection, and forwards nothing between nodes that are cut from each other: both just wait, as on a dead line.
"""
import os
import selectors
import signal
import socket
import threading


def inodes(pid):
    """Sockets of a process."""
    found = set()
    try:
        for fd in os.listdir("/proc/%d/fd" % pid):
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def inode_of(port, proxy):
    """The socket at this local port that has dialled the proxy's: others may use the same one to dial elsewhere."""
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if [int(v.rpartition(":")[2], 16) for v in fields[1:3]] == [port, proxy] and fields[9] != "0":
                return fields[9]
    return None


class Net:
    """The proxies of a cluster, in one thread."""

    def __init__(self):
        self.cut, self.ends, self.selector = set(), {}, selectors.DefaultSelector()
        self.cluster, self.held, self.lock = None, [], threading.Lock()
        self.wake, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ, None)

    def proxy(self, name, port):
        listener = socket.create_server(("127.0.0.1", 0))
        self.selector.register(listener, selectors.EVENT_READ, (name, port))
        return listener.getsockname()[1]

    def start(self, cluster):
        self.cluster = cluster
        threading.Thread(target=self.run, daemon=True).start()

    def split(self, *pairs):
        """Cuts these pairs of names, and only these; a connection that was cut is closed at the heal."""
        with self.lock:
            healed = self.cut - {frozenset(p) for p in pairs}
            self.cut = {frozenset(p) for p in pairs}
            for ends in list(self.ends.values()):
                if ends[1] in healed:
                    self.drop(ends)
        self.wake.send(b"x")

    def dialler(self, near):
        inode = inode_of(near.getpeername()[1], near.getsockname()[1])
        return next((n.name for n in self.cluster.nodes if n.lives() and inode in inodes(n.pid)), None)

    def accept(self, listener, name, port):
        near = listener.accept()[0]
        who = self.dialler(near)
        if who is None:  # it has given up already
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", port)) if port else None
        link = frozenset((who, name))
        for mine, other in ((near, far), (far, near)):
            self.ends[mine] = (other, link, mine)
            self.selector.register(mine, selectors.EVENT_READ, "end")

    def drop(self, ends):
        for s in (ends[0], ends[2]):
            if s in self.ends:
                del self.ends[s]
                try:
                    self.selector.unregister(s)
                except KeyError:
                    pass
                s.close()

    def forward(self, s):
        other, link, _ = self.ends[s]
        if link in self.cut:
            self.selector.unregister(s)  # its bytes stay where they are
            return
        try:
            data = s.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        self.drop(self.ends[s])

    def run(self):
        while True:
            for key, _ in self.selector.select():
                with self.lock:
                    if key.data is None:
                        self.woken.recv(100)
                    elif key.data == "end":
                        if key.fileobj in self.ends:
                            self.forward(key.fileobj)
                    else:
                        try:
                            self.accept(key.fileobj, *key.data)
                        except OSError:
                            pass


def rewire(c, net):
    """Stops the cluster, puts proxies between its nodes, and starts it again."""
    urls = {}
    for n in c.nodes:
        urls[n.url] = "https://127.0.0.1:%d" % net.proxy(n.name, n.port)
    for n in c.nodes:
        n.signal(signal.SIGTERM)
    for n in c.nodes:
        n.gone()
        path = n.argv[-1]
        with open(path) as f:
            conf = f.read()
        for old, new in urls.items():
            conf = "".join(line if line.startswith("listen") else line.replace(old, new)
                           for line in conf.splitlines(True))
        with open(path, "w") as f:
            f.write(conf)
    net.start(c)
    for n in c.nodes:
        n.start()
    c.calm()
