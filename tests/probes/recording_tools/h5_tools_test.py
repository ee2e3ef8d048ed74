"""`vitrine h5 export` against h5py's view of the same recording, and the exit codes of `vitrine h5`. Run by ctest: vitrine, folder."""
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np

vitrine, folder = sys.argv[1], pathlib.Path(sys.argv[2]) / "h5_tools"
golden = pathlib.Path(__file__).resolve().parents[2] / "golden"
sys.path.insert(0, str(golden.parents[1] / "probes"))
import vitrine_h5  # noqa: E402

shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)


def run(*arguments, code=0):
    done = subprocess.run([vitrine, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    if code:
        assert done.stderr.count("\n") <= 1, done.stderr
    return done.stdout + done.stderr


def record(name, *flags, precision="exact", ids="3,17,42,5,5,61,9,17,42,30"):
    path = folder / name
    run("record", golden / "llama/model", "--ids", ids, "--precision", precision, "--quiet", "-o", path, *flags)
    return path


def safetensors(path):
    """Arrays of a safetensors file; bfloat16 as its bits."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    types = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "U64": "<u8"}
    assert header.pop("__metadata__")["model"] == "model" and (8 + length) % 8 == 0
    part = lambda entry: data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]]
    return {name: np.frombuffer(part(entry), types[entry["dtype"]]).reshape(entry["shape"]) for name, entry in header.items()}


first, second = record("first.h5", "--points", "all"), record("second.h5", "--points", "all", ids="9,9,1,22")
both = folder / "both.h5"
assert json.loads(run("h5", "merge", first, second, "-o", both, "--json"))["rows"] == 14
for store in ("f32", "f16", "bf16", "int8"):
    path = both if store == "f32" else record(f"{store}.h5", "--points", "default", "--store", store)
    file, out = h5py.File(path, "r", locking=False), folder / f"{store}.npz"
    run("h5", "export", path, "-o", out)
    arrays = np.load(out)
    assert set(file["activations"]) < set(arrays.files) and "tokens.id" in arrays and ("logits" in arrays) == ("logits" in file)
    reader = vitrine_h5.Run(path)
    for name in file["activations"]:
        if store == "int8":
            assert arrays[name].dtype == np.float32 and np.array_equal(arrays[name], reader[name])
            continue
        assert arrays[name].dtype == (np.float16 if store == "f16" else np.float32) or "normalizer" in name
        assert np.array_equal(arrays[name], file[f"activations/{name}"][:])
    assert np.array_equal(arrays["tokens.id"], file["tokens/id"][:])
    run("h5", "export", path, "-o", folder / f"{store}.safetensors", "--points", "resid_pre,*.attn.hook_z")
    tensors = safetensors(folder / f"{store}.safetensors")
    assert len(tensors) == 6 and "blocks.0.hook_resid_pre" in tensors and "blocks.2.attn.hook_z" in tensors
    for name, tensor in tensors.items():
        values = (tensor.astype(np.uint32) << 16).view(np.float32) if store == "bf16" else tensor
        assert np.array_equal(values, reader[name])

# One sequence; maps; a line for each number.
run("h5", "export", both, "-o", folder / "second.npz", "--sequence", 1, "--points", "all", "--map", "--head", "L1H2,2.5")
arrays, reader = np.load(folder / "second.npz"), vitrine_h5.Run(both)
assert np.array_equal(arrays["blocks.1.hook_resid_mid"], reader.sequence("blocks.1.hook_resid_mid", 1))
for layer, head in ((1, 2), (2, 5)):
    assert np.allclose(arrays[f"blocks.{layer}.attn.hook_pattern.{head}"], reader.pattern(layer, head, 1), atol=1e-6)
run("h5", "export", both, "-o", folder / "z.csv", "--points", "blocks.1.attn.hook_z,tokens.log_probability")
with open(folder / "z.csv", newline="") as lines:
    rows = list(csv.DictReader(lines))
z = reader["blocks.1.attn.hook_z"]
assert len(rows) == z.size + 14 and list(rows[0]) == ["sequence", "pos", "token", "name", "head", "index", "value"]
for row in rows:
    at = int(row["pos"]) + 10 * int(row["sequence"])
    if row["name"] == "blocks.1.attn.hook_z":
        assert np.float32(row["value"]) == z[at, int(row["head"]), int(row["index"])]
    else:
        assert (row["value"] == "") == (row["pos"] == "0") and row["head"] == ""

# Answers and refusals.
run("h5", "check", both)
small = record("small.h5", "--points", "all", "--store", "auto,resid_mid=int8,q=int8,k=int8", "--compress", "gzip")
for path in (small, folder / "int8.h5"):
    run("h5", "check", path)
    run("h5", "repair", path, "-o", folder / "again.h5")
    assert "identical" in run("h5", "diff", path, folder / "again.h5")
assert json.loads(run("h5", "diff", small, first, "--tolerance", "0.05", "--json"))["largest_relative_error"] > 1e-3
run("key", "new", "-o", folder / "key")
sealed = record("sealed.h5", "--points", "z", "--key-file", folder / "key", "--encrypt")
os.environ["VITRINE_KEY_FILE"] = str(folder / "key")
run("h5", "check", sealed)
run("h5", "export", sealed, "-o", folder / "sealed.npz")
assert np.array_equal(np.load(folder / "sealed.npz")["blocks.1.attn.hook_z"], h5py.File(first, "r", locking=False)["activations/blocks.1.attn.hook_z"][:])
assert '"export"' in (folder / "sealed.h5.audit").read_text() and "not protected" in run("h5", "repair", sealed, code=1)
assert "identical" in run("h5", "diff", first, first)
assert "identical" not in run("h5", "diff", record("fast.h5", "--points", "all", precision="fast"), first, "--tolerance", "0.5")
assert json.loads(run("h5", "diff", folder / "fast.h5", first, "--tolerance", "1e-9", "--json", code=1))["within_tolerance"] is False
with h5py.File(second, "r+", libver=("v110", "v110")) as file:
    file["activations/blocks.1.hook_resid_mid"][2, 1] = np.nan
assert "blocks.1.hook_resid_mid[2, 1]: expected a finite number, found NaN" in run("h5", "check", second, code=1)
assert len(json.loads(run("h5", "check", second, "--json", code=1))["findings"]) == 1
for arguments, code, words in ((("check", "/nowhere.h5"), 1, "no such file"), (("merge", first, folder / "f16.h5", "-o", folder / "x.h5"), 1, "expected"),
                               (("export", first, "-o", folder / "x.txt"), 2, ".npz"), (("export", first, "-o", folder / "x.npz", "--points", "nothing"), 2, "--points"),
                               (("export", first, "-o", folder / "x.npz", "--sequence", "7"), 2, "--sequence"), (("export", first, "-o", folder / "x.npz", "--map"), 2, "--head"),
                               (("export", first, "-o", folder / "x.npz", "--map", "--head", "L9H0"), 2, "L9"), (("export", both, "-o", folder / "x.npz", "--map", "--head", "L0H0"), 2, "--sequence"),
                               (("export", first, "-o", "/nowhere/x.npz"), 1, "/nowhere"), (("diff", first, folder / "second.h5"), 1, "sequence 0"), (("frob", first), 2, "h5")):
    assert words in run("h5", *arguments, code=code), (arguments, words)
assert not list(folder.glob("*.part*")) and not list(folder.glob("x.*"))
print("exports agree")
