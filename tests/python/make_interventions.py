#!/usr/bin/env python3
"""Makes tests/python/interventions.safetensors: logits of tests/golden/llama after interventions that torch made with its own hooks.

Needs torch, transformers >= 5 and safetensors; the test needs only the output, one float32 [pos, vocabulary] an intervention.
What each does is said once, in the function of its name, and again with this project's hooks in hooks_test.py.
"""
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers.models.llama import modeling_llama

HERE = pathlib.Path(__file__).resolve().parent
IDS = [3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8, 70, 1, 3]


def on_input(module, change):
    return module.register_forward_pre_hook(lambda _, args: (change(args[0].clone()),) + args[1:])


def on_output(module, change):
    return module.register_forward_hook(lambda _, args, out: change(out.clone()))


def zero_head(model):
    """Head 2 of block 0 puts out nothing."""
    size = model.config.head_dim

    def change(z):
        z[:, :, 2 * size : 3 * size] = 0
        return z
    return on_input(model.model.layers[0].self_attn.o_proj, change)


def steer(model):
    """0.5 is added to every other number of the residual stream before block 1."""
    def change(x):
        x[..., ::2] += 0.5
        return x
    return on_input(model.model.layers[1], change)


def silence_mlp(model):
    """The MLP of block 0 adds nothing at positions 4 to 6."""
    def change(x):
        x[:, 4:7] = 0
        return x
    return on_output(model.model.layers[0].mlp, change)


def scale_queries(model):
    """Queries of block 1 before they are rotated, times 1.5."""
    return on_output(model.model.layers[1].self_attn.q_proj, lambda q: q * 1.5)


def shift_keys(model):
    """Keys of block 1 are those of the position before (the first keeps its own)."""
    def change(k):
        k[:, 1:] = k[:, :-1].clone()
        return k
    return on_output(model.model.layers[1].self_attn.k_proj, change)


class Uniform:
    """Head 3 of block 1 looks at all that it may see alike."""

    def __init__(self, model):
        self.plain = modeling_llama.eager_attention_forward
        target = model.model.layers[1].self_attn

        def forward(module, query, key, value, mask, scaling, dropout=0.0, **kwargs):
            out, weights = self.plain(module, query, key, value, mask, scaling, dropout, **kwargs)
            if module is target:
                length = query.shape[2]
                uniform = torch.tril(torch.ones(length, length)) / torch.arange(1, length + 1)[:, None]
                shared = query.shape[1] // key.shape[1]
                out[:, :, 3] = uniform @ value[:, 3 // shared]
            return out, weights
        modeling_llama.eager_attention_forward = forward

    def remove(self):
        modeling_llama.eager_attention_forward = self.plain


def main():
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE.parent / "golden/llama/model", attn_implementation="eager", dtype=torch.float32)
    model.eval()
    cases = {"none": None, "zero_head": zero_head, "steer": steer, "silence_mlp": silence_mlp, "scale_queries": scale_queries, "shift_keys": shift_keys,
             "uniform_pattern": Uniform}
    out = {}
    with torch.no_grad():
        for name, place in cases.items():
            handle = place(model) if place else None
            out[name] = model(torch.tensor([IDS])).logits[0].clone()
            if handle:
                handle.remove()
                assert not torch.allclose(out[name], out["none"], atol=1e-3), name
    save_file(out, HERE / "interventions.safetensors")


if __name__ == "__main__":
    main()
