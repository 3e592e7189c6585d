#!/usr/bin/env python3
"""worker: a child that does what its callers say, to see skep from the inside.

    worker.py [OPTION]...

Its state is any JSON value. Calls are objects {"do": VERB, …}:
    get                 → the state
    save, data          → checkpoints it; the answer is skep's line for it
    seen                → every line that skep sent, in order
    env                 → its environment
    ask, method, path, body → sends a request; the answer is skep's response
    raw, line           → writes this text as it is
    fork                → starts a sleeper in a session of its own; the answer is its pid
    fail, detail        → fails the call
    hush                → never answers
    freeze              → reads no more
    exit, code          → ends
Options:
    --unready           never says ready
    --mute              never answers begin_handoff
    --ignore            ignores it
    --unrestored        never says restored
    --stubborn          does not end when told to
    --last-word         on a stop checkpoints once more, and prints the reason and skep's answer to that before it ends
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

OPTIONS = set(sys.argv[1:])
channel = socket.socket(fileno=int(os.environ["SKEP_FD"]))
state = None
seen = []
waiting = {}  # ack or ref of ours → ref of the call that wants the answer
count = 0


def send(kind, **members):
    channel.sendall(json.dumps({"type": kind, **members}).encode() + b"\n")


def next_id(ref):
    global count
    count += 1
    waiting[str(count)] = ref
    return str(count)


def asked(line):
    """A message is a call whose answer nobody wants."""
    global state
    ref, order = line.get("ref"), line["data"]
    verb = order.get("do") if isinstance(order, dict) else None

    def reply(data):
        if ref is not None:
            send("reply", ref=ref, data=data)

    if verb == "get":
        reply(state)
    elif verb == "save":
        state = order["data"]
        send("checkpoint", data=state, ack=next_id(ref))
    elif verb == "seen":
        reply(seen)
    elif verb == "env":
        reply(dict(os.environ))
    elif verb == "ask":
        more = {"body": order["body"]} if "body" in order else {}
        send("request", ref=next_id(ref), method=order["method"], path=order["path"], **more)
    elif verb == "raw":
        channel.sendall(order["line"].encode() + b"\n")
    elif verb == "fork":
        reply(subprocess.Popen(["sleep", "1000"], start_new_session=True).pid)
    elif verb == "fail":
        send("fail", ref=ref, detail=order["detail"])
    elif verb == "freeze":
        reply(True)
        while True:
            time.sleep(1000)
    elif verb == "exit":
        os._exit(order["code"])


def last_word(reason):
    def heard(line):
        print(json.dumps({"stop": reason, "then": line}), flush=True)
        return True

    send("checkpoint", data="too late", ack=next_id(heard))


def step(line):
    """Handles a line; True = end."""
    global state
    kind = line["type"]
    if kind == "start":
        state = line.get("state")
        if "--unready" not in OPTIONS:
            send("ready")
    elif kind == "begin_handoff" and "--mute" not in OPTIONS:
        if "--ignore" in OPTIONS:
            send("ignore", ref=line["ref"])
        else:
            send("state", ref=line["ref"], data=state)
    elif kind == "end_handoff":
        state = line["state"]
        if "--unrestored" not in OPTIONS:
            send("restored", ref=line["ref"])
    elif kind in ("call", "message"):
        asked(line)
    elif kind in ("ok", "error", "response"):
        ref = waiting.pop(line.get("ack") or line.get("ref"), None)
        if callable(ref):
            return ref(line)
        if ref is not None:
            send("reply", ref=ref, data=line)
    elif kind == "stop" and "--last-word" in OPTIONS:
        last_word(line["reason"])
        return False
    return kind == "stop" and "--stubborn" not in OPTIONS


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the line "stop" comes with it
    buffer = b""
    while True:
        data = channel.recv(65536)
        if not data:
            sys.exit(1)
        *lines, buffer = (buffer + data).split(b"\n")
        for line in map(json.loads, lines):
            seen.append(line)
            if step(line):
                return


main()
