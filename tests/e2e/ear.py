#!/usr/bin/env python3
"""ear: a child that writes down what it is told, one line each, in a file that outlives it.

    ear.py FILE

A line is its name and the data. A call is answered with its data.
"""
import json
import os
import socket
import sys

channel = socket.socket(fileno=int(os.environ["SKEP_FD"]))
book = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def say(**line):
    channel.sendall(json.dumps(line).encode() + b"\n")


say(type="ready")
for text in channel.makefile("rb"):
    line = json.loads(text)
    if line["type"] in ("message", "call"):
        os.write(book, ("%s %s\n" % (os.environ["SKEP_NAME"], json.dumps(line["data"]))).encode())
    if line["type"] == "call":
        say(type="reply", ref=line["ref"], data=line["data"])
    if line["type"] == "begin_handoff":
        say(type="ignore", ref=line["ref"])
