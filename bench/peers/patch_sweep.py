#!/usr/bin/env python3
"""A patching sweep beside transformers with hooks: the same numbers, and how long each takes.

    bench/peers/patch_sweep.py model.gguf --sweep resid_pre --cells 60 --time

Needs torch and transformers (not part of Vitrine). Cells are compared under exact precision; transformers runs the whole model with a hook
for each, as tutorials do. --time measures all cells of vitrine and, for transformers, as many as --cells, and scales them up.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPT = "When Mary and John went to the store, Mary gave a drink to"


def load(path, threads):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(threads)
    path = pathlib.Path(path)
    files = {"gguf_file": path.name} if path.is_file() else {}
    folder = path.parent if path.is_file() else path
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **files)
    return model.eval(), AutoTokenizer.from_pretrained(folder, **files)


class Peer:
    """transformers' model of the Llama kind, patched by forward hooks."""

    def __init__(self, model, sweep, ids, answer, wrong):
        self.model, self.sweep, self.answer, self.wrong = model, sweep, answer, wrong
        self.clean, self.corrupt = ids
        self.values = {}
        self.place = {"resid_pre": lambda layer: (layer, "in"), "attn_out": lambda layer: (layer.self_attn, "out"),
                      "mlp_out": lambda layer: (layer.mlp, "out"), "z": lambda layer: (layer.self_attn.o_proj, "in")}[sweep]
        self.heads = model.config.num_attention_heads
        self.kept = self.run(self.clean, keep=True)

    def run(self, ids, keep=False, layer=None, column=None):
        import torch
        hooks = []
        layers = self.model.model.layers
        for number in range(len(layers)) if keep else [] if layer is None else [layer]:
            module, side = self.place(layers[number])

            def change(tensor, number=number):
                if keep:
                    self.values[number] = tensor.detach().clone()
                    return None
                tensor = tensor.clone()
                if self.sweep == "z":
                    width = tensor.shape[-1] // self.heads
                    tensor[:, :, column * width:(column + 1) * width] = self.values[number][:, :, column * width:(column + 1) * width]
                else:
                    tensor[:, column] = self.values[number][:, column]
                return tensor

            if side == "in":
                def before(_, inputs, kwargs, change=change):
                    if inputs:
                        changed = change(inputs[0])
                        return None if changed is None else ((changed,) + inputs[1:], kwargs)
                    changed = change(kwargs["hidden_states"])
                    return None if changed is None else (inputs, {**kwargs, "hidden_states": changed})
                hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            else:
                def after(_, inputs, output, change=change):
                    is_tuple = isinstance(output, tuple)
                    changed = change(output[0] if is_tuple else output)
                    return None if changed is None else ((changed,) + output[1:] if is_tuple else changed)
                hooks.append(module.register_forward_hook(after))
        with torch.no_grad():
            logits = self.model(ids).logits[0, -1]
        for hook in hooks:
            hook.remove()
        return float(logits[self.answer] - logits[self.wrong])


def vitrine(program, options, precision):
    command = [program, "patch", options.model, "--clean", options.clean, "--corrupt", options.corrupt, "--answer", options.answer, "--wrong",
               options.wrong, "--sweep", options.sweep, "--direction", "denoise", "--precision", precision, "--threads", str(options.threads), "--json"]
    start = time.perf_counter()
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default=str(pathlib.Path(__file__).resolve().parents[2] / "build/release/bin/vitrine"))
    parser.add_argument("--sweep", default="resid_pre", choices=["resid_pre", "attn_out", "mlp_out", "z"])
    parser.add_argument("--clean", default=CLEAN)
    parser.add_argument("--corrupt", default=CORRUPT)
    parser.add_argument("--answer", default=" Mary")
    parser.add_argument("--wrong", default=" John")
    parser.add_argument("--cells", type=int, default=40, help="how many are compared, spread over all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    model, tokenizer = load(options.model, options.threads)
    texts = [tokenizer(text, return_tensors="pt").input_ids for text in (options.clean, options.corrupt)]
    words = [tokenizer(options.clean + word).input_ids[texts[0].shape[1]] for word in (options.answer, options.wrong)]
    answer, _ = vitrine(options.program, options, "exact")
    peer = Peer(model, options.sweep, texts, *words)
    base = peer.run(texts[1])
    columns, layers = len(answer["effect"][0]), len(answer["effect"])
    everything = [(layer, column) for layer in range(layers) for column in range(columns)]
    chosen = everything[::max(1, len(everything) // options.cells)]
    worst = max(abs(peer.kept - answer["clean"]), abs(base - answer["corrupt"]))
    start = time.perf_counter()
    patched = [peer.run(texts[1], layer=layer, column=column) for layer, column in chosen]
    one_pass = (time.perf_counter() - start) / len(chosen)
    for (layer, column), value in zip(chosen, patched):
        worst = max(worst, abs((value - base) - answer["raw"][layer][column]))
    span = abs(answer["clean"] - answer["corrupt"])
    print(f"{options.sweep}: {len(chosen)} of {len(everything)} cells compared, logit difference {answer['clean']:.4f} and {answer['corrupt']:.4f}; "
          f"largest difference {worst:.2e} logits, {worst / span:.2e} of clean less corrupt")
    if options.time:
        times = {precision: [] for precision in ("exact", "fast")}
        for _ in range(options.rounds):
            for precision, seconds in times.items():
                found, whole = vitrine(options.program, options, precision)
                seconds.append((found["seconds"], whole))
        theirs = one_pass * len(everything)
        print(f"transformers with hooks: {one_pass * 1e3:.1f} ms a pass, {theirs:.2f} s for {len(everything)} passes")
        for precision, seconds in times.items():
            sweep, whole = (statistics.median(column) for column in zip(*seconds))
            print(f"vitrine {precision}: {sweep:.2f} s ({theirs / sweep:.0f} times as fast), whole process {whole:.2f} s ({theirs / whole:.0f} times)")
    sys.exit(0 if worst / span < 1e-4 else 1)


if __name__ == "__main__":
    main()
