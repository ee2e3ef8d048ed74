"""Values by hook name."""
from collections.abc import Mapping
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from ._core import Error
from .points import act_name, axes

Key = Union[str, Tuple[Any, ...]]


class PointMissing(Error, KeyError):
    """A point that is not among the values."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would quote it


class PointMapping(Mapping):
    """Arrays by hook name or by (short name, layer[, norm]): values["blocks.3.attn.hook_z"], values["z", 3], values["scale", -1, "ln2"].

    `tokens` are the ids, [batch, pos]; of an encoder-decoder the decoder's, and `source_tokens` the encoder's."""

    tokens: np.ndarray
    source_tokens: Optional[np.ndarray]
    _layers: int

    def names(self) -> List[str]:
        """Every name there is, in the order of the forward pass where that is known."""
        raise NotImplementedError

    def _load(self, name: str) -> Optional[np.ndarray]:
        raise NotImplementedError

    def _resolve(self, key: Key) -> str:
        if isinstance(key, str):
            return act_name(key)
        if not isinstance(key, tuple) or not key or not isinstance(key[0], str):
            raise Error(f"point {key!r}: expected a hook name or (name, layer), found neither")
        layer = key[1] if len(key) > 1 else None
        if isinstance(layer, (int, np.integer)) and not isinstance(layer, bool):
            if not -self._layers <= layer < self._layers:
                raise Error(f"layer: expected {-self._layers} to {self._layers - 1}, found {layer}")
            layer = int(layer) % self._layers
        elif layer is not None:
            raise Error(f"layer: expected a whole number, found {layer!r}")
        return act_name(key[0], layer, *key[2:])

    def __getitem__(self, key: Key) -> np.ndarray:
        name = self._resolve(key)
        value = self._load(name)
        if value is None:
            raise PointMissing(f"point {name!r}: expected one that was recorded, found {len(self)} others; name it in `points`, see names()")
        return value

    def __contains__(self, key: object) -> bool:
        try:
            return self._resolve(key) in self.names()  # type: ignore[arg-type]
        except Error:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def stack(self, name: str, layer_type: Optional[str] = None) -> np.ndarray:
        """One point of every layer, [layer, batch, ...]."""
        return np.stack([self[name, layer, layer_type] if layer_type else self[name, layer] for layer in range(self._layers)])

    def to_xarray(self, names: Optional[List[str]] = None):
        """An xarray.Dataset of all values, or of those named, with named axes; token ids are the variable "tokens"."""
        try:
            import xarray
        except ImportError:
            raise Error("to_xarray: expected the package xarray, found none; install it, or use the arrays as they are") from None
        variables: Dict[str, Any] = {"tokens": (("batch", "pos"), self.tokens)}
        if self.source_tokens is not None:
            variables["source_tokens"] = (("batch", "source_pos"), self.source_tokens)
        for name in self.names() if names is None else names:
            array = self[name]
            variables[self._resolve(name)] = (axes(self._resolve(name), array.ndim), array)
        dataset = xarray.Dataset(variables)
        if "statistic" in dataset.dims:
            dataset = dataset.assign_coords(statistic=["entropy", "distance", "first_key"])
        return dataset


class ActivationCache(PointMapping):
    """What Model.record returns: numpy arrays in memory."""

    def __init__(self, values: Dict[str, np.ndarray], tokens: Any, layers: int, source_tokens: Any = None):
        self._values, self._layers = values, layers
        self.tokens = np.asarray(tokens, dtype=np.int32)
        self.source_tokens = None if source_tokens is None else np.asarray(source_tokens, dtype=np.int32)

    def names(self) -> List[str]:
        return list(self._values)

    def _load(self, name: str) -> Optional[np.ndarray]:
        return self._values.get(name)

    def remove_batch_dim(self) -> "ActivationCache":
        """The same without the first axis. @raises Error where it is longer than 1"""
        if len(self.tokens) != 1:
            raise Error(f"remove_batch_dim: expected a batch of 1, found {len(self.tokens)}")
        return ActivationCache({name: value[0] for name, value in self._values.items()}, self.tokens, self._layers, self.source_tokens)

    def __repr__(self) -> str:
        size = sum(value.nbytes for value in self._values.values())
        return f"<ActivationCache of {len(self)} points, {self.tokens.shape[0]} x {self.tokens.shape[1]} tokens, {size / 1e6:.1f} MB>"
