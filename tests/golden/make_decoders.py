#!/usr/bin/env python3
"""Makes tiny random decoders of every architecture in several configurations, and what Hugging Face transformers computes with them.

Needs torch, transformers >= 5, safetensors and gguf; the tests need only the committed outputs:
    decoders/<name>/model/               config.json, model.safetensors (float32)
    decoders/<name>/model.gguf           the same weights as llama.cpp's converter lays them out, where it knows the architecture
    decoders/<name>/expected.safetensors input_ids (int32) and one float32 tensor for each hook name
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

from decoder_cases import CASES
from decoder_gguf import write_gguf
from decoder_taps import decoder_points

POSITIONS = 13  # odd, and no multiple of a vector register


def randomise(model, generator):
    """Weights large enough that attention is far from uniform; norms and biases that are not ones and zeros."""
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        is_norm = any(part in name.lower() for part in ("norm", "ln_", ".ln"))
        if value.dim() == 1:
            # Gemma keeps its norms less one.
            centre = 0.0 if "gemma" in model.config.model_type else 1.0
            value.data = centre + 0.2 * noise if is_norm and name.endswith("weight") else 0.1 * noise
        else:
            table = any(part in name for part in ("emb", "wte", "wpe", "lm_head"))
            value.data = noise * (0.5 if table else 1.4 / value.shape[-1] ** 0.5)


def build(case, seed, tapped="tapped"):
    """A model and ids of a case; `tapped` names the attention that is looked into where transformers takes one by name."""
    generator = torch.Generator().manual_seed(seed)
    config = case.config
    config._attn_implementation = tapped if not case.layout.scoring else "eager" if case.layout.reports else "sdpa"
    model = case.model(config).eval()
    randomise(model, generator)
    model.tie_weights()
    for layer, band in case.bands.items():
        model.transformer.h[layer].attn.band = band
    return model, torch.randint(0, config.vocab_size, (1, case.positions or POSITIONS), generator=generator)


def make(case, seed, target):
    model, ids = build(case, seed)
    target.mkdir(parents=True, exist_ok=True)
    (case.save or type(model).save_pretrained)(model, target / "model")
    (target / "model" / "generation_config.json").unlink(missing_ok=True)  # nothing of it is read
    if case.edit:  # another spelling of the same, as older versions wrote it
        path = target / "model" / "config.json"
        path.write_text(json.dumps(case.edit(json.loads(path.read_text())), indent=2) + "\n")
    if case.gguf:
        write_gguf(model, case.gguf, target / "model.gguf")
    with torch.no_grad():
        tensors = {key: value.to(torch.float32).contiguous().clone() for key, value in decoder_points(model, case.layout, ids).items()}
    tensors["input_ids"] = ids[0].to(torch.int32)
    save_file(tensors, target / "expected.safetensors")
    print(f"{target.name}: {sum(p.numel() for p in model.parameters())} parameters, {len(tensors) - 1} points")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "decoders")
    parser.add_argument("names", nargs="*", help="cases to make; all where none is named")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, case) in enumerate(CASES.items()):
        if not options.names or name in options.names:
            make(case, seed, options.output / name)


if __name__ == "__main__":
    main()
