#!/usr/bin/env python3
"""ledger: a child that remembers each number it was given, and how often, through crash, hand-off and conflict.

Calls: {"add": [who, number]} → {"copies": N}, once it is durable; "get" → its state, {who: {number: times}}.
"""
import json
import os
import signal
import socket
import sys

channel = socket.socket(fileno=int(os.environ["SKEP_FD"]))
state = {}
handed_over = False  # what is added from then on would be lost
waiting = {}         # ack → ref of the call that it answers
acks = 0


def send(kind, **members):
    channel.sendall(json.dumps({"type": kind, **members}).encode() + b"\n")


def save(ref=None):
    global acks
    acks += 1
    if ref is not None:
        waiting[str(acks)] = ref
    send("checkpoint", data=state, ack=str(acks))


def merge(other):
    """A number that both sides know was added before they parted."""
    for who, numbers in (other or {}).items():
        mine = state.setdefault(who, {})
        for number, times in numbers.items():
            mine[number] = max(times, mine.get(number, 0))


def asked(line):
    ref, data = line.get("ref"), line["data"]
    if data == "get":
        send("reply", ref=ref, data=state)
    elif handed_over:
        send("fail", ref=ref, detail="the ledger is moving")
    else:
        who, number = data["add"]
        mine = state.setdefault(who, {})
        mine[str(number)] = mine.get(str(number), 0) + 1
        save(ref)


def step(line):
    """Handles a line; True = end."""
    global state, handed_over
    kind = line["type"]
    if kind == "start":
        state = line.get("state") or {}
        send("ready")
    elif kind == "begin_handoff":
        handed_over = True
        send("state", ref=line["ref"], data=state)
    elif kind == "end_handoff":
        state = line["state"]
        send("restored", ref=line["ref"])
    elif kind == "resolve_conflict":
        merge(line["state"])
        save()
    elif kind == "call":
        asked(line)
    elif kind == "ok" and line["ack"] in waiting:
        send("reply", ref=waiting.pop(line["ack"]), data={"copies": line["copies"]})
    return kind == "stop" or kind == "error"


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the line "stop" comes with it
    buffer = b""
    while True:
        data = channel.recv(65536)
        if not data:
            sys.exit(1)
        *lines, buffer = (buffer + data).split(b"\n")
        for line in map(json.loads, lines):
            if step(line):
                return


main()
