#!/usr/bin/env python3
"""counter: a worker in Python that keeps its value through hand-off and crash.

    counter.py [--tick MS]      count by itself every MS milliseconds, too

Calls and messages: "inc" counts, "get" only answers. The answer is {"count":N}, the same as its state.
A count is answered once it is durable, so no answer is ever taken back.
"""
import json
import os
import select
import signal
import socket
import sys
import time


class Counter:
    def __init__(self, channel, tick_s):
        self.channel = channel
        self.buffer = b""
        self.count = 0
        self.acks = 0
        self.waiting = {}  # ack -> (ref or None, the count to answer)
        self.tick_s = tick_s
        self.due = None  # the next tick, from the first line on
        self.handed_over = False  # what is counted from then on would be lost

    def send(self, kind, **members):
        self.channel.sendall(json.dumps({"type": kind, **members}).encode() + b"\n")

    def add(self, ref=None):
        self.count += 1
        self.acks += 1
        self.waiting[str(self.acks)] = (ref, self.count)
        self.send("checkpoint", data={"count": self.count}, ack=str(self.acks))

    def reply(self, ref, count):
        if ref is not None:
            self.send("reply", ref=ref, data={"count": count})

    def take(self, state, least=0):
        if isinstance(state, dict) and isinstance(state.get("count"), int):
            self.count = max(least, state["count"])

    def asked(self, line):
        """A call has a ref and is answered; a message has none."""
        ref, data = line.get("ref"), line.get("data")
        if data == "inc" and not self.handed_over:
            self.add(ref)
        elif data == "get":
            self.reply(ref, self.count)
        elif ref is not None:
            self.send("fail", ref=ref, detail="the counter is moving" if data == "inc" else
                      'the counter knows "inc" and "get"')

    def step(self, line):
        """Handles a line; True = end."""
        kind = line["type"]
        if kind == "start":
            self.take(line.get("state"))
            self.send("ready")
        elif kind == "begin_handoff":
            self.handed_over = True
            self.send("state", ref=line["ref"], data={"count": self.count})
        elif kind == "end_handoff":
            self.take(line["state"])
            self.send("restored", ref=line["ref"])
        elif kind == "resolve_conflict":  # two of us ran, on two sides of a cut: the greater count is kept
            self.take(line["state"], self.count)
            self.send("checkpoint", data={"count": self.count})
        elif kind in ("call", "message"):
            self.asked(line)
        elif kind == "ok" and line["ack"] in self.waiting:
            self.reply(*self.waiting.pop(line["ack"]))
        elif kind == "error":
            sys.exit("counter: refused: %s" % line.get("code"))
        return kind == "stop"

    def lines(self):
        """Whole lines that are there, or come before the next tick."""
        left = None if self.due is None else max(0, self.due - time.monotonic())
        if select.select([self.channel], [], [], left)[0]:
            data = self.channel.recv(65536)
            if not data:
                sys.exit("counter: skep has closed the channel")
            self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def run(self):
        while True:
            for line in self.lines():
                if self.step(line):
                    return
                if self.handed_over:
                    self.due = None
                elif self.tick_s and self.due is None:
                    self.due = time.monotonic() + self.tick_s
            if self.due is not None and time.monotonic() >= self.due:
                self.due = time.monotonic() + self.tick_s
                self.add()


def main():
    tick_s = int(sys.argv[2]) / 1000 if sys.argv[1:2] == ["--tick"] else 0
    if "SKEP_FD" not in os.environ:
        sys.exit("counter: start me with skep")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the line "stop" comes with it, and is enough
    Counter(socket.socket(fileno=int(os.environ["SKEP_FD"])), tick_s).run()


if __name__ == "__main__":
    main()
