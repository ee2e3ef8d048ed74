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

import h5py
import numpy as np


class Run:
    def __init__(self, path):
        try:
            self.file = h5py.File(path, "r", locking=False)
        except OSError:  # still being written, or its writer was killed
            self.file = h5py.File(path, "r", swmr=True, locking=False)
        if self.file.attrs.get("format") != "vitrine-recording":
            raise ValueError(f"{path}: expected a vitrine recording, found another HDF5 file")
        if self.file.attrs["format_version"] != 1:
            raise ValueError(f"{path}: expected format version 1, found {self.file.attrs['format_version']}")
        self.finished = bool(self.file.attrs["finished"])
        self.provenance = json.loads(self.file.attrs["provenance"])
        self.rows = int(self.file["sequences/committed"][0])  # rows behind it do not exist
        borders = self.file["sequences/offset"][:].astype(int)
        begun = len(borders) - 1 if self.finished else int(np.searchsorted(borders, self.rows, "left"))  # before the last row
        self.borders = np.minimum(borders[: begun + 1], self.rows)

    def names(self):
        """Every activation of the file."""
        return sorted(self.file["activations"]) + (["logits"] if "logits" in self.file else [])

    def _span(self, sequence):
        return int(self.borders[sequence]), int(self.borders[sequence + 1])

    def __getitem__(self, name):
        """An activation by its hook name, all sequences, as float32."""
        where = name if name == "logits" else f"activations/{name}"
        return self.file[where][: self.rows].astype(np.float32)

    def sequence(self, name, sequence=0):
        """Rows of one sequence of an activation."""
        begin, end = self._span(sequence)
        where = name if name == "logits" else f"activations/{name}"
        return self.file[where][begin:end].astype(np.float32)

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
        """Names below /attention in block order."""
        return sorted(self.file["attention"], key=lambda name: int(name.split(".")[1])) if "attention" in self.file else []

    def scores(self, layer, head, sequence=0, rows=None, keys=None):
        """A tile of the scores before the softmax, [query, key]; -inf where masked."""
        group = self.file[f"attention/blocks.{layer}.attn"]
        rule = dict(group.attrs)
        begin, end = self._span(sequence)
        rows, keys = rows or (0, end - begin), keys or (0, end - begin)
        shared = int(rule["heads"]) // int(rule["kv_heads"])
        q = group["q"][begin + rows[0] : begin + rows[1], head].astype(np.float64)
        k = group["k"][begin + keys[0] : begin + keys[1], head // shared].astype(np.float64)
        if rule["rule"] == 2 and rule["rule_feature"] == 0:  # elu(x) + 1 in place of the softmax
            scores = np.log(np.where(q > 0, q + 1, np.exp(q)) @ np.where(k > 0, k + 1, np.exp(k)).T)
        elif rule["rule"] == 0:
            scores = q @ k.T * rule["scale"]
        else:
            raise ValueError(f"expected pattern rule 0 or 2 with feature 0, found {rule['rule']}: `vitrine` and the viewer know it")
        if rule["soft_cap"] > 0:
            scores = rule["soft_cap"] * np.tanh(scores / rule["soft_cap"])
        query, key = np.arange(*rows)[:, None], np.arange(*keys)[None, :]
        visible = key <= query if rule["mask"] == "causal" else np.full(scores.shape, True)
        distance = abs(query - key)
        if rule["window"]:
            visible &= distance < rule["window"]
        if rule["rule_window"]:
            visible &= (distance < rule["rule_window"]) | (key < rule["rule_sinks"])
        return np.where(visible, scores, -np.inf)

    def pattern(self, layer, head, sequence=0, rows=None, keys=None):
        """A tile of the attention weights, [query, key], rebuilt from the factors."""
        scores = self.scores(layer, head, sequence, rows, keys)
        begin, end = self._span(sequence)
        rows = rows or (0, end - begin)
        group = self.file[f"attention/blocks.{layer}.attn"]
        normalizer = group["normalizer"][begin + rows[0] : begin + rows[1], head].astype(np.float64)[:, None]
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(normalizer), 0.0, np.exp(scores - normalizer)).astype(np.float32)

    def head_table(self):
        """One dict a head: entropy in nats, distance in tokens, weight on the first key; means over all rows."""
        table = []
        for name in self.modules():
            group = self.file[f"attention/{name}"]
            columns = {s: group[s][: self.rows].mean(axis=0, dtype=np.float64) for s in ("entropy", "distance", "first_key")}
            layer = int(name.split(".")[1])
            table += [{"layer": layer, "head": head, **{s: float(v[head]) for s, v in columns.items()}}
                      for head in range(int(group.attrs["heads"]))]
        return table
