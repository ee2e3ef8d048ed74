#!/usr/bin/env python3
"""Writes gptq.json: levels that a plain form of GPTQ (Frantar et al. 2022, algorithm 1, one row at a time, no blocks) gives for the
pseudo-random layer of quantizing_test.cpp, all in double. Needs numpy.

    tests/core/shortcuts/make_gptq.py
"""
import json
import pathlib

import numpy as np

ROWS, COLS, SEEN = 5, 48, 160


def uniforms(count, state):
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        yield ((state >> 8) - 2**23) / 2**23


weights = np.array(list(uniforms(ROWS * COLS, 5))).reshape(ROWS, COLS)
rows = np.array(list(uniforms(SEEN * COLS, 9))).reshape(SEEN, COLS)
for c in range(1, COLS):  # inputs that depend on each other, of different sizes
    rows[:, c] = 0.7 * rows[:, c - 1] + rows[:, c] * (0.25 + c % 7)
rows[:, 11] = 0


def grid(numbers, bits, symmetric):
    low, high = min(numbers.min(), 0.0), max(numbers.max(), 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high if low < 0 else low
    if low == 0 and high == 0:
        low, high = -1.0, 1.0
    top = 2**bits - 1
    scale = (high - low) / top
    return scale, (top + 1) / 2 if symmetric else np.rint(-low / scale), top


def gptq(bits, group, symmetric, ordered, damping=0.01):
    gram = rows.T @ rows
    dead = np.diag(gram) == 0
    w = weights.copy()
    w[:, dead] = 0
    gram[dead, dead] = 1
    order = np.argsort(-np.where(dead, 0.0, np.diag(gram)), kind="stable") if ordered else np.arange(COLS)
    damped = gram[np.ix_(order, order)] + damping * np.mean(np.diag(gram)) * np.eye(COLS)
    inverse = np.linalg.inv(damped)
    upper = np.linalg.cholesky(inverse).T
    run = group or COLS
    levels = np.zeros((ROWS, COLS), int)
    for r in range(ROWS):
        grids = [grid(w[r, g:g + run], bits, symmetric) for g in range(0, COLS, run)]
        row = w[r, order].copy()
        for i, column in enumerate(order):
            if not ordered and i % run == 0:
                grids[i // run] = grid(row[i:i + run], bits, symmetric)
            scale, zero, top = grids[column // run]
            level = np.clip(np.rint(row[i] / scale) + zero, 0, top)
            levels[r, column] = level
            row[i + 1:] -= (row[i] - scale * (level - zero)) / upper[i, i] * upper[i, i + 1:]
    return ["".join(f"{x:x}" for x in row) for row in levels]


cases = [(4, 0, False, False), (4, 16, False, False), (3, 16, True, False), (4, 16, False, True), (2, 0, False, True), (4, 0, True, True)]
result = [{"bits": b, "group": g, "symmetric": s, "ordered": o, "levels": gptq(b, g, s, o)} for b, g, s, o in cases]
pathlib.Path(__file__).with_name("gptq.json").write_text(json.dumps(result, indent=0) + "\n")
