"""What the module's tests share: golden files, and how far two values may be apart."""
import json
import pathlib
import tempfile

import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
LLAMA = GOLDEN / "llama" / "model.gguf"
IDS = [3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8, 70, 1, 3]
TOLERANCE = 1e-5  # as tests/golden/golden_values.h


def read_safetensors(path):
    """{name: array}, without the package."""
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, start = json.loads(data[8 : 8 + length]), 8 + length
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "I32": np.int32}
    return {name: np.frombuffer(data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], types[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items()}


def relative_error(found, expected):
    """||a - b|| / ||b|| over finite entries; places of -inf must coincide."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(expected)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    assert np.array_equal(found[~finite], expected[~finite]), "places of -inf differ"
    return np.linalg.norm(found[finite] - expected[finite]) / max(np.linalg.norm(expected[finite]), 1e-30)


def folder():
    return tempfile.TemporaryDirectory(prefix="vitrine_python_")
