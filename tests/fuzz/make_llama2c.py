#!/usr/bin/env python3
"""Writes seeds/llama2c/*.bin and seeds/llama2c_tokenizer/tok270.bin: a small random model in both versions of llama2.c's layout and
a vocabulary for it. Needs nothing but Python."""
import pathlib
import random
import struct

random.seed(5)
width, mlp, blocks, heads, kv_heads, vocabulary, context = 8, 12, 2, 2, 1, 270, 8
sizes = (width, mlp, blocks, heads, kv_heads, vocabulary, context)
head = width // heads


def numbers(count):
    return struct.pack(f"<{count}f", *(random.uniform(-1, 1) for _ in range(count)))


attention = blocks * (2 * width * width + 2 * width * kv_heads * head)
feed_forward = blocks * 3 * width * mlp
version0 = struct.pack("<7i", *sizes) + numbers(vocabulary * width + blocks * width + attention + blocks * width + feed_forward + width + context * head)
version1 = struct.pack("<Ii7iB", 0x616B3432, 1, *sizes, 1).ljust(256, b"\0") + numbers(2 * blocks * width + width + vocabulary * width + attention + feed_forward)
tokens = [b"<unk>", b"\n<s>\n", b"\n</s>\n"] + [b"<0x%02X>" % byte for byte in range(256)] + [bytes([97 + i]) for i in range(8)] + [b" a", b" ab", b"bc"]
assert len(tokens) == vocabulary
vocabulary_file = struct.pack("<I", 7) + b"".join(struct.pack("<fI", -float(i), len(token)) + token for i, token in enumerate(tokens))

seeds = pathlib.Path(__file__).parent / "seeds"
for name, data in (("llama2c/version0.bin", version0), ("llama2c/version1.bin", version1), ("llama2c_tokenizer/tok270.bin", vocabulary_file)):
    (seeds / name).parent.mkdir(parents=True, exist_ok=True)
    (seeds / name).write_bytes(data)
