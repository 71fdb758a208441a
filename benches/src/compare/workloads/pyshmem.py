"""What the comparison times in pyshmem. Reads orders from the standard input, one a line."""

import ctypes
import json
import os
import platform
import signal
import sys
import time
from contextlib import nullcontext

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
os.sched_setaffinity(0, {int(sys.argv[1])})

import numpy  # noqa: E402
import pyshmem  # noqa: E402


def say(answer):
    print(json.dumps(answer), flush=True)


def hear():
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return json.loads(line)


def round_trip(create, side, style):
    """Writing a frame of side times side numbers and reading it: as documented, and faster."""
    frames = create((side, side))
    source = numpy.ones((side, side), numpy.float32)
    sink = numpy.zeros((side, side), numpy.float32)

    def copy():
        frames.write(source)
        return frames.read()

    def into():
        frames.write_locked(source)
        frames.read(out=sink)

    def views():
        with frames.write_view_locked() as frame:
            frame[0, 0] = 1.0
            frame[-1, -1] = 2.0
        frame = frames.read(safe=False)
        return frame[0, 0] + frame[-1, -1]

    # Those that need the lock hold it for a whole round.
    return {
        "copy": (nullcontext, copy),
        "into": (frames.locked, into),
        "views": (frames.locked, views),
    }[style]


def product(create, side, style):
    """Writing a vector, multiplying it with a matrix and publishing the result."""
    matrix, vector, result = create((side, side)), create((side,)), create((side,))
    matrix.write(numpy.ones((side, side), numpy.float32))
    source = numpy.ones(side, numpy.float32)

    def copy():
        vector.write(source)
        result.write(matrix.read() @ vector.read())

    def views():
        vector.write_locked(source)
        operands = matrix.read(safe=False), vector.read(safe=False)
        with result.write_view_locked() as product:
            numpy.dot(*operands, out=product)

    def locks():
        return pyshmem.locked_many([matrix, vector, result])

    return {"copy": (nullcontext, copy), "views": (locks, views)}[style]


def timed(operation, milliseconds):
    """Runs an operation for a while and returns how long each run took, in nanoseconds."""
    clock = time.perf_counter_ns
    operation()
    begin = clock()
    while clock() - begin < milliseconds * 100_000:
        operation()
    durations = []
    begin = clock()
    while clock() - begin < milliseconds * 1_000_000:
        start = clock()
        operation()
        durations.append(clock() - start)
    return durations


def main():
    say(
        {
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "pyshmem": pyshmem.__version__,
        }
    )
    streams = []
    try:
        order = hear()

        def create(shape):
            name = f"{order['name']}-{len(streams)}"
            streams.append(pyshmem.create(name, shape=shape, dtype=numpy.float32))
            return streams[-1]

        workload = {"round_trip": round_trip, "product": product}[order["workload"]]
        guard, operation = workload(create, order["side"], order["style"])
        say("ready")
        while True:
            milliseconds = hear()
            with guard():
                durations = timed(operation, milliseconds)
            say(durations)
    except EOFError:
        pass
    finally:
        for stream in streams:
            stream.unlink()


main()
