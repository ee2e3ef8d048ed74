"""Reads a recording that `vitrine record` made, through probes/vitrine_h5.py alone. Run by ctest: vitrine, model, folder."""
import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np

vitrine, model, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "probes"))
import vitrine_h5  # noqa: E402

path, golden = folder / "h5_test.h5", pathlib.Path(__file__).resolve().parents[1] / "golden"
ids = [3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8, 70, 1, 3]
command = [vitrine, "record", model, "--ids", ",".join(map(str, ids)), "--precision", "exact", "--points", "all", "-o", str(path)]
subprocess.run(command, check=True, capture_output=True)

with h5py.File(path, "r") as plain:  # a finished file opens in plain h5py
    assert plain.attrs["finished"] == 1 and plain["attention/blocks.0.attn/q"].dims[1].label == "head"
run = vitrine_h5.Run(path)
assert run.finished and run.rows == len(ids)
assert [token["id"] for token in run.tokens()] == ids and run.tokens()[0]["logprob"] is None
logits = run["logits"].astype(np.float64)
log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
for i, token in enumerate(run.tokens()[1:]):
    assert abs(token["logprob"] - log_probabilities[i, ids[i + 1]]) < 1e-5


def check_heads(run):
    """Rebuilt maps times the values are the heads' outputs; returns how many heads there are."""
    checked, table = 0, run.head_table()
    for name in run.modules():
        layer = int(name.split(".")[1])
        v, z = run[f"{name}.hook_v"], run[f"{name}.hook_z"]
        shared = z.shape[1] // v.shape[1]
        for head in range(z.shape[1]):
            pattern = run.pattern(layer, head)
            assert np.allclose(pattern.sum(axis=1), 1.0, atol=1e-5)
            assert np.allclose(pattern @ v[:, head // shared], z[:, head], atol=1e-5)
            assert np.array_equal(run.pattern(layer, head, rows=(4, 9), keys=(2, 7)), pattern[4:9, 2:7])
            entropy = -(pattern * np.log(np.where(pattern > 0, pattern, 1))).sum(axis=1).mean()
            row = next(r for r in table if (r["layer"], r["head"]) == (layer, head))
            assert abs(row["entropy"] - entropy) < 1e-5
            checked += 1
    return checked


checked = check_heads(run)
assert checked > 0
assert len((golden.parents[1] / "probes/vitrine_h5.py").read_text().splitlines()) <= 150
for key, name in ((("q", 1), "blocks.1.attn.hook_q"), (("resid_mid", 0), "blocks.0.hook_resid_mid"), (("post", 2), "blocks.2.mlp.hook_post"), (("scale", 1, "ln2"), "blocks.1.ln2.hook_scale"),
                  (("normalized", 0, "ln1"), "blocks.0.ln1.hook_normalized"), (("mlp_out", 1), "blocks.1.hook_mlp_out"), ("logits", "logits")):
    assert vitrine_h5.hook_name(*((key,) if isinstance(key, str) else key)) == name and np.array_equal(run[key], run.file[name if name == "logits" else f"activations/{name}"][:])
heads = np.stack([run.pattern(1, head) for head in range(6)])  # [head, query, key], as TransformerLens has them without its batch
for map_of in (run["pattern", 1], run["blocks.1.attn.hook_pattern"], run.sequence(("pattern", 1)), run.sequence("blocks.1.attn.hook_pattern", 0)):
    assert np.array_equal(map_of, heads)
assert np.array_equal(np.isneginf(run["attn_scores", 1]), heads == 0) and np.array_equal(run.sequence(("q", 1), 0), run["q", 1])
try:
    import pandas
    assert list(run.head_table(pandas=True).columns) == list(run.head_table()[0])
except ImportError:
    pass
mid, attn_out, pre = run["blocks.0.hook_resid_mid"], run["blocks.0.hook_attn_out"], run["blocks.0.hook_resid_pre"]
assert np.allclose(mid, pre + attn_out, atol=1e-6)
assert np.array_equal(run["blocks.0.hook_resid_post"], run["blocks.1.hook_resid_pre"])
for kernel in ("top_k:k=2", "linear", "sliding_window:window=4", "block_sparse:pattern=banded,block=2,window=1,stride=3,dense_every=2",
               "block_sparse:pattern=bigbird,block=1,window=1,global=1,random=3,seed=5"):
    other = folder / "h5_kernel_test.h5"
    subprocess.run(command[:-1] + [str(other), "--kernel", kernel], check=True, capture_output=True)
    assert check_heads(vitrine_h5.Run(other)) == checked
for cache in ("int8", "int4:hadamard"):  # keys and values as multiplied, what the codes stand for
    subprocess.run([vitrine, "record", model, "--ids", ",".join(map(str, ids)), "--kv", cache, "--kernel", "flash", "--store", "f32", "-o", str(path)],
                   check=True, capture_output=True)
    run = vitrine_h5.Run(path)
    for name in run.modules():
        layer, v, z = int(name.split(".")[1]), run[f"{name}.hook_v"], run[f"{name}.hook_z"]
        for head in range(z.shape[1]):
            assert np.allclose(run.pattern(layer, head) @ v[:, head // (z.shape[1] // v.shape[1])], z[:, head], atol=1e-5)

small = folder / "h5_small_test.h5"  # codes of 8 bits, deflated by libdeflate: what plain h5py makes of them
subprocess.run([vitrine, "record", model, "--ids", ",".join(map(str, ids)), "--precision", "exact", "--points", "all", "--store", "auto,all=int8,z=f16", "--compress",
                "gzip", "-o", str(small)], check=True, capture_output=True)
subprocess.run(command, check=True, capture_output=True)
whole, run = vitrine_h5.Run(path), vitrine_h5.Run(small)
assert run.file.attrs["format_version"] == 3 and run.names() == whole.names()
for name in run.names():
    expected, found, stored = whole[name], run[name], run.file[name if name == "logits" else f"activations/{name}"]
    assert stored.compression == "gzip" and stored.shuffle
    if stored.dtype.names is None:
        assert np.allclose(found, expected, rtol=2**-11, atol=1e-7), name
    else:
        step = np.repeat(stored["scale"][:].astype(np.float32), 32, axis=-1)[..., : expected.shape[-1]]
        assert found.shape == expected.shape and (abs(found - expected) <= step * 0.50001).all(), name

grown = folder / "h5_grown_test.h5"  # recorded while it was made: as if the finished text had been read
prompt = ",".join(map(str, ids[:7]))
made = subprocess.run([vitrine, "generate", model, "--ids", prompt, "--max-tokens", "9", "--precision", "exact", "--points", "all", "--record", str(grown), "--json"],
                      check=True, capture_output=True)
text = ids[:7] + [token["id"] for token in json.loads(made.stdout)["tokens"]]
subprocess.run([vitrine, "record", model, "--ids", ",".join(map(str, text)), "--precision", "exact", "--points", "all", "-o", str(path)], check=True, capture_output=True)
run, whole = vitrine_h5.Run(grown), vitrine_h5.Run(path)
assert run.finished and run.rows == len(text) == whole.rows and [token["id"] for token in run.tokens()] == text
assert [token["logprob"] for token in run.tokens()] == [token["logprob"] for token in whole.tokens()]
for name in whole.names():
    assert np.array_equal(run[name], whole[name]), name
for name in whole.modules():
    for factor in whole.file[f"attention/{name}"]:
        assert np.array_equal(run.file[f"attention/{name}/{factor}"][:], whole.file[f"attention/{name}/{factor}"][:]), (name, factor)

biased = pathlib.Path(__file__).resolve().parents[1] / "golden/decoders/bloom/model"  # scores with slopes: format version 2
ids = [3, 17, 42, 5, 5, 31, 9, 17, 42, 30, 2, 8, 4, 1, 3]
for kernel in ("flash", "top_k:k=3", "sliding_window:window=4"):
    other = folder / "h5_bias_test.h5"
    subprocess.run([vitrine, "record", str(biased), "--ids", ",".join(map(str, ids)), "--precision", "exact", "--points", "v,z", "--kernel", kernel,
                    "-o", str(other)], check=True, capture_output=True)
    run = vitrine_h5.Run(other)
    assert run.file.attrs["format_version"] == 2 and "distance_slope" in run.file["attention/blocks.0.attn"]
    assert check_heads(run) > 0

for model, flags in (("encoders/xlnet", []), ("encoder_decoders/t5", ["--decoder-ids", "0,5,9,12"]), ("encoder_decoders/bart", ["--decoder-ids", "2,5,9"])):
    other = folder / "h5_sides_test.h5"
    subprocess.run([vitrine, "record", str(golden / model / "model"), "--ids", "3,17,4,5,9,2,11", "--precision", "exact", "--points", "v,z", "-o", str(other)] + flags,
                   check=True, capture_output=True)
    run, sides = vitrine_h5.Run(other), set()
    for name in run.modules():
        v, z = run[f"{name}.hook_v"], run[f"{name}.hook_z"]
        for head in range(z.shape[1]):
            pattern = run.pattern(name, head)
            sides.add(pattern.shape)
            assert np.allclose(pattern @ v[:, head], z[:, head], atol=1e-5), (model, name, head)
    assert len(sides) == (3 if flags else 1) and len(run.head_table()) == sum(run.file["attention"][n].attrs["heads"] for n in run.modules())
print(f"{checked} heads, {len(run.names())} activations agree")
