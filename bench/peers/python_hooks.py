#!/usr/bin/env python3
"""A patching sweep from Python beside transformers with forward hooks: the residual stream of one text is put into another's run, one
layer and one position at a time, and the last position's logit difference is read.

    PYTHONPATH=build/release/python bench/peers/python_hooks.py MODEL.gguf [--threads 2] [--rounds 3] [--json]

Needs torch, transformers >= 5 and gguf beside this project's module. Both have the same file, threads and token ids; in every round
each does the sweep once, in an order that turns, the first round is not counted. Times are medians over the rounds with [min, max];
processor time is beside them, which says more where other programs run. "effects" is the largest difference of any of the sweep's numbers to transformers', relative to the largest of them."""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np


class Torch:
    name = "transformers + hooks (f32)"

    def __init__(self, path, threads, texts, every):
        import torch
        import transformers
        torch.set_num_threads(threads)
        self.torch = torch
        self.model = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
        self.model.eval()
        self.clean, self.corrupt = (torch.tensor([text]) for text in texts)
        self.layers, self.every = self.model.model.layers, every

    def sweep(self, pair):
        with self.torch.no_grad():
            kept = {}
            handles = [layer.register_forward_pre_hook(lambda _, args, i=i: kept.__setitem__(i, args[0].clone())) for i, layer in enumerate(self.layers)]
            self.model(self.clean)
            for handle in handles:
                handle.remove()
            effects = np.empty((len(self.layers[:: self.every]), self.corrupt.shape[1]))
            for row, layer in enumerate(self.layers[:: self.every]):
                i = row * self.every
                for position in range(effects.shape[1]):
                    def patch(_, args, position=position, i=i):
                        value = args[0].clone()
                        value[:, position] = kept[i][:, position]
                        return (value,) + args[1:]
                    handle = layer.register_forward_pre_hook(patch)
                    logits = self.model(self.corrupt).logits[0, -1]
                    handle.remove()
                    effects[row, position] = float(logits[pair[0]] - logits[pair[1]])
            return effects


class OneByOne:
    """The same loop with this module."""

    def __init__(self, path, threads, texts, every, precision):
        import vitrine
        self.name = f"vitrine, one by one ({precision})"
        self.model = vitrine.load(path, precision=precision, threads=threads)
        (self.clean, self.corrupt), self.every = texts, every

    def sweep(self, pair):
        kept = self.model.record(self.clean, "resid_pre")
        layers, length = range(0, self.model.spec.n_layers, self.every), len(self.corrupt)
        effects = np.empty((len(layers), length))
        for row, layer in enumerate(layers):
            for position in range(length):
                def patch(value, point, position=position):
                    value[:, position] = kept[point.name][:, position]
                logits = self.model.run_with_hooks(self.corrupt, [(f"blocks.{layer}.hook_resid_pre", patch)], logits="last")[0, -1]
                effects[row, position] = logits[pair[0]] - logits[pair[1]]
        return effects


class ByLayer(OneByOne):
    """All positions of a layer are one batch."""

    def __init__(self, path, threads, texts, every, precision):
        super().__init__(path, threads, texts, every, precision)
        self.name = f"vitrine, a batch a layer ({precision})"

    def sweep(self, pair):
        kept = self.model.record(self.clean, "resid_pre")
        layers, length = range(0, self.model.spec.n_layers, self.every), len(self.corrupt)
        effects, each = np.empty((len(layers), length)), np.arange(length)
        for row, layer in enumerate(layers):
            def patch(value, point):
                value[each, each] = kept[point.name][0]
            logits = self.model.run_with_hooks([self.corrupt] * length, [(f"blocks.{layer}.hook_resid_pre", patch)], logits="last")[:, -1]
            effects[row] = logits[:, pair[0]] - logits[:, pair[1]]
        return effects


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="sweep every so many layers")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    texts = [[504, 2010, 3010, 506, 1206, 418, 335, 13120, 30, 378, 6330, 13, 28, 260], [504, 2010, 3010, 506, 1206, 418, 907, 13120, 30, 378, 6330, 13, 28, 260]]
    pair, threads = (1000, 2000), arguments.threads
    runners = [Torch(arguments.model, threads, texts, arguments.every)]
    runners += [kind(arguments.model, threads, texts, arguments.every, precision) for precision in ("exact", "fast") for kind in (OneByOne, ByLayer)]
    seconds, processor = ({runner.name: [] for runner in runners} for _ in range(2))
    effects = {}
    for number in range(arguments.rounds + 1):
        turn = number % len(runners)
        for runner in runners[turn:] + runners[:turn]:
            begin, busy = time.perf_counter(), time.process_time()
            effects[runner.name] = runner.sweep(pair)
            if number > 0:
                seconds[runner.name].append(time.perf_counter() - begin)
                processor[runner.name].append(time.process_time() - busy)
            print(f"round {number}: {runner.name} {time.perf_counter() - begin:.2f} s", file=sys.stderr)
    reference, passes = effects[runners[0].name], effects[runners[0].name].size
    rows = []
    for runner in runners:
        times = seconds[runner.name]
        ratios = [a / b for a, b in zip(seconds[runners[0].name], times)]
        busy = [a / b for a, b in zip(processor[runners[0].name], processor[runner.name])]
        rows.append({"runner": runner.name, "processor_seconds": statistics.median(processor[runner.name]), "processor_ratio": statistics.median(busy), "passes": passes, "seconds": statistics.median(times), "seconds_range": [min(times), max(times)],
                     "ms_a_pass": 1000 * statistics.median(times) / passes, "ratio": statistics.median(ratios),
                     "effects": float(np.abs(effects[runner.name] - reference).max() / np.abs(reference).max())})
    if arguments.json:
        print(json.dumps({"model": arguments.model.name, "tokens": len(texts[0]), "threads": threads, "rounds": arguments.rounds, "rows": rows}, indent=2))
        return
    print(f"{'runner':36s} {'seconds':>8s} {'[min, max]':>16s} {'ms a pass':>10s} {'ratio':>7s} {'CPU s':>7s} {'ratio':>7s} {'effects':>9s}")
    for row in rows:
        low, high = row["seconds_range"]
        print(f"{row['runner']:36s} {row['seconds']:8.2f} [{low:6.2f}, {high:6.2f}] {row['ms_a_pass']:10.2f} {row['ratio']:6.1f}x {row['processor_seconds']:7.2f} {row['processor_ratio']:6.1f}x {row['effects']:9.1e}")


if __name__ == "__main__":
    main()
