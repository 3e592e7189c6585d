"""Clusters whose nodes live in network namespaces of their own, on a wire that this program holds.

    c = Spaced(["a", "b", "c"], conf)        # skep init and join, each skepd in its namespace; skips where that is refused
    c.wire.split(["a", "b"], ["c"])          # nothing passes between the two groups
    c.wire.deaf("c", "a")                    # nothing passes from c to a
    c.wire.bad(delay_ms=100, jitter_ms=30, loss=0.02)
    c.wire.heal()

A namespace has lo and one TUN device; wire.py carries what goes in and out of these. So neither a bridge nor netem nor a
packet filter of the kernel is needed, and nothing has a name: devices and namespaces end with the last process that
holds them, however this program ends. Requests of the test begin inside the namespace of the node that they go to: what
befalls the wire befalls peers only.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading

from cluster import HERE, Grown
from tap import skip

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Space:
    """A network namespace with an address on the wire. tun: the wire's end of its device."""

    def __init__(self, address):
        self.address, self.trouble = address, None
        thread = threading.Thread(target=self.make)  # a namespace is a thread's; this one does not outlive the making
        thread.start()
        thread.join()
        if self.trouble:
            skip("no network namespace with a TUN device can be made here: %s" % self.trouble)

    def make(self):
        try:
            checked(libc.unshare(CLONE_NEWNET))
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            self.tun = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
            for words in ("link set lo up", "addr add %s/24 dev wire" % self.address, "link set wire up"):
                subprocess.run(["ip", *words.split()], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as e:
            self.trouble = getattr(e, "stderr", None) or e

    def prefix(self):
        """Before a command that is to run inside."""
        return ["nsenter", "--net=/proc/%d/fd/%d" % (os.getpid(), self.fd), "--"]

    @contextlib.contextmanager
    def inside(self):
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            checked(libc.setns(self.fd, CLONE_NEWNET))
            try:
                yield
            finally:
                checked(libc.setns(home, CLONE_NEWNET))
        finally:
            os.close(home)

    def dial(self, *address, **more):
        """As socket.create_connection: a socket stays in the namespace that it was made in."""
        with self.inside():
            return socket.create_connection(*address, **more)

    def close(self):
        os.close(self.fd)
        os.close(self.tun)


class Wire:
    def __init__(self, spaces):
        """spaces: {name: Space}"""
        self.spaces = spaces
        self.process = subprocess.Popen([sys.executable, "-S", os.path.join(HERE, "wire.py"),
                                         *("%s=%d" % (s.address, s.tun) for s in spaces.values())],
                                        pass_fds=[s.tun for s in spaces.values()], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.heal()

    def tell(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"ok\n", "the wire broke"

    def heal(self):
        self.tell()

    def bad(self, **how):
        self.tell(**how)

    def cut(self, *ways):
        """Nothing passes from the first to the second node of each pair."""
        self.tell(cut=[[self.spaces[a].address, self.spaces[b].address] for a, b in ways])

    def split(self, *groups):
        self.cut(*((a, b) for one in groups for other in groups if one is not other for a in one for b in other))

    def deaf(self, speaker, *listeners):
        self.cut(*((speaker, n) for n in listeners))

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Spaced(Grown):
    """Nodes of these names, with this in the skep.conf of each."""

    def __init__(self, names, conf):
        self.spaces, self.wire = {}, None
        for i, name in enumerate(names):
            self.spaces[name] = Space("10.77.0.%d" % (i + 1))
        self.wire = Wire(self.spaces)
        super().__init__()
        conf += "allow_exec = {'*'}\n"
        self.init(names[0], conf)
        for name in names[1:]:
            status, _, err = self.join(name, self.invite(name))
            assert status == 0, err
            self.run(name, conf)
        self.calm()

    def dial(self, node):
        return self.spaces[node.name].dial

    def inside(self, name):
        return self.spaces[name].prefix()

    def place(self, name):
        at = "%s:7537" % self.spaces[name].address
        return ["--dir", os.path.join(self.folder, name), "--name", name, "--listen", at, "--advertise", "https://" + at]

    def skep(self, *argv):
        """What is about a node of ours runs in its namespace."""
        name = argv[argv.index("--name") + 1] if "--name" in argv else None
        return super().skep(*argv, before=self.inside(name) if name else [])

    def stop(self):
        code = super().stop()
        if self.wire:
            self.wire.end()
            for space in self.spaces.values():
                space.close()
        return code
