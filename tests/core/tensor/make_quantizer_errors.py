#!/usr/bin/env python3
"""Writes quantizer_errors.json: how far the numbers of quantizers_test.cpp are from themselves after ggml's own quantisers, with
and without weights. Needs numpy, gguf and llama-cpp-python (whose ggml is called).

    tests/core/tensor/make_quantizer_errors.py
"""
import ctypes
import json
import pathlib

import llama_cpp
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

ROWS, COLS = 8, 512
NAMES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0", "IQ1_S", "IQ1_M",
         "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
ggml = ctypes.CDLL(str(next((pathlib.Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so*"))))
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_requires_imatrix.restype = ctypes.c_bool


def uniforms(count, state):
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        yield ((state >> 8) - 2**23) / 2**23


def numbers(kind):
    u = np.array(list(uniforms(4 * ROWS * COLS, 7))).reshape(-1, 4)
    bell = ((u[:, 0] + u[:, 1]) + u[:, 2]) + u[:, 3]
    x = {"bell": bell, "flat": u[:, 0], "heavy": u[:, 0] * u[:, 1] * u[:, 2], "small": bell * 1e-3, "positive": np.abs(u[:, 0]),
         "spiked": np.where(np.arange(len(bell)) % 97 == 5, bell * 20, bell)}[kind]
    return np.ascontiguousarray(x.astype(np.float32).reshape(ROWS, COLS))


weights = (np.array(list(uniforms(COLS, 11))) ** 4 + 0.01).astype(np.float32)


def error(name, x, importance):
    kind = GGMLQuantizationType[name]
    size, block_bytes = GGML_QUANT_SIZES[kind]
    blocks = np.zeros(x.size // size * block_bytes, np.uint8)
    ggml.ggml_quantize_init(kind)
    ggml.ggml_quantize_chunk(kind, x.ctypes.data, blocks.ctypes.data, 0, ROWS, COLS, None if importance is None else importance.ctypes.data)
    back = quants.dequantize(blocks.reshape(-1, block_bytes), kind).reshape(x.shape).astype(np.float64)
    w = np.ones(COLS) if importance is None else importance.astype(np.float64)
    return float(np.sqrt((w * (back - x) ** 2).sum() / (w * x.astype(np.float64) ** 2).sum()))


result = {}
for name in NAMES:
    result[name] = {}
    for kind in ("bell", "flat", "heavy", "small", "positive", "spiked"):
        x = numbers(kind)
        plain = None if ggml.ggml_quantize_requires_imatrix(GGMLQuantizationType[name]) else error(name, x, None)
        result[name][kind] = [plain, error(name, x, weights)]
pathlib.Path(__file__).with_name("quantizer_errors.json").write_text(json.dumps(result, indent=0) + "\n")
