"""Reads a Vitrine recording (FORMAT.md) with h5py and numpy alone.

    run = Run("run.h5")
    run["blocks.3.hook_resid_pre"]      # any activation by TransformerLens' hook name, [pos, width] or [pos, head, d_head], float32
    run["resid_post", 3], run["normalized", 3, "ln1"], run["q", 3]       # the same by short name and layer
    run["pattern", 3]                   # attention of layer 3, [head, query, key], rebuilt from the factors; also "attn_scores"
    run.sequence("pattern", 3, 1)       # of sequence 1: (name, layer, sequence) or (hook name, sequence)
    run.pattern(3, 8, rows=(100, 164), keys=(0, 64))                     # a tile of one head's
    run.tokens(0), run.head_table()     # one dict a token, one a head (run.head_table(pandas=True): a data frame)

Positions are axis 0 everywhere; sequences lie one behind the other, run.borders marks them."""
import json
import re

import h5py
import numpy as np

IN_ATTENTION = ("q", "k", "v", "z", "rot_q", "rot_k", "pattern", "attn_scores", "normalizer", "threshold")


def hook_name(name, layer=None, part=None):
    """("q", 3) is blocks.3.attn.hook_q, ("post", 3) blocks.3.mlp.hook_post, ("scale", 3, "ln1") blocks.3.ln1.hook_scale; whole names stay."""
    part = part or ("attn" if name in IN_ATTENTION else "mlp" if name in ("pre", "pre_linear", "post") else None)
    return name if layer is None else ".".join([f"blocks.{layer}"] + ([part] if part else []) + [f"hook_{name}"])


def _rounded_to_bf16(x):  # to the nearest, halves to even
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)


def _scrambled(z):  # splitmix64's output function, on arrays of uint64 (which wrap)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _blocks(rule, rows, length):
    """Which keys the rows see under a rule of blocks, [query, length]; masks and windows besides."""
    size, step = int(rule["rule_block_size"]), np.array([0x9E3779B97F4A7C15], np.uint64)
    block = np.arange(-(-length // size))
    seen = np.zeros((rows[1] - rows[0], len(block)), bool)
    for own in np.unique(np.arange(*rows) // size):
        sees = (abs(block - own) < rule["rule_block_window"]) | (block < rule["rule_block_global"]) | (own < rule["rule_block_global"])
        sees |= (abs(block - own) % max(int(rule["rule_block_stride"]), 1) == 0) & (rule["rule_block_stride"] > 0)
        lots = _scrambled(_scrambled(np.array([rule["rule_seed"]], np.uint64) + step * np.uint64(own + 1)) + step * (block + 1).astype(np.uint64))
        others = np.flatnonzero(~sees & ((block <= own) | (rule["mask"] != "causal")))
        sees[others[np.argsort(lots[others], kind="stable")[: int(rule["rule_block_random"])]]] = True
        seen[np.arange(*rows) // size == own] = sees
    return np.repeat(seen, size, axis=1)[:, :length]


class Run:
    def __init__(self, path):
        try:
            self.file = h5py.File(path, "r", locking=False)
        except OSError:  # still being written, or its writer was killed
            self.file = h5py.File(path, "r", swmr=True, locking=False)
        root = self.file.attrs
        if root.get("format") != "vitrine-recording" or root["format_version"] not in (1, 2):
            raise ValueError(f"{path}: expected a vitrine recording of version 1 or 2, found {root.get('format', 'another HDF5 file')} {root.get('format_version', '')}")
        self.finished, self.provenance = bool(root["finished"]), json.loads(root["provenance"])
        self.rows, self.borders = self._table("")
        self.encoder_rows, self.encoder_borders = self._table("encoder/") if "encoder" in self.file else (0, None)

    def _table(self, prefix):
        """Committed rows and borders of the sequences; rows behind them do not exist."""
        rows, borders = int(self.file[f"{prefix}sequences/committed"][0]), self.file[f"{prefix}sequences/offset"][:].astype(int)
        begun = len(borders) - 1 if self.finished else int(np.searchsorted(borders, rows, "left"))  # before the last row
        return rows, np.minimum(borders[: begun + 1], rows)

    def names(self):
        """Every activation of the file."""
        return sorted(self.file["activations"]) + (["logits"] if "logits" in self.file else [])

    def modules(self):
        """Names below /attention in the order of the forward pass."""
        order = lambda name: (not name.startswith("encoder."), int(re.search(r"blocks\.(\d+)\.", name).group(1)), name.endswith("cross_attn"))
        return sorted(self.file["attention"], key=order) if "attention" in self.file else []

    def _spans(self, name, sequence):
        """Rows of a sequence in an activation or a module's queries, and those of the module's keys."""
        keys = name.startswith("encoder.") or ".cross_attn" in name  # of the encoder
        own = name.startswith("encoder.") or (keys and name.endswith((".hook_k", ".hook_v", ".hook_rot_k")))
        span = lambda borders: (0, int(borders[-1])) if sequence is None else (int(borders[sequence]), int(borders[sequence + 1]))
        return span(self.encoder_borders if own else self.borders), span(self.encoder_borders if keys else self.borders)

    def _read(self, key, sequence):
        name = hook_name(*((key,) if isinstance(key, str) else key))
        module, _, square = name.partition(".hook_")
        if square in ("pattern", "attn_scores") and module in self.modules():
            if sequence is None and len(self.borders) > 2:
                raise ValueError(f"{name}: expected one sequence, found {len(self.borders) - 1}; use run.sequence(name, number)")
            tile = self.pattern if square == "pattern" else self.scores
            return np.stack([tile(module, head, sequence or 0) for head in range(self.file[f"attention/{module}"].attrs["heads"])]).astype(np.float32)
        (begin, end), _ = self._spans(name, sequence)
        return self.file[name if name == "logits" else f"activations/{name}"][begin:end].astype(np.float32)

    def __getitem__(self, key):
        """An activation by hook name, or by (short name, layer[, "ln1" ...]); all sequences, float32. Maps: [head, query, key]."""
        return self._read(key, None)

    def sequence(self, *key):
        """The same of one sequence: (hook name[, sequence]) or (short name, layer, sequence)."""
        return self._read(key[0] if len(key) < 3 else key[:-1], key[-1] if len(key) > 1 else 0)

    def tokens(self, sequence=0):
        """List of {"id", "text", "begin", "end", "logprob"}: bytes are decoded with replacement, logprob may be None."""
        (begin, end), _ = self._spans("", sequence)
        group, borders = self.file["tokens"], self.file["tokens/bytes_offset"][begin : end + 1].astype(int)
        data = group["bytes"][borders[0] : borders[-1]].tobytes() if end > begin else b""
        scores = group["log_probability"][begin:end] if "log_probability" in group else [np.nan] * (end - begin)
        columns = zip(group["id"][begin:end], borders, borders[1:], group["begin"][begin:end], group["end"][begin:end], scores)
        return [{"id": int(i), "text": data[a - borders[0] : b - borders[0]].decode("utf-8", "replace"), "begin": int(first), "end": int(last),
                 "logprob": None if np.isnan(score) else float(score)} for i, a, b, first, last, score in columns]

    def _tile(self, layer, sequence, rows, keys):
        """Group, first rows of queries and keys, and the ranges of a tile. `layer` may be a name of modules()."""
        module = layer if isinstance(layer, str) else f"{'' if self.encoder_borders is None else 'decoder.'}blocks.{layer}.attn"
        (begin, end), (first, last) = self._spans(module, sequence)
        return self.file[f"attention/{module}"], begin, first, rows or (0, end - begin), keys or (0, last - first), last - first

    def scores(self, layer, head, sequence=0, rows=None, keys=None):
        """A tile of the scores before the softmax, [query, key]; -inf where masked."""
        group, begin, first, rows, keys, length = self._tile(layer, sequence, rows, keys)
        rule, query = dict(group.attrs), slice(begin + rows[0], begin + rows[1])
        q = group["q"][query, head].astype(np.float64)
        k = group["k"][first + keys[0] : first + keys[1], head // (int(rule["heads"]) // int(rule["kv_heads"]))].astype(np.float64)
        distance = np.arange(*keys)[None, :] - np.arange(*rows)[:, None]  # key - query
        nearest = lambda start, count: np.clip(distance - int(start), 0, count - 1)  # those outside a table take its nearest entry
        terms = self._content(group, head, q.astype(np.float32), (first + keys[0], first + keys[1]), query, nearest)
        if "key_bias" in group:
            q = (q.astype(np.float32) + group["key_bias"][head]).astype(np.float64)
        q, k = (_rounded_to_bf16(q), _rounded_to_bf16(k)) if rule.get("rule_bf16", 0) else (q, k)
        if rule["rule"] not in (0, 1, 2, 4) or rule.get("rule_feature", 0):
            raise ValueError(f"expected pattern rule 0, 1, 4, or 2 with feature 0, found {rule['rule']}: `vitrine` and the viewer know it")
        elu = lambda x: np.where(x > 0, x + 1, np.exp(x))  # rule 2, in place of the softmax: elu(x) + 1
        scores = np.log(elu(q) @ elu(k).T) if rule["rule"] == 2 else (q @ k.T + terms) * rule["scale"]
        if "distance_bias" in group:
            scores = scores + group["distance_bias"][head].astype(np.float64)[nearest(rule["distance_first"], group["distance_bias"].shape[1])]
        scores = scores + float(group["distance_slope"][head]) * distance if "distance_slope" in group else scores
        scores = rule["soft_cap"] * np.tanh(scores / rule["soft_cap"]) if rule["soft_cap"] > 0 else scores
        visible = ((distance <= 0) | (rule["mask"] != "causal")) & ((abs(distance) < rule["window"]) | (rule["window"] == 0))
        visible &= (abs(distance) < rule["rule_window"]) | (np.arange(*keys)[None, :] < rule["rule_sinks"]) | (rule["rule_window"] == 0)
        if rule["rule"] == 4:
            visible &= _blocks(rule, rows, length)[:, keys[0] : keys[1]]
        if rule.get("allowed", 0):
            bits = self.file["tokens/allowed"][query].astype("<u8").view(np.uint8)
            visible &= np.unpackbits(bits, axis=1, bitorder="little")[:, keys[0] : keys[1]].astype(bool)
        if rule["rule"] == 1:  # the k largest; compared in the kernel's type
            visible &= scores.astype(np.float32) >= group["threshold"][query, head][:, None]
        return np.where(visible, scores, -np.inf)

    def _content(self, group, head, q, keys, query, nearest):
        """What the distances, and the segments, make of the queries: (q + w) . r + (q + s) . segment."""
        if "positions" not in group:
            return 0.0
        positions = group["positions"][:, head].astype(np.float64)
        products = (q + group["positions_bias"][head]).astype(np.float64) @ positions.T
        terms = np.take_along_axis(products, nearest(group.attrs["positions_first"], len(positions)), axis=1)
        segments = self.file["tokens/segment"] if "segment" in group else None
        if segments is not None and (segments[query] >= 0).all():  # -1: a text without segments
            each = (q + group["segment_bias"][head]).astype(np.float64) @ group["segment"][:, head].astype(np.float64).T
            terms = terms + np.where(segments[query][:, None] != segments[slice(*keys)][None, :], each[:, 1:2], each[:, 0:1])
        return terms

    def pattern(self, layer, head, sequence=0, rows=None, keys=None):
        """A tile of the attention weights, [query, key], rebuilt from the factors."""
        group, begin, _, span, _, _ = self._tile(layer, sequence, rows, keys)
        normalizer = group["normalizer"][begin + span[0] : begin + span[1], head].astype(np.float64)[:, None]
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(normalizer), 0.0, np.exp(self.scores(layer, head, sequence, rows, keys) - normalizer)).astype(np.float32)

    def head_table(self, pandas=False):
        """One dict a head: entropy in nats, distance in tokens, weight on the first key; means over all rows."""
        table = []
        for name in self.modules():
            group, (begin, end) = self.file[f"attention/{name}"], self._spans(name, None)[0]
            means = {s: group[s][begin:end].mean(axis=0, dtype=np.float64) for s in ("entropy", "distance", "first_key")}
            table += [{"module": name, "layer": int(re.search(r"blocks\.(\d+)\.", name).group(1)), "head": head, **{s: float(mean[head]) for s, mean in means.items()}}
                      for head in range(int(group.attrs["heads"]))]
        return __import__("pandas").DataFrame(table) if pandas else table
