"""The model that the notebooks look at: a real one where there is one, else the tiny random one of the tests.

VITRINE_MODELS names the folder of real models (scripts/fetch-demo-model fills the default one). VITRINE_EXAMPLE_FILES may name files of
one model in several weight types, separated by ':', the most exact first.
"""
import os
import pathlib
from dataclasses import dataclass
from typing import List, Tuple

import vitrine

TINY = pathlib.Path(__file__).resolve().parents[1] / "tests" / "golden" / "llama" / "model.gguf"


def model_file() -> pathlib.Path:
    folder = pathlib.Path(os.environ.get("VITRINE_MODELS", "~/.cache/vitrine")).expanduser()
    found = sorted(folder.rglob("*SmolLM2-135M*.gguf"), key=lambda file: ("nstruct" in file.name, file))
    return found[0] if found else TINY


def is_real(model: vitrine.Model) -> bool:
    return model.info["tokenizer"] is not None


@dataclass
class Pair:
    """Two prompts of one length that differ in a name, and what should follow each."""
    clean: List[int]
    corrupt: List[int]
    answer: int  # of the clean prompt
    wrong: int   # of the corrupt one


def prompts(model: vitrine.Model) -> Pair:
    if not is_real(model):  # no tokenizer: ids
        clean = [3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8]
        return Pair(clean, clean[:4] + [20] + clean[5:], 7, 11)
    text = "When Mary and John went to the store, {} gave a bottle of milk to"
    clean, corrupt = (model.to_tokens(text.format(name))[0].tolist() for name in ("John", "Mary"))
    return Pair(clean, corrupt, model.to_single_token(" Mary"), model.to_single_token(" John"))


def labels(model: vitrine.Model, ids: List[int]) -> List[str]:
    """What is written beside the positions of a plot."""
    return model.to_str_tokens(ids) if is_real(model) else [str(token) for token in ids]


def variants() -> List[Tuple[str, vitrine.Model]]:
    """(name, model) of one model computed in several ways, the reference first."""
    files = [pathlib.Path(name) for name in os.environ.get("VITRINE_EXAMPLE_FILES", "").split(":") if name]
    if len(files) > 1:
        return [(file.stem.split(".")[-1], vitrine.load(file)) for file in files]
    file = model_file()
    return [("exact", vitrine.load(file)), ("fast", vitrine.load(file, precision="fast")), ("fast, int8 cache", vitrine.load(file, precision="fast", kv="int8"))]
