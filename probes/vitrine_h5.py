"""Reads a Vitrine recording (FORMAT.md) with h5py and numpy alone.

    run = Run("run.h5")
    run.tokens(0)                       # ids, bytes, log-probabilities of sequence 0
    run["blocks.3.hook_resid_pre"]      # any activation, [pos, width] or [pos, head, d_head], as float32
    run.pattern(3, 8)                   # attention of layer 3, head 8 on sequence 0, [query, key]
    run.pattern(3, 8, rows=(100, 164), keys=(0, 64))   # a tile of it
    run.head_table()                    # one dict a head

Conventions: positions are axis 0 everywhere; sequences lie one behind the other, run.borders marks them.
"""
import json
import re

import h5py
import numpy as np


def _rounded_to_bf16(x):
    """To the nearest bfloat16, halves to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)


def _scrambled(z):
    """splitmix64's output function, on arrays of uint64 (which wrap)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _blocks(rule, rows, length):
    """Which keys the rows see under a rule of blocks, [query, length]; masks and windows besides."""
    size, step = int(rule["rule_block_size"]), np.array([0x9E3779B97F4A7C15], np.uint64)
    count = -(-length // size)
    block = np.arange(count)
    seen = np.zeros((rows[1] - rows[0], count), bool)
    for own in np.unique(np.arange(*rows) // size):
        distance = abs(block - own)
        sees = (distance < rule["rule_block_window"]) | (block < rule["rule_block_global"]) | (own < rule["rule_block_global"])
        if rule["rule_block_stride"]:
            sees |= distance % int(rule["rule_block_stride"]) == 0
        stream = _scrambled(np.array([rule["rule_seed"]], np.uint64) + step * np.uint64(own + 1))
        lots = _scrambled(stream + step * (block + 1).astype(np.uint64))
        others = np.flatnonzero(~sees & ((block <= own) | (rule["mask"] != "causal")))
        drawn = others[np.argsort(lots[others], kind="stable")[: int(rule["rule_block_random"])]]
        sees[drawn] = True
        seen[np.arange(*rows) // size == own] = sees
    return np.repeat(seen, size, axis=1)[:, :length]


def _values(dataset, *where):
    """A part of a dataset as float32; of codes of 8 bits the numbers that they stand for. The last axis is read whole."""
    part = dataset[where]
    if part.dtype.names is None:
        return part.astype(np.float32)
    numbers = part["codes"] * part["scale"].astype(np.float32)[..., None]
    return numbers.reshape(*part.shape[:-1], -1)[..., : int(dataset.attrs["width"])]


def _nearest(distance, first, count):
    """Places in a table whose first entry is for distance `first`; those outside take the nearest one."""
    return np.clip(distance - int(first), 0, count - 1)


class Run:
    def __init__(self, path):
        try:
            self.file = h5py.File(path, "r", locking=False)
        except OSError:  # still being written, or its writer was killed
            self.file = h5py.File(path, "r", swmr=True, locking=False)
        if self.file.attrs.get("format") != "vitrine-recording":
            raise ValueError(f"{path}: expected a vitrine recording, found another HDF5 file")
        if self.file.attrs["format_version"] not in (1, 2, 3):
            raise ValueError(f"{path}: expected format version 1, 2 or 3, found {self.file.attrs['format_version']}")
        self.finished = bool(self.file.attrs["finished"])
        self.provenance = json.loads(self.file.attrs["provenance"])
        self.rows, self.borders = self._table("")
        self.encoder_rows, self.encoder_borders = self._table("encoder/") if "encoder" in self.file else (0, None)

    def _table(self, prefix):
        """Committed rows and borders of the sequences; rows behind them do not exist."""
        rows = int(self.file[f"{prefix}sequences/committed"][0])
        borders = self.file[f"{prefix}sequences/offset"][:].astype(int)
        begun = len(borders) - 1 if self.finished else int(np.searchsorted(borders, rows, "left"))  # before the last row
        return rows, np.minimum(borders[: begun + 1], rows)

    def names(self):
        """Every activation of the file."""
        return sorted(self.file["activations"]) + (["logits"] if "logits" in self.file else [])

    def _span(self, sequence, encoder=False):
        borders = self.encoder_borders if encoder else self.borders
        return int(borders[sequence]), int(borders[sequence + 1])

    def _of_encoder(self, name):
        """Whether an activation's rows are the encoder's."""
        return name.startswith("encoder.") or name.endswith((".cross_attn.hook_k", ".cross_attn.hook_v", ".cross_attn.hook_rot_k"))

    def _module(self, layer):
        """A name below /attention: given, or that of a layer's attention to its own text."""
        return layer if isinstance(layer, str) else f"blocks.{layer}.attn" if self.encoder_borders is None else f"decoder.blocks.{layer}.attn"

    def _spans(self, module, sequence):
        """Rows of a module's queries and of its keys."""
        return self._span(sequence, module.startswith("encoder.")), self._span(sequence, module.startswith("encoder.") or module.endswith(".cross_attn"))

    def __getitem__(self, name):
        """An activation by its hook name, all sequences, as float32."""
        where = name if name == "logits" else f"activations/{name}"
        return _values(self.file[where], slice(self.encoder_rows if self._of_encoder(name) else self.rows))

    def sequence(self, name, sequence=0):
        """Rows of one sequence of an activation."""
        begin, end = self._span(sequence, self._of_encoder(name))
        where = name if name == "logits" else f"activations/{name}"
        return _values(self.file[where], slice(begin, end))

    def tokens(self, sequence=0):
        """List of {"id", "text", "begin", "end", "logprob"}: bytes are decoded with replacement, logprob may be None."""
        begin, end = self._span(sequence)
        group = self.file["tokens"]
        borders = group["bytes_offset"][begin : end + 1].astype(int)
        data = group["bytes"][borders[0] : borders[-1]].tobytes() if end > begin else b""
        scores = group["log_probability"][begin:end] if "log_probability" in group else [np.nan] * (end - begin)
        pieces = [data[a - borders[0] : b - borders[0]] for a, b in zip(borders, borders[1:])]
        return [
            {"id": int(i), "text": piece.decode("utf-8", "replace"), "begin": int(a), "end": int(b),
             "logprob": None if np.isnan(score) else float(score)}
            for i, piece, a, b, score in zip(group["id"][begin:end], pieces, group["begin"][begin:end],
                                             group["end"][begin:end], scores)
        ]

    def modules(self):
        """Names below /attention in the order of the forward pass."""
        order = lambda name: (not name.startswith("encoder."), int(re.search(r"blocks\.(\d+)\.", name).group(1)), name.endswith("cross_attn"))
        return sorted(self.file["attention"], key=order) if "attention" in self.file else []

    def scores(self, layer, head, sequence=0, rows=None, keys=None):
        """A tile of the scores before the softmax, [query, key]; -inf where masked. `layer` may be a name of modules()."""
        module = self._module(layer)
        group = self.file[f"attention/{module}"]
        rule = dict(group.attrs)
        (begin, end), (first_key, last_key) = self._spans(module, sequence)
        rows, keys = rows or (0, end - begin), keys or (0, last_key - first_key)
        shared = int(rule["heads"]) // int(rule["kv_heads"])
        q = _values(group["q"], slice(begin + rows[0], begin + rows[1]), head).astype(np.float64)
        k = _values(group["k"], slice(first_key + keys[0], first_key + keys[1]), head // shared).astype(np.float64)
        if "key_bias" in group:
            q = (q.astype(np.float32) + group["key_bias"][head]).astype(np.float64)
        if rule.get("rule_bf16", 0):
            q, k = _rounded_to_bf16(q), _rounded_to_bf16(k)
        if rule["rule"] == 2 and rule["rule_feature"] == 0:  # elu(x) + 1 in place of the softmax
            scores = np.log(np.where(q > 0, q + 1, np.exp(q)) @ np.where(k > 0, k + 1, np.exp(k)).T)
        elif rule["rule"] in (0, 1, 4):
            scores = (q @ k.T + self._content(group, head, begin, rows, keys)) * rule["scale"]
        else:
            raise ValueError(f"expected pattern rule 0, 1, 4, or 2 with feature 0, found {rule['rule']}: `vitrine` and the viewer know it")
        distance = np.arange(*keys)[None, :] - np.arange(*rows)[:, None]  # key - query
        if "distance_bias" in group:
            scores = scores + group["distance_bias"][head].astype(np.float64)[_nearest(distance, rule["distance_first"], group["distance_bias"].shape[1])]
        if "distance_slope" in group:
            scores = scores + float(group["distance_slope"][head]) * distance
        if rule["soft_cap"] > 0:
            scores = rule["soft_cap"] * np.tanh(scores / rule["soft_cap"])
        query, key = np.arange(*rows)[:, None], np.arange(*keys)[None, :]
        visible = key <= query if rule["mask"] == "causal" else np.full(scores.shape, True)
        distance = abs(distance)
        if rule["window"]:
            visible &= distance < rule["window"]
        if rule["rule_window"]:
            visible &= (distance < rule["rule_window"]) | (key < rule["rule_sinks"])
        if rule["rule"] == 4:
            visible &= _blocks(rule, rows, last_key - first_key)[:, keys[0] : keys[1]]
        if rule.get("allowed", 0):
            bits = self.file["tokens/allowed"][begin + rows[0] : begin + rows[1]].astype("<u8").view(np.uint8)
            visible &= np.unpackbits(bits, axis=1, bitorder="little")[:, keys[0] : keys[1]].astype(bool)
        if rule["rule"] == 1:  # the k largest; compared in the kernel's type
            visible &= scores.astype(np.float32) >= group["threshold"][begin + rows[0] : begin + rows[1], head][:, None]
        return np.where(visible, scores, -np.inf)

    def _content(self, group, head, begin, rows, keys):
        """What the distances, and the segments, make of the queries: (q + w) . r + (q + s) . segment."""
        if "positions" not in group:
            return 0.0
        q = _values(group["q"], slice(begin + rows[0], begin + rows[1]), head)
        positions = group["positions"][:, head].astype(np.float64)
        places = _nearest(np.arange(*keys)[None, :] - np.arange(*rows)[:, None], group.attrs["positions_first"], len(positions))
        products = (q + group["positions_bias"][head]).astype(np.float64) @ positions.T
        terms = np.take_along_axis(products, places, axis=1)
        segments = self.file["tokens/segment"] if "segment" in group else None
        if segments is not None and (segments[begin + rows[0] : begin + rows[1]] >= 0).all():  # -1: a text without segments
            other = segments[begin + rows[0] : begin + rows[1]][:, None] != segments[begin + keys[0] : begin + keys[1]][None, :]
            each = (q + group["segment_bias"][head]).astype(np.float64) @ group["segment"][:, head].astype(np.float64).T
            terms = terms + np.where(other, each[:, 1:2], each[:, 0:1])
        return terms

    def pattern(self, layer, head, sequence=0, rows=None, keys=None):
        """A tile of the attention weights, [query, key], rebuilt from the factors."""
        scores = self.scores(layer, head, sequence, rows, keys)
        module = self._module(layer)
        begin, end = self._spans(module, sequence)[0]
        rows = rows or (0, end - begin)
        group = self.file[f"attention/{module}"]
        normalizer = group["normalizer"][begin + rows[0] : begin + rows[1], head].astype(np.float64)[:, None]
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(normalizer), 0.0, np.exp(scores - normalizer)).astype(np.float32)

    def squares(self, layer, head, sequence=0):
        """(cell, largest, mean) of the map of a long text in squares of `cell` queries and keys; None where the file has none."""
        cells, module = self.file["mips/cell"][:].astype(int) if "mips" in self.file else [0] * (sequence + 1), self._module(layer)
        if not cells[sequence]:
            return None
        lengths = [[end - begin for begin, end in self._spans(module, s)] for s in range(sequence + 1)]
        counts = [-(-queries // cell) if cell else 0 for (queries, _), cell in zip(lengths, cells)]
        part = slice(sum(counts[:-1]), sum(counts)), head, slice(-(-lengths[-1][1] // cells[sequence]))
        return cells[sequence], *(self.file[f"mips/{module}/{what}"][part].astype(np.float32) for what in ("max", "mean"))

    def head_table(self):
        """One dict a head: entropy in nats, distance in tokens, weight on the first key; means over all rows."""
        table = []
        for name in self.modules():
            group = self.file[f"attention/{name}"]
            rows = self.encoder_rows if name.startswith("encoder.") else self.rows
            columns = {s: group[s][:rows].mean(axis=0, dtype=np.float64) for s in ("entropy", "distance", "first_key")}
            layer = int(re.search(r"blocks\.(\d+)\.", name).group(1))
            table += [{"module": name, "layer": layer, "head": head, **{s: float(v[head]) for s, v in columns.items()}}
                      for head in range(int(group.attrs["heads"]))]
        return table
