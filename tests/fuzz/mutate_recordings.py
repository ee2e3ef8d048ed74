"""Changes the structure of recordings above libhdf5 - types, shapes, extents, layouts, attributes, links, missing and surplus objects,
absurd numbers - and lets `vitrine` read them. A command may answer or refuse with one line; a signal, a hang, several lines, a failed
invariant or memory past a limit is a finding, and its file stays in FOLDER/findings.

    mutate_recordings.py VITRINE FOLDER [--cases 60] [--seconds N] [--seed 1]"""
import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
IDS = "3,17,4,5,5,2,9,17,4,30,2,8,11,1,3"
V110 = ("v110", "v110")
SEEDS = {
    "llama": ("llama", ["--points", "all", "--attention", "dense"]),
    "top_k": ("llama", ["--kernel", "top_k:k=2", "--store", "f16"]),
    "blocks": ("llama", ["--kernel", "block_sparse:pattern=bigbird,block=1,window=1,global=1,random=3,seed=5", "--store", "bf16"]),
    "linear": ("gpt2", ["--kernel", "linear"]),
    "performer": ("gpt2", ["--kernel", "performer:features=32"]),
    "bert": ("bert", []),
    "bloom": ("decoders/bloom", []),
    "t5": ("encoder_decoders/t5", ["--decoder-ids", "0,5,9,12"]),
    "xlnet": ("encoders/xlnet", []),
}
NUMBERS = [0, 1, 2, 3, 7, 63, 64, 65, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, -1e38, 1e308, np.nan, np.inf, -np.inf]
TEXTS = ["", "causal", "none", "x" * 70000, "{" * 200, '{"a":' * 200, "\ud7ff\n\x01", "{}", "[]", "null", '{"model_sha256": 5}', "vitrine-recording"]
TYPES = ["<f4", "<f2", "<f8", ">f4", "<i4", "<i8", "<u8", ">u8", "u1", "i1", "?", "S5", "<c8", "(2,)<f4", "V3"]


class Mutator:
    def __init__(self, file, random, other):
        self.file, self.random, self.other = file, random, other

    def pick(self, items):
        return items[int(self.random.integers(len(items)))]

    def datasets(self):
        names = []
        self.file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        return names

    def groups(self):
        names = ["/"]
        self.file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Group) else None)
        return names

    def number(self):
        return self.pick(NUMBERS) + int(self.random.integers(-1, 2))

    def value(self):
        return self.pick([lambda: np.uint64(max(0, self.number())), lambda: np.int64(self.number() % 2**63), lambda: np.float64(self.pick(FLOATS)), lambda: self.pick(TEXTS),
                          lambda: np.arange(3), lambda: h5py.Empty("<u8"), lambda: np.bytes_(b"causal"), lambda: np.int8(-1)])()

    # Attributes.
    def change_attribute(self):
        item = self.file[self.pick(self.groups() + self.datasets())]
        if len(item.attrs) == 0:
            return
        name = self.pick(sorted(item.attrs))
        old = item.attrs[name]
        if self.random.random() < 0.5 and isinstance(old, (np.integer, np.floating)):
            item.attrs[name] = type(old)(max(0, self.number()) if isinstance(old, np.integer) else self.pick(FLOATS))
        else:
            item.attrs[name] = self.value()

    def delete_attribute(self):
        item = self.file[self.pick(self.groups())]
        if len(item.attrs):
            del item.attrs[self.pick(sorted(item.attrs))]

    # Numbers.
    def change_numbers(self):
        name = self.pick(self.datasets())
        dataset = self.file[name]
        if dataset.size in (0, None) or dataset.shape == () or dataset.dtype.kind not in "fiu":
            return
        begin = int(self.random.integers(dataset.shape[0]))
        end = self.pick([begin + 1, dataset.shape[0]])
        if dataset.dtype.kind == "f":
            new = np.full((end - begin,) + dataset.shape[1:], self.pick(FLOATS))
        else:
            info = np.iinfo(dataset.dtype)
            new = np.full((end - begin,) + dataset.shape[1:], max(info.min, min(info.max, self.pick([self.number(), -1, info.min, info.max]))), dataset.dtype)
        with np.errstate(over="ignore"):
            dataset[begin:end] = new

    def change_borders(self):
        for _ in range(2):
            name = self.pick([n for n in self.datasets() if n.endswith(("offset", "committed", "tokens/begin", "tokens/end"))])
            dataset = self.file[name]
            if dataset.dtype.kind == "u" and dataset.ndim == 1 and dataset.size:
                dataset[int(self.random.integers(dataset.size))] = np.uint64(max(0, self.number()))

    # Datasets.
    def resize(self):
        dataset = self.file[self.pick(self.datasets())]
        if dataset.chunks and dataset.maxshape[0] is None:
            dataset.resize(self.pick([0, 1, max(0, dataset.shape[0] - 1), dataset.shape[0] + 1, 2**20, 2**40, 2**60]), axis=0)

    def replace(self):
        name = self.pick(self.datasets())
        old = self.file[name]
        shape = list(old.shape or ())
        shape = self.pick([tuple(shape), (), tuple(shape + [1]), tuple(reversed(shape)), tuple(shape[:-1]), tuple(max(0, s + int(self.random.integers(-1, 2))) for s in shape),
                           tuple(0 for _ in shape), (1,) * 5, (1,) * 32, (2**40,) * max(1, len(shape)), (2**33, 2**33)])
        dtype = np.dtype(self.pick(TYPES)) if self.random.random() < 0.6 else old.dtype
        flags = self.pick([{}, {"chunks": True}, {"chunks": True, "compression": "gzip", "shuffle": True}, {"chunks": True, "compression": "lzf"}, {"chunks": True, "fletcher32": True},
                           {"maxshape": tuple(None for _ in shape)}, {"chunks": True, "scaleoffset": 3}])
        del self.file[name]
        try:
            self.file.create_dataset(name, shape, dtype, **flags)
        except (TypeError, ValueError, OSError, RuntimeError):
            self.file.create_dataset(name, (2,), "<f4")
        if self.random.random() < 0.5 and old.attrs:
            for key, value in old.attrs.items():
                self.file[name].attrs[key] = value

    def special_layout(self):
        name = self.pick(self.datasets())
        shape, dtype = self.file[name].shape, self.file[name].dtype
        if not shape:
            return
        del self.file[name]
        kind = self.pick(["virtual", "virtual_self", "virtual_none", "external", "compact", "vlen", "committed"])
        if kind.startswith("virtual"):
            layout = h5py.VirtualLayout(shape, dtype)
            source = {"virtual": str(self.other), "virtual_self": ".", "virtual_none": "/nowhere.h5"}[kind]
            layout[...] = h5py.VirtualSource(source, name, shape)
            self.file.create_virtual_dataset(name, layout)
        elif kind == "external":
            self.file.create_dataset(name, shape, dtype, external=[(self.pick(["/etc/passwd", "/dev/zero", "/nowhere", str(self.other)]), 0, h5py.h5f.UNLIMITED)])
        elif kind == "compact":
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.COMPACT)
            h5py.h5d.create(self.file.id, name.encode(), h5py.h5t.py_create(np.dtype("<f4")), h5py.h5s.create_simple((min(shape[0], 8),)), plist)
        elif kind == "vlen":
            self.file.create_dataset(name, shape[:1], h5py.special_dtype(vlen=np.float32))
        else:
            self.file[name] = np.dtype("<f4")

    # Links and objects.
    def delete(self):
        del self.file[self.pick(self.datasets() + self.groups()[1:])]

    def link(self):
        name = self.pick(self.datasets() + self.groups()[1:])
        target = self.pick(self.datasets() + self.groups())
        kind = self.pick(["soft", "self", "external", "hard", "group", "dataset"])
        kept = self.file[target]
        del self.file[name]
        if kind == "hard":
            self.file[name] = kept
        elif kind == "group":
            self.file.create_group(name)
        elif kind == "dataset":
            self.file[name] = np.zeros(self.pick([1, 3]), "<f4")
        else:
            self.file[name] = {"soft": h5py.SoftLink("/" + target), "self": h5py.SoftLink("/" + name), "external": h5py.ExternalLink(self.pick([str(self.other), "/etc/passwd"]), "/" + target)}[kind]

    def surplus(self):
        group = self.pick(self.groups())
        name = self.pick(["x", "blocks.99999999999999999999.attn", "blocks.-1.attn", "blocks.0.cross_attn", "blocks.7.attn", "\u6771\u4eac", "a" * 5000, "hook_z", "logits", "encoder", "summary", "value", "k"])
        if f"{group}/{name}" in self.file:
            return
        item = self.pick([lambda: self.file[group].create_group(name), lambda: self.file[group].create_dataset(name, data=np.zeros((3, 2), self.pick(["<f4", "<f8", "<i2"]))),
                          lambda: self.file.copy(self.file[self.pick(self.datasets() + self.groups()[1:])], self.file[group], name)])
        item()

    def rename(self):
        names = self.datasets() + self.groups()[1:]
        a, b = self.pick(names), self.pick(names)
        if a not in b and b not in a:
            self.file.move(a, "swap")
            self.file.move(b, a)
            self.file.move("swap", b)

    def mutate(self):
        steps = [self.change_attribute, self.delete_attribute, self.change_numbers, self.change_borders, self.resize, self.replace, self.special_layout, self.delete, self.link, self.surplus, self.rename]
        for _ in range(int(self.random.integers(1, 4))):
            step = self.pick(steps)
            try:
                step()
            except (KeyError, OSError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError, IndexError):  # what an earlier step left cannot be changed so
                pass
        if self.random.random() < 0.2 and isinstance(self.file.attrs.get("finished"), np.integer):
            self.file.attrs["finished"] = np.uint64(0)


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def complaint(command):
    """What is wrong with how the program behaves; empty where nothing is."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, preexec_fn=limited)
    except subprocess.TimeoutExpired:
        return "hangs"
    text = done.stderr.decode("utf-8", "replace")
    if done.returncode not in (0, 1, 2):
        return f"ends with {done.returncode}: {text[:300]}"
    lines = [line for line in text.splitlines() if not line.startswith(("note: ", "vitrine: " + command[-1] + " is unfinished"))]
    if done.returncode > 0 and command[1:3] != ["h5", "check"] and len(lines) != 1 and not done.stdout:
        return f"says {len(lines)} lines: {text[:300]}"
    for word in ("bad_alloc", "Assertion", "terminate", "HDF5-DIAG", "check failed", "length_error", "vector"):
        if word in text or word in done.stdout.decode("utf-8", "replace"):
            return f"says {text[:300]}"
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("vitrine")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0, help="instead of a number of cases")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    (options.folder / "findings").mkdir(parents=True)
    seeds = []
    for name, (model, flags) in SEEDS.items():
        seeds.append(options.folder / f"{name}.h5")
        subprocess.run([options.vitrine, "record", str(GOLDEN / model / "model"), "--ids", IDS, "--precision", "exact", "--quiet", "-o", str(seeds[-1])] + flags, check=True, capture_output=True)
        assert complaint([options.vitrine, "h5", "check", "--quiet", str(seeds[-1])]) == ""
    path, out = options.folder / "case.h5", options.folder / "out"
    commands = [["heads", "--quiet", "--threads", "1"], ["h5", "check", "--quiet", "--rows", "4"], ["h5", "repair", "--quiet", "-o", str(out) + ".h5"], ["h5", "diff", "--quiet", "--maps", "--threads", "1", None],
                ["h5", "export", "--quiet", "-o", str(out) + ".npz"], ["h5", "export", "--quiet", "-o", str(out) + ".csv", "--map", "--head", "L0H0", "--sequence", "0"]]
    findings, case, start, answers = 0, 0, time.monotonic(), 0
    while (time.monotonic() - start < options.seconds) if options.seconds else case < options.cases:
        random = np.random.default_rng([options.seed, case])
        seed = seeds[case % len(seeds)]
        shutil.copy(seed, path)
        with h5py.File(path, "r+", libver=V110, locking=False) as file:
            Mutator(file, random, seeds[0]).mutate()
        for command in commands:
            full = [options.vitrine] + [str(seed) if word is None else word for word in command] + [str(path)]
            wrong = complaint(full)
            if wrong:
                findings += 1
                kept = options.folder / "findings" / f"{options.seed}_{case}.h5"
                shutil.copy(path, kept)
                print(f"{kept} (from {seed.name}): {' '.join(command[:2])} {wrong}", flush=True)
            answers += 1
        case += 1
    print(f"{case} files, {answers} answers in {time.monotonic() - start:.0f} s, {findings} findings")
    sys.exit(findings > 0)


main()
