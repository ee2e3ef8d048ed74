#!/usr/bin/env python3
"""Writes core/tensor/codebooks.cpp: the lattice points that the formats IQ1 to IQ3 name, as gguf-py publishes them. They were chosen by
their authors from trained weights, so that no rule makes them. Needs numpy and gguf.

    tests/core/tensor/make_codebooks.py
"""
import pathlib

import numpy as np
from gguf import quants

TABLES = [("iq2_xxs_words", quants.IQ2_XXS), ("iq2_xs_words", quants.IQ2_XS), ("iq2_s_words", quants.IQ2_S),
          ("iq3_xxs_words", quants.IQ3_XXS), ("iq3_s_words", quants.IQ3_S), ("iq1_words", quants.IQ1_S)]
lines = ["// Written by tests/core/tensor/make_codebooks.py.", '#include "core/tensor/codebooks.h"', "", "namespace vitrine::blocks {"]
for name, kind in TABLES:
    kind.init_grid()
    points, levels = kind.grid.reshape(kind.grid_shape).astype(int), list(kind.grid_map)
    bits = 2 if len(levels) <= 4 else 3
    words = [sum(levels.index(x) << bits * i for i, x in enumerate(point)) for point in points]
    lines += ["", f"const std::uint16_t {name}[{len(words)}] = {{"]
    lines += ["    " + ", ".join(map(str, words[at:at + 18])) + "," for at in range(0, len(words), 18)] + ["};"]
lines += ["", "}  // namespace vitrine::blocks", ""]
(pathlib.Path(__file__).resolve().parents[3] / "core/tensor/codebooks.cpp").write_text("\n".join(lines))
