#!/usr/bin/env python3
"""Writes python.gguf: a control vector as llama.cpp's own Python package (gguf) makes it; `check FILE` reads one of ours with it."""
import sys
from pathlib import Path

import gguf
import numpy as np


def directions():
    return {block: (np.arange(5, dtype=np.float32) - 2) * block / 4 for block in (1, 2, 11)}


def write(path):
    writer = gguf.GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", 3)
    for block, numbers in directions().items():
        writer.add_tensor(f"direction.{block}", numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(path):
    reader = gguf.GGUFReader(path)
    assert bytes(reader.fields["general.architecture"].parts[-1]).decode() == "controlvector"
    print("model_hint", bytes(reader.fields["controlvector.model_hint"].parts[-1]).decode())
    print("layer_count", reader.fields["controlvector.layer_count"].parts[-1][0])
    for tensor in reader.tensors:
        print(tensor.name, tensor.tensor_type.name, tensor.data[:4], tensor.shape)


if __name__ == "__main__":
    check(sys.argv[2]) if sys.argv[1:2] == ["check"] else write(Path(__file__).parent / "python.gguf")
