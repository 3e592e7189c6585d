"""What befalls a cluster: nodes that are killed, paused, stopped; disks that fill up, clocks that jump, shells that hold
its database. And the witness of what must never be seen meanwhile.

    with Witness(c) as witness:           # looks all the time whether a name runs twice
        kill(c, c[1], dice)               # each of NODE_FAULTS: once, repaired as far as a person would have to
        settle(c)                         # waits until the cluster is whole again
        with witness.blind(): …           # while both sides of a split may run a name

Each fault of a node returns once it is over, except for what the cluster has to do by itself.
"""
import atexit
import contextlib
import ctypes
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from cluster import until, works
from tap import skip

SUSPECT_MS, DOWN_MS = 1500, 4000
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)
QUICK_VERDICTS = {"SKEP_PING_MS": "200", "SKEP_SUSPECT_MS": str(SUSPECT_MS), "SKEP_DOWN_MS": str(DOWN_MS)}


# ---------------------------------------------------------------- who looks on


def doomed(pid):
    """Whether it runs no more: gone, ending, or with a SIGKILL that it cannot escape."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        with open("/proc/%d/status" % pid) as f:
            pending = [int(line.split()[1], 16) for line in f if line.startswith(("SigPnd", "ShdPnd"))]
    except (FileNotFoundError, ProcessLookupError):
        return True
    exiting, sigkill = 0x4, 1 << (signal.SIGKILL - 1)
    return fields[0] in "ZX" or int(fields[6]) & exiting or any(p & sigkill for p in pending)


class Witness(threading.Thread):
    """Looks whether two processes of a name live at once."""

    def __init__(self, c, every_s=0.01):
        super().__init__(daemon=True)
        self.c, self.every_s, self.wrong = c, every_s, []
        self.ends, self.closed, self.looking = threading.Event(), threading.Event(), threading.Lock()

    def look(self):
        for name, found in self.c.processes().items():
            alive = {pid: (env["SKEP_NODE"], env["SKEP_EPOCH"]) for pid, env in found.items() if not doomed(pid)}
            if len(alive) > 1:  # one of them may have ended since the first look
                alive = {pid: told for pid, told in alive.items() if not doomed(pid)}
            if len(alive) > 1:
                self.wrong.append("%s runs as %s" % (name, alive))

    def run(self):
        while not self.ends.is_set():
            with self.looking:
                if not self.closed.is_set():
                    self.look()
            self.ends.wait(self.every_s)

    @contextlib.contextmanager
    def blind(self):
        with self.looking:
            self.closed.set()
        try:
            yield
        finally:
            self.closed.clear()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *unused):
        self.ends.set()
        self.join()
        assert kind or not self.wrong, self.wrong[:10]


# ---------------------------------------------------------------- nodes


def keeper_of(node):
    """Of a node that answers."""
    return works(node.get("/v1/nodes/" + node.name))["keeper_pid"]


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill(c, node, dice):
    node.kill()
    time.sleep(dice.choice([0, 0.3, 1, 2]))
    node.start()


def kill_workers(c, node, dice):
    """All that it runs, at once; it starts them again."""
    for found in c.processes().values():
        for pid, env in found.items():
            if env["SKEP_NODE"] == node.name:
                send(pid, signal.SIGKILL)


def kill_keeper(c, node, dice):
    old = keeper_of(node)
    send(old, signal.SIGKILL)
    until(lambda: not node.lives() or keeper_of(node) not in (old, None), 20, "a new keeper")


def kill_both(c, node, dice):
    pids = [node.pid, keeper_of(node)]
    dice.shuffle(pids)
    for pid in pids:
        send(pid, signal.SIGKILL)
        time.sleep(dice.choice([0, 0, 0.01]))
    node.gone()
    time.sleep(dice.choice([0, 0.5]))
    node.start()


def kill_at_start(c, node, dice):
    """Again and again, ever later in its way up."""
    node.kill()
    for _ in range(3):
        again = node.spawn()
        time.sleep(dice.random() * 0.3)
        again.kill()
        again.wait()
    node.start()


def pause(c, node, dice):
    """Shorter than anybody's patience, or beyond it."""
    node.signal(signal.SIGSTOP)
    time.sleep(dice.choice([0.5 * SUSPECT_MS, 0.9 * DOWN_MS, 1.3 * DOWN_MS]) / 1000)
    node.signal(signal.SIGCONT)


def pause_long(c, node, dice):
    """Until its children run elsewhere."""
    node.signal(signal.SIGSTOP)
    try:
        time.sleep(1.5 * DOWN_MS / 1000)
    finally:
        node.signal(signal.SIGCONT)


def pause_keeper(c, node, dice):
    """skepd gives it three seconds, then kills it and all that it ran."""
    old = keeper_of(node)
    send(old, signal.SIGSTOP)
    time.sleep(dice.choice([0.5, 5]))
    send(old, signal.SIGCONT)


def leave_for(node):
    """It leaves in order, and is away."""
    node.signal(signal.SIGTERM)
    node.gone(40)


def leave(c, node, dice):
    leave_for(node)
    time.sleep(dice.choice([0, 0.5]))
    node.start()


def leave_and_die(c, node, dice):
    node.signal(signal.SIGTERM)
    time.sleep(dice.random() * 0.1)
    if node.lives():
        send(node.pid, signal.SIGKILL)
    node.gone()
    node.start()


NODE_FAULTS = [kill, kill, kill_workers, kill_keeper, kill_both, kill_at_start, pause, pause_long, pause_keeper, leave, leave_and_die]


def settle(c, timeout_s=60):
    """Waits until every node lives, decides and sees all others; starts the one that ended as it should, after it was
    paused for too long or lost its keeper."""
    deadline = time.monotonic() + timeout_s
    while True:
        for n in c.nodes:
            if not n.lives():
                n.start()
        try:
            c.calm(min(3, max(0.1, deadline - time.monotonic())))
            if all(n.lives() for n in c.nodes):
                return
        except (AssertionError, OSError):
            if time.monotonic() > deadline:
                raise


# ---------------------------------------------------------------- disks


def mounts_of_our_own():
    """From now on what this program mounts is seen by it and by what it starts, and gone with them."""
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        skip("no mount namespace can be made here: %s" % os.strerror(ctypes.get_errno()))


class SmallDisk:
    """A small tmpfs in place of a folder, with what was in there."""

    def __init__(self, where, size):
        self.where = where
        kept = tempfile.mkdtemp()
        shutil.copytree(where, kept, symlinks=True, dirs_exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=%o" % (size, os.stat(where).st_mode & 0o777),
                               "tmpfs", where], capture_output=True, text=True)
        if done.returncode:
            skip("no tmpfs can be mounted here: %s" % done.stderr.strip())
        shutil.copytree(kept, where, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(kept)

    def fill(self, leave_bytes=0):
        with open(os.path.join(self.where, "filler"), "ab", 0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass
            if leave_bytes:
                f.truncate(max(0, f.tell() - leave_bytes))

    def free(self):
        os.unlink(os.path.join(self.where, "filler"))

    def end(self):
        subprocess.run(["umount", "-l", self.where], check=True)


# ---------------------------------------------------------------- clocks


class Clock:
    """The wall clock of one node's skepd, as libfaketime shows it: it jumps when told to, its other clocks go on."""

    WHERE = ("/usr/lib/%s-linux-gnu/faketime/libfaketimeMT.so.1" % os.uname().machine,
             "/usr/lib/faketime/libfaketimeMT.so.1")

    def __init__(self, folder):
        self.library = next((p for p in self.WHERE if os.path.exists(p)), None)
        if not self.library:
            skip("there is no libfaketime here")
        self.path = os.path.join(folder, "clock")
        self.off(0)

    def off(self, seconds):
        """By so much it is ahead of the real one from now on."""
        with open(self.path + ".new", "w") as f:
            f.write("%+d\n" % seconds)
        os.rename(self.path + ".new", self.path)

    def environment(self):
        return {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKETIME_ONLY_CMDS": "skepd"}

    def start(self, node):
        """Starts a node under this clock."""
        node.start(env=self.environment())
        atexit.register(self.forget, node.pid)

    @staticmethod
    def forget(pid):
        """What libfaketime leaves behind for a program that was killed."""
        for path in glob.glob("/dev/shm/*faketime_*_%d" % pid):
            os.unlink(path)


# ---------------------------------------------------------------- shells


class Shell:
    """A stock sqlite3 beside a node."""

    def __init__(self, node):
        self.node = node
        self.process = subprocess.Popen(["sqlite3", "-batch", node.db], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.pid = self.process.pid

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, text):
        """What it prints for these statements."""
        self.say(text + "\nSELECT 'that is all';")
        lines = []
        while (line := self.process.stdout.readline()) != "that is all\n":
            assert line, "the shell ended: %s" % lines
            lines.append(line.rstrip("\n"))
        return lines

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
