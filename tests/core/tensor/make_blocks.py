#!/usr/bin/env python3
"""Writes blocks.json: what gguf-py makes of the pseudo-random blocks and numbers of blocks_test.cpp. Needs numpy and gguf.

    tests/core/tensor/make_blocks.py
"""
import json
import math
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

COUNT = 4096  # numbers of a type
NAMES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0",
         "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
SCALES = {"Q6_K": [208], "Q2_K": [80, 82], "Q3_K": [108], "TQ1_0": [52], "TQ2_0": [64], "IQ1_M": [54], "MXFP4": []} | {name: [0, 2] for name in ("Q4_1", "Q5_1", "Q4_K", "Q5_K")}


def states(count):
    state = 7
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        yield state


def blocks_of(name, kind):
    """Any bits, but for binary16 scales below 2 in magnitude: [blocks, bytes of a block]."""
    size, block_bytes = GGML_QUANT_SIZES[kind]
    blocks = np.array([state >> 24 for state in states(COUNT // size * block_bytes)], np.uint8).reshape(-1, block_bytes)
    for place in SCALES.get(name, [0]):
        blocks[:, place + 1] &= 0xBF
    if name == "MXFP4":
        blocks[:, 0] = 100 + blocks[:, 0] % 40  # exponents that sums survive
    if name == "TQ1_0":
        blocks[:, :52] = (blocks[:, :52].astype(int) * 243 // 256 * 256 + 242) // 243  # bytes that are five digits
    if name == "TQ2_0":
        blocks[:, :64] &= 0xAA  # levels 0 and 2
    return blocks


def numbers():
    """Runs of 32 of sizes from 2^-20 to 2^11, the first one all zeros, the second all the same."""
    values = np.array([(state >> 8) - 2**23 for state in states(COUNT)], np.float32).reshape(-1, 32) / np.float32(2**23)
    values *= np.exp2(np.arange(COUNT // 32) % 32 - 20).astype(np.float32)[:, None]
    values[0], values[1] = 0, 1.5
    return values.reshape(1, -1)


def digest(data):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


result = {}
for name in NAMES:
    kind = GGMLQuantizationType[name]
    expanded = quants.dequantize(blocks_of(name, kind), kind).reshape(-1).astype(np.float64)
    weighted = [(i + 1) * x for i, x in enumerate(expanded.tolist())]
    result[name] = {"first": expanded[:40].tolist(), "weighted_sum": math.fsum(weighted), "weighted_size": math.fsum(map(abs, weighted))}
    if name[0] == "Q" and name[3] != "K":  # of other types, this project seeks less error than gguf-py
        result[name]["digest"] = f"{digest(quants.quantize(numbers(), kind).tobytes()):016x}"
pathlib.Path(__file__).with_name("blocks.json").write_text(json.dumps(result, indent=0) + "\n")
