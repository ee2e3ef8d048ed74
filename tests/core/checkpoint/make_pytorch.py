#!/usr/bin/env python3
"""Writes pytorch/*.bin, small state dictionaries as torch.save writes them, and pytorch/expected.safetensors, the same tensors
contiguous, for pytorch_test.cpp. Needs torch and safetensors."""
import collections
import pathlib

import torch
from safetensors.torch import save_file

folder = pathlib.Path(__file__).parent / "pytorch"
folder.mkdir(exist_ok=True)
torch.manual_seed(3)

shared = torch.randn(5, 6)
grid = torch.randn(4, 3, 5)
state = collections.OrderedDict()
state["f32"] = torch.randn(3, 7)
state["f16"] = torch.randn(2, 5).to(torch.float16)
state["bf16"] = torch.randn(2, 3, 4).to(torch.bfloat16)
state["f64"] = torch.randn(4, dtype=torch.float64)
state["i64"] = torch.arange(-3, 3)
state["i32"] = torch.arange(4, dtype=torch.int32)
state["i16"] = torch.arange(4, dtype=torch.int16)
state["i8"] = torch.arange(-2, 3, dtype=torch.int8)
state["flags"] = torch.tensor([True, False, True])
state["scalar"] = torch.tensor(2.5)
state["empty"] = torch.zeros(0, 3)
state["shared"] = shared
state["shared_again"] = shared
state["rows_2_to_4"] = shared[2:4]
state["transposed"] = shared.t()
state["columns"] = shared[:, 1:4]
state["every_other"] = grid[::2, :, ::2].permute(2, 0, 1)
state["expanded_position_ids"] = torch.arange(9).expand((1, -1))
state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
state["bert.LayerNorm.gamma"] = torch.randn(3)
state["bert.LayerNorm.beta"] = torch.randn(3)
state._metadata = {"": {"version": 1}}

torch.save(state, folder / "zip.bin")
torch.save(state, folder / "old.bin", _use_new_zipfile_serialization=False)
torch.save(state, folder / "protocol4.bin", pickle_protocol=4)
torch.save({"epoch": 3, "state_dict": state, "best": 0.5, "name": "a", "none": None}, folder / "wrapped.bin")

names = {"bert.LayerNorm.gamma": "bert.LayerNorm.weight", "bert.LayerNorm.beta": "bert.LayerNorm.bias"}
expected = {names.get(name, name): tensor.detach().clone().contiguous() for name, tensor in state.items() if tensor.numel() > 0}
save_file(expected, folder / "expected.safetensors")
