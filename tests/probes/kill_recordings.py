"""Kills `vitrine record` at random moments and looks at what is left: a file that opens with h5py, at the latest after
`vitrine h5 repair`, and holds every row that it says was committed, each as an uninterrupted run writes it.

    kill_recordings.py VITRINE FOLDER [--kills 50] [--rows 20000] [--seed 1] [--store auto]

The model is a tiny one of tests/golden, whose context is made longer and one of whose tokens has values that no f16 holds: with
`--store f16` datasets are widened in the midst of the run."""
import argparse
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/llama/model"
LARGE_TOKEN = 70


def make_model(folder):
    """The golden model with a context of 100,000 tokens and one token whose embedding is large."""
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((GOLDEN / "config.json").read_text())
    config["max_position_embeddings"] = 100000
    (folder / "config.json").write_text(json.dumps(config))
    data = bytearray((GOLDEN / "model.safetensors").read_bytes())
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["model.embed_tokens.weight"]
    begin, end = (8 + length + at for at in entry["data_offsets"])
    weights = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]).copy()
    weights[LARGE_TOKEN] *= 1e8
    data[begin:end] = weights.tobytes()
    (folder / "model.safetensors").write_bytes(data)
    return folder


def opened(path):
    """The file and how it was opened, or none."""
    for how, flags in (("plain", {}), ("swmr", {"swmr": True})):
        try:
            return h5py.File(path, "r", locking=False, **flags), how
        except OSError:
            pass
    return None, "closed"


def row_datasets(file):
    """Names of datasets with one row a token."""
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.maxshape[0] is None
                    and not name.endswith(("sequences/offset", "tokens/bytes", "tokens/bytes_offset")) and not name.startswith("mips/") else None)
    return sorted(names)


def require_same_rows(path, whole):
    """Committed rows of a file against the same rows of the uninterrupted run; returns how many there are."""
    file, how = opened(path)
    assert file, f"{path} does not open"
    rows = int(file["sequences/committed"][0])
    names = row_datasets(whole)
    assert row_datasets(file) == names, f"{path}: other datasets than those of a whole run"
    for name in names:
        assert file[name].shape[0] >= rows, f"{path}, {name}: {file[name].shape[0]} of {rows} committed rows"
        assert np.array_equal(np.asarray(file[name][:rows], np.float64), np.asarray(whole[name][:rows], np.float64), equal_nan=True), f"{path}, {name}: other numbers"
    file.close()
    return rows, how


def run_once(command, seconds):
    """Starts the program and kills it after so long; whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("vitrine")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", default="auto")
    parser.add_argument("--within", type=float, help="kill in the first so many seconds, in which the file is made (default: at any time)")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    shutil.rmtree(options.folder, ignore_errors=True)
    model, whole_path, path = make_model(options.folder / "model"), options.folder / "whole.h5", options.folder / "killed.h5"
    ids = random.integers(0, LARGE_TOKEN, options.rows)
    ids[options.rows // 2] = LARGE_TOKEN
    command = [options.vitrine, "record", str(model), "--ids", ",".join(map(str, ids)), "--precision", "exact", "--points", "all", "--quiet",
               "--store", options.store, "--threads", "2", "-o"]
    start = time.monotonic()
    subprocess.run(command + [str(whole_path)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    whole = h5py.File(whole_path, "r", locking=False)
    seen = {"killed": 0, "none": 0, "plain": 0, "swmr": 0, "with rows": 0}
    for kill in range(options.kills):
        for left in options.folder.glob("killed*"):
            left.unlink()
        moment = random.uniform(0, options.within or seconds)
        seen["killed"] += run_once(command + [str(path)], moment)
        if not path.exists():
            seen["none"] += 1
            continue
        try:
            rows, how = require_same_rows(path, whole)
            checked = subprocess.run([options.vitrine, "h5", "check", str(path), "--rows", "2", "--quiet"], capture_output=True, text=True)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            repaired = subprocess.run([options.vitrine, "h5", "repair", str(path), "--quiet"], capture_output=True, text=True)
            assert repaired.returncode == 0, repaired.stdout + repaired.stderr
            after, plain = require_same_rows(path, whole)
            with h5py.File(path, "r") as file:
                assert file.attrs["finished"] == 1 and all(file[name].shape[0] == rows for name in row_datasets(file))
            assert after == rows and plain == "plain"
        except AssertionError as error:
            sys.exit(f"kill {kill} after {moment:.3f} s: {error}")
        seen[how] += 1
        seen["with rows"] += rows > 0
    print(f"{options.kills} runs of {seconds:.1f} s ({options.rows} rows): " + ", ".join(f"{count} {name}" for name, count in seen.items()))


main()
