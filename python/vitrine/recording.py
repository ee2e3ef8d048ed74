"""Recordings read back."""
import json
from os import PathLike, fspath
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np

from . import _core
from ._core import Error
from .cache import Key, PointMapping
from .points import is_map, module_of, whole

_FACTORS = {"hook_rot_q": "q", "hook_rot_k": "k", "hook_normalizer": "normalizer"}


class RecordedSequence(PointMapping):
    """One sequence of a recording: arrays are read, or maps rebuilt from their factors, when they are asked for. Shapes as Model.record
    gives them, with a batch of 1."""

    def __init__(self, core: _core.Recording, index: int, layers: int):
        self._core, self._index, self._layers = core, index, layers
        self.tokens = np.array([core.tokens(index, False)[0]], dtype=np.int32)
        self.source_tokens = np.array([core.tokens(index, True)[0]], dtype=np.int32) if core.has_encoder() else None

    def names(self) -> List[str]:
        """Stored names, and those that are rebuilt from the factors of attention."""
        stored = self._core.names()
        rebuilt = [f"{module}.{hook}" for module in self._core.modules() for hook in (*_FACTORS, "hook_attn_scores", "hook_pattern")]
        return stored + [name for name in rebuilt if name not in stored]

    def _load(self, name: str) -> Optional[np.ndarray]:
        if name in self._core.names():
            return self._core.activation(name, self._index)
        if ".hook_" not in name or module_of(name) not in self._core.modules():
            return None
        module, hook = name.rsplit(".", 1)
        if hook in _FACTORS:
            return self._core.factor(module, _FACTORS[hook], self._index)
        if not is_map(name):
            return None
        heads = self._core.factor(module, "normalizer", self._index).shape[-1]
        maps = [self._core.map(module, head, self._index, None, None, hook == "hook_attn_scores") for head in range(heads)]
        return np.stack(maps)[None]

    def str_tokens(self) -> List[str]:
        """What each token stands for; empty strings where the model had no tokenizer."""
        return [piece.decode("utf-8", "replace") for piece in self._core.tokens(self._index, False)[1]]

    def log_probabilities(self) -> np.ndarray:
        """ln P(token | tokens before it), [pos], NaN for a first token; empty where none were recorded."""
        return self._core.log_probabilities(self._index)

    def __repr__(self) -> str:
        return f"<RecordedSequence {self._index} of {self.tokens.shape[1]} tokens, {len(self)} points>"


class Recording:
    """A file that `vitrine record` or Model.record_to wrote; nothing is read before it is asked for.

    run["blocks.3.hook_resid_pre"] and run["pattern", 5] are those of the only sequence; of several, run.sequence(2)[...]. `info` holds
    the model, the precision, the kernel and the provenance."""

    def __init__(self, path: Union[str, PathLike]):
        self.path = fspath(path)
        self._core = _core.Recording(self.path)
        self.info: Dict[str, Any] = json.loads(self._core.info())
        self.finished = self._core.finished()  #: False: still being written, or its writer was stopped

    def __len__(self) -> int:
        """How many sequences there are."""
        return self._core.sequences()

    def sequence(self, index: int) -> RecordedSequence:
        if whole("sequence", index) >= len(self):
            raise Error(f"{self.path}: expected a sequence below {len(self)}, found {index}")
        return RecordedSequence(self._core, index, self.info["blocks"])

    def _only(self) -> RecordedSequence:
        if len(self) != 1:
            raise Error(f"{self.path}: expected one sequence, found {len(self)}; use sequence(i)[...]")
        return self.sequence(0)

    def __getitem__(self, key: Key) -> np.ndarray:
        return self._only()[key]

    def __contains__(self, key: object) -> bool:
        return len(self) > 0 and key in self.sequence(0)

    def __iter__(self):
        return iter(self.names())

    def names(self) -> List[str]:
        """Every point, stored or rebuilt."""
        return self.sequence(0).names() if len(self) else self._core.names()

    def modules(self) -> List[str]:
        """Names of the attentions whose factors were recorded, in the order of the forward pass."""
        return self._core.modules()

    def _module(self, layer: Union[int, str]) -> str:
        """A name of modules(): given, or a layer's attention to its own text."""
        if isinstance(layer, str):
            return layer
        if whole("layer", layer) >= self.info["blocks"]:
            raise Error(f"layer: expected 0 to {self.info['blocks'] - 1}, found {layer}")
        return f"decoder.blocks.{layer}.attn" if self._core.has_encoder() else f"blocks.{layer}.attn"

    def pattern(self, layer: Union[int, str], head: int, sequence: int = 0, rows: Optional[Tuple[int, int]] = None,
                keys: Optional[Tuple[int, int]] = None) -> np.ndarray:
        """A part of one head's attention, [query, key]; rows and keys are (begin, end). Only that part is computed."""
        return self._part(layer, head, sequence, rows, keys, False)

    def scores(self, layer: Union[int, str], head: int, sequence: int = 0, rows: Optional[Tuple[int, int]] = None,
               keys: Optional[Tuple[int, int]] = None) -> np.ndarray:
        """The same before the softmax; -inf where masked."""
        return self._part(layer, head, sequence, rows, keys, True)

    def _part(self, layer, head, sequence, rows, keys, scores: bool) -> np.ndarray:
        parts = [part if part is None else (whole(name, part[0]), whole(name, part[1])) for name, part in (("rows", rows), ("keys", keys))]
        return self._core.map(self._module(layer), whole("head", head), whole("sequence", sequence), *parts, scores)

    def head_rows(self, threads: Optional[int] = None) -> List[Dict[str, Any]]:
        """What every head does, one dict a head, as `vitrine heads` prints it; None where a score is not defined on this text."""
        return self._core.head_rows(0 if threads is None else whole("threads", threads, 1))

    def head_table(self, threads: Optional[int] = None):
        """head_rows() as a pandas.DataFrame; NaN where a score is not defined."""
        try:
            import pandas
        except ImportError:
            raise Error("head_table: expected the package pandas, found none; install it, or use head_rows()") from None
        table = pandas.DataFrame(self.head_rows(threads))
        scores = [column for column in table.columns if column not in ("module", "layer", "head")]
        return table.astype({column: "float64" for column in scores})

    def to_xarray(self, names: Optional[List[str]] = None):
        """As ActivationCache.to_xarray, of the only sequence; stored points alone where no names are given."""
        return self._only().to_xarray(self._core.names() if names is None else names)

    def __repr__(self) -> str:
        return f"<Recording {self.path}: {self.info['model']}, {len(self)} sequence{'' if len(self) == 1 else 's'}>"


def open(path: Union[str, PathLike]) -> Recording:  # noqa: A001 - vitrine.open
    """Opens a recording. @raises Error where it is none"""
    return Recording(path)
