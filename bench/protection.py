"""What protecting a recording costs: `vitrine record` open and with --encrypt, interleaved; beside them a sealed container, which
is the open file passed through libsodium's secretstream in pieces of 1 MiB. Prints medians.

    python3 bench/protection.py build/release/bin/vitrine model.gguf text.txt
"""
import argparse
import ctypes
import ctypes.util
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

PIECE = 1 << 20


def seal_container(sodium, source, target):
    """Seconds for passing a file through secretstream, and for opening it again, which any read of it takes."""
    state, header, key = (ctypes.create_string_buffer(n) for n in (sodium.crypto_secretstream_xchacha20poly1305_statebytes(), 24, 32))
    out, size = ctypes.create_string_buffer(PIECE + 17), ctypes.c_ulonglong()
    begin = time.perf_counter()
    sodium.crypto_secretstream_xchacha20poly1305_init_push(state, header, key)
    with open(source, "rb") as read, open(target, "wb") as write:
        while piece := read.read(PIECE):
            sodium.crypto_secretstream_xchacha20poly1305_push(state, out, ctypes.byref(size), piece, ctypes.c_ulonglong(len(piece)), None, ctypes.c_ulonglong(0), ctypes.c_ubyte(0))
            write.write(memoryview(out)[: size.value])
    sealed = time.perf_counter()
    tag = ctypes.c_ubyte()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    with open(target, "rb") as read:
        while piece := read.read(PIECE + 17):
            failed = sodium.crypto_secretstream_xchacha20poly1305_pull(state, out, ctypes.byref(size), ctypes.byref(tag), piece, ctypes.c_ulonglong(len(piece)), None, ctypes.c_ulonglong(0))
            assert failed == 0
    return sealed - begin, time.perf_counter() - sealed


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("vitrine")
parser.add_argument("model")
parser.add_argument("text")
parser.add_argument("--repetitions", type=int, default=5)
parser.add_argument("--points", default="default")
options = parser.parse_args()
sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
assert sodium.sodium_init() >= 0

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    key = folder / "a.key"
    subprocess.run([options.vitrine, "key", "new", "-o", key], check=True, capture_output=True)
    protect = ["--encrypt", "--key-file", key]
    ways = {"open": [], "protected": protect, "open, gzip": ["--compress", "gzip"], "protected, gzip": ["--compress", "gzip", *protect]}
    sizes, container = {}, []
    wall, processor = ({way: [] for way in ways} for _ in range(2))
    for _ in range(options.repetitions):
        for way, flags in ways.items():
            run = folder / "run.h5"
            before, begin = os.times(), time.perf_counter()
            subprocess.run([options.vitrine, "record", options.model, "--file", options.text, "--points", options.points, "-o", run, "--quiet", *flags], check=True, capture_output=True)
            wall[way].append(time.perf_counter() - begin)
            after = os.times()
            processor[way].append(after.children_user + after.children_system - before.children_user - before.children_system)
            sizes[way] = run.stat().st_size
            if way == "open":
                container.append(seal_container(sodium, run, folder / "run.sealed"))
            run.unlink()
    print(f"{'':18} {'seconds':>9} {'processor s':>12} {'MB':>8}")
    for way in ways:
        print(f"{way:18} {statistics.median(wall[way]):9.2f} {statistics.median(processor[way]):12.2f} {sizes[way] / 1e6:8.1f}")
    print(f"container: {statistics.median(s for s, _ in container):.2f} s more to seal, {statistics.median(o for _, o in container):.2f} s to open for any read")
