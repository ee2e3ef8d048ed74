#!/usr/bin/env python3
"""A long text, recorded by vitrine and by what people use otherwise, each in a process of its own:

    bench/peers/record_long.py MODEL.gguf --text FILE [--tokens 4096] [--threads 2] [--sides vitrine,eager,hooks] [-o table.md]

vitrine  `vitrine record` with q, k, v, z, residual streams, log-sum-exp, the 50 largest logits and all summaries
eager    Hugging Face transformers, output_attentions and output_hidden_states with eager attention (whole maps, f32), then h5py
         writes maps and hidden states as f16, and the 50 largest logits
hooks    torch hooks on scaled_dot_product_attention: the same factors as vitrine (rotated q, k, v, z, the residual stream before,
         inside and after each block as f16, log-sum-exp of the rows by a blockwise product, the 50 largest logits), then h5py

All read the same token ids, with the same number of threads. Times go from the loaded model to the closed file, each side once
(a map of 4,096 tokens takes minutes); loading is a column of its own. CPU seconds are those of running and writing (of vitrine, of
the whole process): where others use the machine, they say more than seconds. Memory is the process's largest resident set (the weights
with it), which the kernel counts. Needs torch, transformers, h5py in the Python that runs it."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
POINTS = "default"  # residual streams, v, z, and the factors: rotated q and k, log-sum-exp; logits' top and summaries come always


def load(model, threads, attention):
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(threads)
    file = pathlib.Path(model)
    return torch, AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation=attention).eval()


def write_top(file, logits):
    top = logits[0].topk(50)
    file["top_logits/value"], file["top_logits/id"] = top.values.numpy(), top.indices.numpy()
    file["top_logits/log_sum_exp"] = logits[0].logsumexp(-1).numpy()


def eager(model, ids, threads, path):
    import h5py
    import numpy as np
    began = time.perf_counter()
    torch, network = load(model, threads, "eager")
    loaded, used = time.perf_counter(), time.process_time()
    with torch.no_grad():
        out = network(torch.tensor([ids]), output_attentions=True, output_hidden_states=True, use_cache=False)
    ran = time.perf_counter()
    with h5py.File(path, "w") as file:
        for layer, pattern in enumerate(out.attentions):
            file.create_dataset(f"blocks.{layer}.attn.hook_pattern", data=pattern[0].numpy().astype(np.float16), chunks=(1, 512, 512))
        for layer, hidden in enumerate(out.hidden_states):
            file.create_dataset(f"blocks.{layer}.hook_resid_pre", data=hidden[0].numpy().astype(np.float16), chunks=(512, hidden.shape[-1]))
        write_top(file, out.logits)
    return {"load": loaded - began, "run": ran - loaded, "write": time.perf_counter() - ran, "cpu": time.process_time() - used}


def log_sums(torch, q, k, scale):
    """ln sum exp of the causal scores of each row, [heads, pos], 256 rows at a time."""
    length, shared = q.shape[1], q.shape[0] // k.shape[0]
    k = k.repeat_interleave(shared, 0)
    parts = []
    for begin in range(0, length, 256):
        end = min(begin + 256, length)
        scores = q[:, begin:end] @ k[:, :end].transpose(1, 2) * scale
        mask = torch.arange(end)[None, :] > torch.arange(begin, end)[:, None]
        parts.append(scores.masked_fill(mask, float("-inf")).logsumexp(-1))
    return torch.cat(parts, 1)


def hooks(model, ids, threads, path):
    import h5py
    import numpy as np
    began = time.perf_counter()
    torch, network = load(model, threads, "sdpa")
    kept, layer_now = {}, [0]

    def keep(name, value):
        kept[f"blocks.{layer_now[0]}.{name}"] = value[0].detach().to(torch.float16)

    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(q, k, v, **rest):  # [batch, heads, pos, d_head], rotated
        out = plain(q, k, v, **rest)
        for name, value in (("q", q), ("k", k), ("v", v), ("z", out)):
            keep(name, value)
        kept[f"blocks.{layer_now[0]}.normalizer"] = log_sums(torch, q[0], k[0], rest.get("scale") or q.shape[-1] ** -0.5)
        return out

    torch.nn.functional.scaled_dot_product_attention = watched
    for number, block in enumerate(network.model.layers):
        def before(module, arguments, keywords, number=number):
            layer_now[0] = number
            keep("resid_pre", arguments[0] if arguments else keywords["hidden_states"])
        block.register_forward_pre_hook(before, with_kwargs=True)
        block.post_attention_layernorm.register_forward_pre_hook(lambda module, arguments: keep("resid_mid", arguments[0]))
    network.model.norm.register_forward_pre_hook(lambda module, arguments: keep("resid_post", arguments[0]))
    loaded, used = time.perf_counter(), time.process_time()
    with torch.no_grad():
        logits = network(torch.tensor([ids]), use_cache=False).logits
    ran = time.perf_counter()
    with h5py.File(path, "w") as file:
        for name, value in kept.items():
            numbers = value.numpy()
            shape = (1, 512, numbers.shape[-1]) if numbers.ndim == 3 else None
            file.create_dataset(name, data=numbers, chunks=shape and tuple(min(a, b) for a, b in zip(shape, numbers.shape)))
        write_top(file, logits)
    assert np.isfinite(kept["blocks.0.normalizer"].numpy()).all() and len(kept) == 7 * len(network.model.layers) + 1
    return {"load": loaded - began, "run": ran - loaded, "write": time.perf_counter() - ran, "cpu": time.process_time() - used}


def in_child(command):
    """Seconds, and the largest resident set in bytes, of a process and its output."""
    before = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit {process.returncode}")
    return {"wall": time.perf_counter() - before, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss * 1024, "answer": json.loads(text)}


def token_ids(program, model, text, count):
    tokens = json.loads(subprocess.run([program, "tokenize", model, "--file", text, "--json"], check=True, capture_output=True, text=True).stdout)["tokens"]
    if len(tokens) < count:
        raise SystemExit(f"record_long.py: {text}: expected {count} tokens, found {len(tokens)}")
    return [token["id"] for token in tokens[:count]]


def measure(side, arguments, ids, path):
    listed = ",".join(map(str, ids))
    if side == "vitrine":
        result = in_child([arguments.program, "record", arguments.model, "--ids", listed, "--threads", str(arguments.threads), "--points", POINTS, "--json", "--quiet",
                           "-o", str(path), *arguments.flags.split()])
        seconds = result["answer"]["seconds"]
        result.update(load=result["wall"] - seconds, run=seconds, write=0.0)
    else:
        result = in_child([sys.executable, __file__, arguments.model, "--worker", side, "--ids", listed, "--threads", str(arguments.threads), "-o", str(path)])
        result.update(result["answer"])
    result["file"] = path.stat().st_size
    return result


def table(results, arguments):
    lines = ["| side | tokens | load s | run s | write s | run and write s | CPU s | memory MB | file MB |", "|---|---|---|---|---|---|---|---|---|"]
    for (side, tokens), r in results.items():
        lines.append(f"| {side} | {tokens:,} | {r['load']:.1f} | {r['run']:.1f} | {r['write']:.1f} | {r['run'] + r['write']:.1f} | {r['cpu']:.1f} | {r['rss'] / 1e6:,.0f} | {r['file'] / 1e6:,.0f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--text")
    parser.add_argument("--tokens", default="4096", help="lengths, as 2048,4096")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", default="vitrine,eager,hooks")
    parser.add_argument("--flags", default="", help="more flags for `vitrine record`")
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "bin" / "vitrine"))
    parser.add_argument("--keep", help="a folder for the files, which go away otherwise")
    parser.add_argument("-o", "--output")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--ids", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker = {"eager": eager, "hooks": hooks}[arguments.worker]
        print(json.dumps(worker(arguments.model, [int(i) for i in arguments.ids.split(",")], arguments.threads, arguments.output)))
        return
    if not arguments.text:
        parser.error("--text: expected a file")
    results = {}
    with tempfile.TemporaryDirectory(dir=arguments.keep) as scratch:
        for tokens in map(int, arguments.tokens.split(",")):
            ids = token_ids(arguments.program, arguments.model, arguments.text, tokens)
            for side in arguments.sides.split(","):
                path = pathlib.Path(scratch) / f"{side}_{tokens}.h5"
                results[side, tokens] = measure(side, arguments, ids, path)
                if not arguments.keep:
                    path.unlink()
                print(f"{side}, {tokens}: {results[side, tokens]['wall']:.1f} s", file=sys.stderr)
    text = table(results, arguments)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
