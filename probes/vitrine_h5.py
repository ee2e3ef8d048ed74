"""Reads a Vitrine recording (FORMAT.md) with h5py and numpy alone.

    run = Run("run.h5")
    run["blocks.3.hook_resid_pre"]  # an activation by TransformerLens' hook name, [pos, width] or [pos, head, d_head], float32
    run["resid_post", 3], run["q", 3], run["scale", 3, "ln1"]      # the same by short name and layer
    run["pattern", 3]               # attention of layer 3, [head, query, key], rebuilt from the factors; also "attn_scores"
    run.sequence(("pattern", 3), 1), run.sequence("logits", 1)     # of sequence 1 alone; positions are axis 0, one sequence behind the other
    run.pattern(3, 8, rows=(100, 164), keys=(0, 64))               # a tile of one head's
    run.tokens(0), run.head_table(), run.head_table(pandas=True)   # one dict a token; one a head, or a data frame"""
import h5py, json, numpy as np, re

def hook_name(name, layer=None, part=None):
    """("q", 3) is blocks.3.attn.hook_q, ("post", 3) blocks.3.mlp.hook_post, ("scale", 3, "ln1") blocks.3.ln1.hook_scale; whole names stay."""
    part = part or ("attn" if re.fullmatch("q|k|v|z|rot_q|rot_k|pattern|attn_scores|normalizer|threshold", name) else "mlp" if re.fullmatch("pre|pre_linear|post", name) else "")
    return name if layer is None else f"blocks.{layer}.{part and part + '.'}hook_{name}"

def _values(dataset, *where):  # a part of a dataset as float32; of codes of 8 bits the numbers that they stand for. The last axis is whole
    part = dataset[where]
    width, scaled = dataset.attrs.get("width", 0), lambda: (part["codes"] * part["scale"].astype(np.float32)[..., None]).reshape(*part.shape[:-1], -1)
    return scaled()[..., : int(width)] if part.dtype.names else part.astype(np.float32)

def _rounded_to_bf16(x):  # to the nearest, halves to even
    return ((x.view(np.uint32) + np.uint32(0x7FFF) + ((x.view(np.uint32) >> 16) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)

def _scrambled(z):  # splitmix64's output function, on arrays of uint64 (which wrap)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

def _blocks(rule, rows, length):  # which keys the rows see under a rule of blocks, [query, length]; masks and windows besides
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
        try: self.file = h5py.File(path, "r", locking=False)
        except OSError: self.file = h5py.File(path, "r", swmr=True, locking=False)  # still being written, or its writer was killed
        root = self.file.attrs
        if root.get("format") != "vitrine-recording" or root["format_version"] not in (1, 2, 3):
            raise ValueError(f"{path}: expected an open vitrine recording of version 1 to 3, found {root.get('format', 'another file')} {root.get('format_version', '')}")
        self.finished, self.provenance = bool(root["finished"]), json.loads(root["provenance"])
        self.rows, self.borders = self._table("")  # sequence s has the rows borders[s] to borders[s + 1]
        self.encoder_rows, self.encoder_borders = self._table("encoder/") if "encoder" in self.file else (0, None)

    def _table(self, prefix):  # committed rows and borders of the sequences; rows behind them do not exist
        rows, borders = int(self.file[f"{prefix}sequences/committed"][0]), self.file[f"{prefix}sequences/offset"][:].astype(int)
        begun = len(borders) - 1 if self.finished else int(np.searchsorted(borders, rows, "left"))  # before the last row
        return rows, np.minimum(borders[: begun + 1], rows)

    names = lambda self: sorted(self.file["activations"]) + (["logits"] if "logits" in self.file else [])  # every activation of the file
    def modules(self):  # names below /attention in the order of the forward pass
        order = lambda name: (not name.startswith("encoder."), int(re.search(r"blocks\.(\d+)\.", name).group(1)), name.endswith("cross_attn"))
        return sorted(self.file["attention"], key=order) if "attention" in self.file else []

    def _spans(self, name, sequence):  # rows of a sequence (None: of all) in an activation or a module's queries, and of the module's keys
        keys = name.startswith("encoder.") or ".cross_attn" in name  # of the encoder
        own = name.startswith("encoder.") or (keys and name.endswith((".hook_k", ".hook_v", ".hook_rot_k")))
        span = lambda borders: (0, int(borders[-1])) if sequence is None else (int(borders[sequence]), int(borders[sequence + 1]))
        return span(self.encoder_borders if own else self.borders), span(self.encoder_borders if keys else self.borders)

    def sequence(self, key, sequence=0):
        """Rows of one sequence of an activation: hook name, or (short name, layer[, "ln1", ...]). None: of all sequences."""
        name = hook_name(*((key,) if isinstance(key, str) else key))
        module, _, square = name.partition(".hook_")
        if square in ("pattern", "attn_scores") and module in self.modules():
            if sequence is None and len(self.borders) > 2:
                raise ValueError(f"{name}: expected one sequence, found {len(self.borders) - 1}; use run.sequence(name, number)")
            tile, heads = self.pattern if square == "pattern" else self.scores, int(self.file[f"attention/{module}"].attrs["heads"])
            return np.stack([tile(module, head, sequence or 0) for head in range(heads)]).astype(np.float32)
        return _values(self.file[name if name == "logits" else f"activations/{name}"], slice(*self._spans(name, sequence)[0]))

    __getitem__ = lambda self, key: self.sequence(key, None)  # the same of all sequences

    def tokens(self, sequence=0):  # {"id", "text", "begin", "end", "logprob"} of each; bytes are decoded with replacement, logprob may be None
        (begin, end), group = self._spans("", sequence)[0], self.file["tokens"]
        at, part = group["bytes_offset"][begin : end + 1].astype(int), lambda name: group[name][begin:end]
        pieces = [group["bytes"][a:b].tobytes().decode("utf-8", "replace") for a, b in zip(at, at[1:])]
        scores = [None if np.isnan(x) else float(x) for x in part("log_probability")] if "log_probability" in group else [None] * (end - begin)
        return [{"id": int(i), "text": text, "begin": int(first), "end": int(last), "logprob": score}
                for i, text, first, last, score in zip(part("id"), pieces, part("begin"), part("end"), scores)]

    def _tile(self, layer, sequence, rows, keys):  # group, rows and keys of a tile, where they are in the file, and how many keys there are
        module = layer if isinstance(layer, str) else f"{'' if self.encoder_borders is None else 'decoder.'}blocks.{layer}.attn"
        (begin, end), (first, last) = self._spans(module, sequence)
        rows, keys = rows or (0, end - begin), keys or (0, last - first)
        return self.file[f"attention/{module}"], rows, keys, slice(begin + rows[0], begin + rows[1]), slice(first + keys[0], first + keys[1]), last - first

    def scores(self, layer, head, sequence=0, rows=None, keys=None):  # a tile of the scores before the softmax; -inf where masked. `layer` may be a name of modules()
        group, rows, keys, queries, others, length = self._tile(layer, sequence, rows, keys)
        rule = dict(group.attrs)
        if rule["rule"] not in (0, 1, 2, 4) or rule.get("rule_feature", 0):
            raise ValueError(f"expected pattern rule 0, 1, 4, or 2 with feature 0, found {rule['rule']}: `vitrine` and the viewer know it")
        q, k = _values(group["q"], queries, head), _values(group["k"], others, head // (int(rule["heads"]) // int(rule["kv_heads"])))
        distance = np.arange(*keys)[None, :] - np.arange(*rows)[:, None]  # key - query
        nearest = lambda first, count: np.clip(distance - int(rule[first]), 0, count - 1)  # those outside a table take its nearest entry
        terms = self._content(group, head, q, queries, others, nearest) if "positions" in group else 0.0
        q = q + group["key_bias"][head] if "key_bias" in group else q
        q, k = ((_rounded_to_bf16(x) if rule.get("rule_bf16", 0) else x).astype(np.float64) for x in (q, k))
        q, k = (np.where(x > 0, x + 1, np.exp(x)) for x in (q, k)) if rule["rule"] == 2 else (q, k)  # elu(x) + 1, in place of the softmax
        scores = np.log(q @ k.T) if rule["rule"] == 2 else (q @ k.T + terms) * rule["scale"]
        bias = group["distance_bias"][head].astype(np.float64) if "distance_bias" in group else None
        scores += 0.0 if bias is None else bias[nearest("distance_first", len(bias))]
        scores += float(group["distance_slope"][head]) * distance if "distance_slope" in group else 0.0
        scores = rule["soft_cap"] * np.tanh(scores / rule["soft_cap"]) if rule["soft_cap"] > 0 else scores
        visible = ((distance <= 0) | (rule["mask"] != "causal")) & ((abs(distance) < rule["window"]) | (rule["window"] == 0))
        visible &= (abs(distance) < rule["rule_window"]) | (np.arange(*keys)[None, :] < rule["rule_sinks"]) | (rule["rule_window"] == 0)
        visible &= _blocks(rule, rows, length)[:, slice(*keys)] if rule["rule"] == 4 else True
        if rule.get("allowed", 0):
            visible &= np.unpackbits(self.file["tokens/allowed"][queries].astype("<u8").view(np.uint8), axis=1, bitorder="little")[:, slice(*keys)] > 0
        visible &= scores.astype(np.float32) >= group["threshold"][queries, head][:, None] if rule["rule"] == 1 else True  # the k largest, in the kernel's type
        return np.where(visible, scores, -np.inf)

    def _content(self, group, head, q, queries, keys, nearest):  # what distances and segments make of queries: (q + w) . r + (q + s) . segment
        times = lambda bias, table: (q + group[bias][head]).astype(np.float64) @ group[table][:, head].astype(np.float64).T
        terms = np.take_along_axis(times("positions_bias", "positions"), nearest("positions_first", len(group["positions"])), axis=1)
        segments = self.file["tokens/segment"] if "segment" in group else None
        if segments is not None and (segments[queries] >= 0).all():  # -1: a text without segments
            terms += np.where(segments[queries][:, None] == segments[keys][None, :], *np.hsplit(times("segment_bias", "segment"), 2))
        return terms

    def pattern(self, layer, head, sequence=0, rows=None, keys=None):  # a tile of the attention weights, [query, key]
        group, _, _, queries, _, _ = self._tile(layer, sequence, rows, keys)
        normalizer = group["normalizer"][queries, head].astype(np.float64)[:, None]
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(normalizer), 0.0, np.exp(self.scores(layer, head, sequence, rows, keys) - normalizer)).astype(np.float32)

    def squares(self, layer, head, sequence=0):  # (cell, largest, mean) of a long text's map in squares of `cell` queries and keys; None where there are none
        module, cells = self._tile(layer, sequence, None, None)[0].name[len("/attention/") :], self.file["mips/cell"][:].astype(int) if "mips" in self.file else [0] * (sequence + 1)
        lengths = [[end - begin for begin, end in self._spans(module, s)] for s in range(sequence + 1)]  # queries, keys
        counts = [-(-queries // cell) if cell else 0 for (queries, _), cell in zip(lengths, cells)]
        part = (slice(sum(counts[:-1]), sum(counts)), head, slice(-(-lengths[-1][1] // cells[sequence]) if cells[sequence] else 0))
        return (cells[sequence], *(self.file[f"mips/{module}/{what}"][part].astype(np.float32) for what in ("max", "mean"))) if cells[sequence] else None

    def head_table(self, pandas=False):
        """One dict a head: entropy in nats, distance in tokens, weight on the first key; means over all rows."""
        table = []
        for name in self.modules():
            group, rows, layer = self.file[f"attention/{name}"], slice(*self._spans(name, None)[0]), int(re.search(r"blocks\.(\d+)\.", name).group(1))
            means = {s: group[s][rows].mean(axis=0, dtype=np.float64).tolist() for s in ("entropy", "distance", "first_key")}
            table += [{"module": name, "layer": layer, "head": head, **{s: mean[head] for s, mean in means.items()}} for head in range(int(group.attrs["heads"]))]
        return __import__("pandas").DataFrame(table) if pandas else table
