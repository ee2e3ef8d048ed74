#!/usr/bin/env python3
"""Derivatives at the points of the tiny models of this folder, by torch's autograd through Hugging Face transformers:

    <group>/<name>/gradients.json   of each hook name [norm, products with SIGNS vectors of signs] (gradient_taps.py)

The models are made again by their seeds; their logits must be those of expected.safetensors. Needs torch, transformers >= 5,
safetensors and gguf; the tests need only the committed outputs.
"""
import argparse
import pathlib

import torch
from safetensors.torch import load_file

import make_encoder_decoders
import make_encoders
import make_xlnet
from decoder_cases import CASES
from decoder_gradients import decoder_gradients
from encoder_gradients import gradients
from gradient_taps import write
from make_decoders import build

HERE = pathlib.Path(__file__).resolve().parent


def decoder(case, seed, folder):
    model, ids = build(case, seed, "tapped_gradients")
    gradients, logits = decoder_gradients(model, case.layout, ids)
    expected = load_file(folder / "expected.safetensors")
    assert torch.equal(expected["input_ids"].long(), ids[0]), folder
    assert torch.allclose(expected["logits"][:, 0], logits, atol=1e-4, rtol=1e-4), folder
    write(folder, gradients)


def beside(kind, folder):
    """Of an encoder, encoder-decoder or XLNet whose weights and inputs lie in the folder."""
    expected = load_file(folder / "expected.safetensors")
    model = kind.from_pretrained(folder / "model", attn_implementation="eager").eval()
    inputs = {name: value.long() for name, value in expected.items() if value.dtype == torch.int32 and name != "generated"}
    inputs = {name: value[None] if name in ("input_ids", "token_types", "decoder_input_ids") else value for name, value in inputs.items()}
    found, values = gradients(model, inputs)
    reference = next(expected[name] for name in ("logits", "readout.labels", "readout.pooled") if name in expected)
    assert torch.allclose(reference.reshape(values.shape), values, atol=1e-4, rtol=1e-4), folder
    write(folder, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; all where none is named")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, case) in enumerate(CASES.items()):
        if not options.names or name in options.names:
            decoder(case, seed, HERE / "decoders" / name)
    for group, all_models in (("encoders", make_encoders.models), ("encoders", make_xlnet.models), ("encoder_decoders", make_encoder_decoders.models)):
        for name, kind, *_ in all_models():
            if (not options.names or name in options.names) and (HERE / group / name / "model").is_dir() and name != "bert_gguf":
                beside(kind, HERE / group / name)


if __name__ == "__main__":
    main()
