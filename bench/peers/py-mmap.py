"""Python's mmap, under the protocol of peer.h."""

import array
import mmap
import sys
import time


def main():
    file = sys.argv[1]
    handle = open(file, "rb")
    mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    loaded, offsets = None, None
    for line in sys.stdin:
        op, path, length, start, count = line.split()
        length, start, count = int(length), int(start), int(count)
        if path != loaded:
            with open(path, "rb") as source:
                offsets = array.array("d", source.read())
            loaded = path
        places = [int(offset) for offset in offsets[start : start + count]]
        started = time.perf_counter_ns()
        if op == "whole":
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                size = len(whole)
                for at in range(0, size - length + 1, length):
                    whole[at : at + length]
            count = size // length
        elif op == "view":
            for at in places:
                with open(file, "rb") as one, mmap.mmap(one.fileno(), 0, access=mmap.ACCESS_READ) as view:
                    view[at]
        elif op == "touch":
            for at in places:
                mapped[at]
        else:
            for at in places:
                mapped[at : at + length]
        print((time.perf_counter_ns() - started) / count, flush=True)


main()
