"""The workloads of main.rs with pyshmem 1.4 and PyTorch: prints a median in seconds for each."""

import multiprocessing
import os
import statistics
import sys
import time

try:
    import numpy
    import pyshmem
    import torch
except ImportError as error:
    sys.exit(f"pyshmem with PyTorch is not installed: {error}")
if not pyshmem.gpu_available():
    sys.exit("pyshmem sees no GPU")

DEVICE = "cuda:0"


def rounds(size):
    return 2000 if size < 1_000_000 else 500 if size < 100_000_000 else 50


def median(count, operation):
    for _ in range(count // 10 + 1):
        operation()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        operation()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def name(label):
    return f"bench_gpu_{label}_{os.getpid()}"


def report(what, seconds):
    print(f"{what}: {seconds}", flush=True)


def round_trips():
    for side in (100, 1000, 10_000):
        stream = name("trip")
        writer = pyshmem.create(stream, shape=(side, side), dtype=numpy.float32, gpu_device=DEVICE)
        reader = pyshmem.open(stream)
        frame = numpy.ones((side, side), dtype=numpy.float32)

        def there():
            writer.write(frame)
            reader.read()

        report(f"round trip {side}x{side}", median(rounds(frame.nbytes), there))
        reader.close()
        writer.unlink()


def answer(there, back, ready):
    reader = pyshmem.open(there)
    answers = pyshmem.open(back)
    ready.set()
    while True:
        publication = reader.read_new_publication(timeout=60)
        if publication.frame_id == 0:
            return
        answers.write(numpy.array([publication.frame_id], dtype=numpy.int64))


def hand_overs():
    context = multiprocessing.get_context("spawn")
    for size, words in ((64 << 10, "64 KiB"), (400_000_000, "400 MB")):
        there, back = name("there"), name("back")
        frames = pyshmem.create(there, shape=(size,), dtype=numpy.uint8, gpu_device=DEVICE)
        answers = pyshmem.create(back, shape=(1,), dtype=numpy.int64)
        ready = context.Event()
        reader = context.Process(target=answer, args=(there, back, ready))
        reader.start()
        ready.wait(60)
        time.sleep(1)
        source = torch.zeros(size, dtype=torch.uint8, device=DEVICE)
        number = 0

        def once():
            nonlocal number
            number += 1
            frames.write(source, frame_id=number)
            while answers.read_new(timeout=60)[0] != number:
                pass

        report(f"to another process and back, {words}", median(rounds(size), once))
        frames.write(source, frame_id=0)
        reader.join(60)
        answers.unlink()
        frames.unlink()


def products():
    for n in (100, 1000, 10_000):
        matrix = torch.full((n, n), 0.5, device=DEVICE)
        to, back = name("vector"), name("result")
        vectors = pyshmem.create(to, shape=(n,), dtype=numpy.float32, gpu_device=DEVICE)
        results = pyshmem.create(back, shape=(n,), dtype=numpy.float32, gpu_device=DEVICE)
        reader, caller = pyshmem.open(to), pyshmem.open(back)
        for place in ("host", "device"):
            source = numpy.ones(n, dtype=numpy.float32)
            if place == "device":
                source = torch.from_numpy(source).to(DEVICE)

            def once():
                vectors.write(source)
                results.write(torch.mv(matrix, reader.read()))
                result = caller.read()
                if place == "host":
                    result.cpu()

            what = f"product, n = {n}, {place} vector"
            report(what, median(rounds(n * n * 4), once))
        for stream in (vectors, results):
            stream.unlink()


if __name__ == "__main__":
    round_trips()
    hand_overs()
    products()
