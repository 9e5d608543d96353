"""`python -m tests.bench.crowd HOST PORT PATH CLIENTS [KEY]`: many clients of one event stream in one process.

Bare sockets and epoll, so that the clients cost little beside what they measure. Says `ready` once every stream has
begun, then takes each event's `at` from its time of arrival. A line on stdin ends it; it answers with JSON: how many
milliseconds each event took to each client, sorted, and how many clients were told how many events.
"""

from __future__ import annotations

import json
import re
import resource
import select
import socket
import sys
import time
from collections import Counter
from datetime import datetime

AT = re.compile(rb'"at": ?"([^"]+)"')
AT_ONCE = 50


def main(host: str, port: str, path: str, clients: str, key: str = "") -> None:
    """Connect, listen, tell."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: text/event-stream"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    crowd = select.epoll()
    sockets: dict[int, socket.socket] = {}
    while len(sockets) < int(clients):
        wave = [socket.create_connection((host, int(port))) for _ in range(min(AT_ONCE, int(clients) - len(sockets)))]
        for client in wave:
            client.sendall(request)
        for client in wave:
            _begun(client)
            client.setblocking(False)
            sockets[client.fileno()] = client
            crowd.register(client.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    late_ms, heard = _listen(crowd, sockets)
    print(json.dumps({"late_ms": sorted(late_ms), "heard": Counter(heard.values()).most_common()}), flush=True)


def _begun(client: socket.socket) -> None:
    """Read the head. What the stream says at first names no moment of an event."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += (data := client.recv(65536))
        if not data or b" 200 " not in seen:
            raise SystemExit(f"the stream was refused: {seen[:300]!r}")


def _listen(crowd: select.epoll, sockets: dict[int, socket.socket]) -> tuple[list[float], Counter[int]]:
    late_ms: list[float] = []
    heard: Counter[int] = Counter(dict.fromkeys(sockets, 0))
    moments: dict[bytes, float] = {}
    crowd.register(sys.stdin.fileno(), select.EPOLLIN)
    while True:
        for number, _ in crowd.poll(maxevents=256):
            if number == sys.stdin.fileno():
                return late_ms, heard
            data = sockets[number].recv(65536)
            now = time.time()
            for at in AT.findall(data):
                if (moment := moments.get(at)) is None:
                    moment = moments[at] = datetime.fromisoformat(at.decode()).timestamp()
                late_ms.append((now - moment) * 1000)
                heard[number] += 1
            if not data:
                crowd.unregister(number)


if __name__ == "__main__":
    main(*sys.argv[1:])
