"""Python's socket.sendfile as a sender: py-sendfile.py PORT FILE BODY TOTAL."""
import json
import os
import resource
import socket
import sys
import time

port, path, body, total = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
out = socket.create_connection(("127.0.0.1", port))
file = open(path, "rb")


def send(limit):
    sent = 0
    while sent < limit:
        at = 0
        while at < body:
            at += os.sendfile(out.fileno(), file.fileno(), at, body - at)
        sent += body


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


send(total // 8)
before, start = cpu(), time.monotonic()
send(total)
print(json.dumps({"cpu": cpu() - before, "wall": time.monotonic() - start}))
