#!/usr/bin/env python3
"""wire: carries IP packets between TUN devices, as badly as it is told to.

    wire.py ADDRESS=FD...

Reads lines of JSON, all members optional: {"cut": [[from, to], …], "delay_ms": 100, "jitter_ms": 30, "loss": 0.02}.
Each line says everything anew: {} is a perfect wire. From and to are addresses; a cut is one way. A delay is drawn for
each packet, evenly from delay - jitter to delay + jitter, so packets overtake each other, as netem has it. Answers each
line with "ok"; ends with its input.
"""
import heapq
import itertools
import json
import os
import random
import select
import socket
import sys
import time

ways = {}  # address, packed → fd
for word in sys.argv[1:]:
    address, fd = word.split("=")
    ways[socket.inet_aton(address)] = int(fd)
cut, delay_s, jitter_s, loss = set(), 0, 0, 0
late = []  # heap of (when, number, fd, packet)
numbers = itertools.count()


def told(line):
    global cut, delay_s, jitter_s, loss
    order = json.loads(line)
    cut = {(socket.inet_aton(a), socket.inet_aton(b)) for a, b in order.get("cut", ())}
    delay_s, jitter_s = order.get("delay_ms", 0) / 1000, order.get("jitter_ms", 0) / 1000
    loss = order.get("loss", 0)


def put(fd, packet):
    try:
        os.write(fd, packet)
    except OSError:
        pass  # a device whose queue is full drops, as any


def carry(packet, now):
    source, target = packet[12:16], packet[16:20]
    if packet[0] >> 4 != 4 or target not in ways or (source, target) in cut or random.random() < loss:
        return
    if delay_s:
        due = now + delay_s + jitter_s * (2 * random.random() - 1)
        heapq.heappush(late, (due, next(numbers), ways[target], packet))
    else:
        put(ways[target], packet)


def main():
    poll, orders = select.poll(), b""
    for fd in (0, *ways.values()):
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    while True:
        left = max(0, late[0][0] - time.monotonic()) * 1000 + 0.5 if late else None
        for fd, _ in poll.poll(left):
            try:
                if fd:
                    for _ in range(64):
                        carry(os.read(fd, 65536), time.monotonic())
                    continue
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, orders = (orders + data).split(b"\n")
                for line in lines:
                    told(line)
                    os.write(1, b"ok\n")
            except BlockingIOError:
                pass
        now = time.monotonic()
        while late and late[0][0] <= now:
            put(*heapq.heappop(late)[2:])


main()
