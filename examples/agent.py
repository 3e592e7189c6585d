#!/usr/bin/env python3
"""agent: a session's worker that works in steps and loses none of them to a crash.

A turn's input says what to do: {"steps":3,"delay_ms":0,"fail":false}; every member may be left out, and any
other input is one step. Each step appends one entry and saves the state {"step":N}; the turn is done with
{"steps":N,"resumed":true|false,"input":…}. Interrupted, it goes on behind the last saved step; a step whose entry
is in the history already, though not yet in the state, is not appended again.
"""
import json
import os
import select
import signal
import socket
import sys
import time


class Ended(Exception):
    """Time to end; the argument is the exit status or its reason."""


class Cancelled(Exception):
    pass


class Channel:
    """Lines from skep, with a queue for those that come while an answer is awaited."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.buffer = b""
        self.queue = []
        self.acks = 0

    def send(self, kind, **members):
        self.socket.sendall(json.dumps({"type": kind, **members}).encode() + b"\n")

    def receive(self, timeout_s=None):
        """The next line off the socket, or None when the time has passed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self.buffer:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            if not select.select([self.socket], [], [], left)[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise Ended("agent: skep has closed the channel")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        line = json.loads(line)
        if line["type"] == "stop":
            raise Ended(0)
        return line

    def next(self):
        return self.queue.pop(0) if self.queue else self.receive()

    def durable(self, kind, **members):
        """Sends a line and returns once it is on disk."""
        self.acks += 1
        ack = str(self.acks)
        self.send(kind, ack=ack, **members)
        while True:
            line = self.receive()
            if line.get("ack") != ack:
                self.queue.append(line)
            elif line["type"] == "error":
                raise Ended("agent: refused: %s" % line.get("code"))
            else:
                return

    def pause(self, turn, seconds):
        """Lets time pass, unless the turn is cancelled."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            line = self.receive(left)
            if line:
                self.queue.append(line)
            self.look_for_cancel(turn)
        self.look_for_cancel(turn)

    def look_for_cancel(self, turn):
        for line in self.queue:
            if line["type"] == "cancel" and line["turn"] == turn:
                self.queue.remove(line)
                raise Cancelled


def plan_of(line):
    given = line["input"] if isinstance(line["input"], dict) else {}
    return {"steps": given.get("steps", 1), "delay_ms": given.get("delay_ms", 0), "fail": given.get("fail", False)}


def steps_in(history, turn):
    """The steps of this turn that have their entry."""
    return {entry["content"]["step"] for entry in history
            if entry.get("turn") == turn and isinstance(entry.get("content"), dict) and "step" in entry["content"]}


def run_turn(channel, line):
    turn, plan = line["turn"], plan_of(line)
    step = (line.get("state") or {}).get("step", 0) if line.get("resumed") else 0
    written = steps_in(line.get("history", []), turn)
    while step < plan["steps"]:
        channel.pause(turn, plan["delay_ms"] / 1000)
        step += 1
        if step not in written:
            channel.send("append", turn=turn, role="assistant",
                         content={"step": step, "text": "step %d of %d" % (step, plan["steps"])})
        channel.durable("save", turn=turn, state={"step": step})
    if plan["fail"]:
        channel.durable("fail", turn=turn, detail="the input asked for it")
        return
    channel.durable("done", turn=turn,
                    result={"steps": step, "resumed": bool(line.get("resumed")), "input": line["input"]})


def main():
    if "SKEP_FD" not in os.environ:
        sys.exit("agent: start me with skep")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the line "stop" comes with it, and is enough
    channel = Channel(int(os.environ["SKEP_FD"]))
    try:
        while True:
            line = channel.next()
            if line["type"] == "start":
                channel.send("ready")
            elif line["type"] == "begin_handoff":
                channel.send("ignore", ref=line["ref"])  # all that matters is in the session
            elif line["type"] == "turn":
                try:
                    run_turn(channel, line)
                except Cancelled:
                    channel.send("fail", turn=line["turn"], detail="cancelled")  # free for the next one
    except Ended as end:
        sys.exit(end.args[0])


if __name__ == "__main__":
    main()
