#!/usr/bin/env python3
"""Prunes tests/golden/llama with plain numpy forms of Wanda and SparseGPT, block by block, for tests/core/shortcuts/pruning_test.cpp.

Needs torch, transformers >= 5 and safetensors; the test needs only tests/golden/pruning/expected.safetensors:
    ids                        [texts, positions] of the calibration
    wanda/<case>/<tensor>      [rows, cols] 1 where a number stays
    sparsegpt/<case>/<tensor>  [rows, cols] the pruned weights
"""
import pathlib

import numpy
import torch
import transformers
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
TEXTS, POSITIONS = 5, 21
SHARE, BLOCK, DAMP = 0.5, 16, 0.01


def wanda(weights, inputs, group):
    """Sun et al. 2023: |W| * ||X||, lowest of each row (or of each group of `group` columns, half of which go)."""
    scores = numpy.abs(weights) * numpy.sqrt((inputs ** 2).sum(0))
    pruned = weights.copy()
    step = group or weights.shape[1]
    for begin in range(0, weights.shape[1], step):
        order = numpy.argsort(scores[:, begin:begin + step], axis=1, kind="stable")
        numpy.put_along_axis(pruned[:, begin:begin + step], order[:, :int(step * SHARE)], 0.0, axis=1)
    return pruned


def sparsegpt(weights, inputs, group):
    """Frantar & Alistarh 2023, algorithm 1, with the Hessian 2 X^T X / n."""
    weights = weights.copy()
    hessian = 2.0 / len(inputs) * inputs.T @ inputs
    dead = numpy.diag(hessian) == 0
    hessian[dead, dead] = 1
    weights[:, dead] = 0
    hessian += DAMP * numpy.mean(numpy.diag(hessian)) * numpy.eye(len(hessian))
    upper = numpy.linalg.cholesky(numpy.linalg.inv(hessian)).T
    for begin in range(0, weights.shape[1], BLOCK):
        end = min(begin + BLOCK, weights.shape[1])
        scores = weights[:, begin:end] ** 2 / numpy.diag(upper)[begin:end] ** 2
        gone = numpy.zeros_like(scores, dtype=bool)
        if not group:
            gone.flat[numpy.argsort(scores, axis=None, kind="stable")[:int(scores.size * SHARE)]] = True
        errors = numpy.zeros_like(scores)
        for c in range(begin, end):
            if group and c % group == 0:
                now = weights[:, c:c + group] ** 2 / numpy.diag(upper)[c:c + group] ** 2
                order = numpy.argsort(now, axis=1, kind="stable")[:, :group // 2]
                numpy.put_along_axis(gone[:, c - begin:c - begin + group], order, True, axis=1)
            kept = numpy.where(gone[:, c - begin], 0.0, weights[:, c])
            errors[:, c - begin] = (weights[:, c] - kept) / upper[c, c]
            weights[:, c:end] -= numpy.outer(errors[:, c - begin], upper[c, c:end])
            weights[:, c] = kept
        weights[:, end:] -= errors @ upper[begin:end, end:]
    return weights


def linears(layer):
    return {name: module for name, module in layer.named_modules() if isinstance(module, torch.nn.Linear)}


def run_layer(model, layer, stream):
    positions = torch.arange(stream.shape[1])[None]
    mask = torch.full((1, 1, stream.shape[1], stream.shape[1]), float("-inf"), dtype=stream.dtype).triu(1)
    with torch.no_grad():
        out = layer(stream, attention_mask=mask, position_ids=positions, position_embeddings=model.model.rotary_emb(stream, positions))
    return out[0] if isinstance(out, tuple) else out


def prune(method, group, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / "llama" / "model", dtype=torch.float64, attn_implementation="eager").eval()
    results = {}
    streams = [model.model.embed_tokens(torch.tensor(text)[None]).detach() for text in ids]
    for index, layer in enumerate(model.model.layers):
        inputs = {name: [] for name in linears(layer)}
        hooks = [module.register_forward_hook(lambda _, args, __, name=name: inputs[name].append(args[0][0].numpy())) for name, module in linears(layer).items()]
        for stream in streams:
            run_layer(model, layer, stream)
        for hook in hooks:
            hook.remove()
        for name, module in linears(layer).items():
            pruned = method(module.weight.detach().numpy(), numpy.concatenate(inputs[name]), group)
            module.weight.data = torch.tensor(pruned)
            results[f"model.layers.{index}.{name}.weight"] = pruned
        streams = [run_layer(model, layer, stream) for stream in streams]
    return results


def main():
    ids = numpy.random.default_rng(8).integers(3, 71, (TEXTS, POSITIONS)).astype(numpy.int32)
    tensors = {"ids": ids}
    for case, group in (("half", 0), ("2:4", 4)):
        for name, pruned in prune(wanda, group, ids).items():
            tensors[f"wanda/{case}/{name}"] = (pruned != 0).astype(numpy.int8)
        for name, pruned in prune(sparsegpt, group, ids).items():
            tensors[f"sparsegpt/{case}/{name}"] = pruned.astype(numpy.float32)
    save_file(tensors, HERE / "pruning" / "expected.safetensors")


if __name__ == "__main__":
    main()
