"""numpy.memmap: `fill BYTES` makes a file anew, fills it and flushes; `over BYTES` fills the one that is there. Seconds."""

import os
import sys
import time

import numpy


def main():
    os.chdir(sys.argv[1])
    for line in sys.stdin:
        op, length = line.split()
        if op == "fill" and os.path.exists("numpy.fill"):
            os.unlink("numpy.fill")
        if op == "over" and not os.path.exists("numpy.fill"):
            numpy.memmap("numpy.fill", dtype="f8", mode="w+", shape=int(length) // 8).fill(1)
        started = time.perf_counter()
        values = numpy.memmap("numpy.fill", dtype="f8", mode="w+" if op == "fill" else "r+", shape=int(length) // 8)
        values.fill(2)
        values.flush()
        print(time.perf_counter() - started, flush=True)
        del values


main()
