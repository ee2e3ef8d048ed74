"""A loaded model."""
import json
from dataclasses import dataclass
from os import PathLike, fspath
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from . import _core
from ._core import Error, HookPoint
from .cache import ActivationCache
from .points import whole

Ids = Union[Sequence[int], np.ndarray]
Text = Union[str, Ids, Sequence[str], Sequence[Sequence[int]]]
Names = Union[str, Sequence[str], Callable[[str], bool]]
HookFunction = Callable[[np.ndarray, HookPoint], Any]
Hooks = Iterable[Tuple[Names, HookFunction]]
Option = Union[None, bool, float, str, Sequence[str]]


@dataclass
class Score:
    """log P(token | tokens before it) in nats, one number a token; NaN for the first, before which nothing stands."""
    ids: List[int]
    log_probabilities: np.ndarray

    @property
    def sum(self) -> float:
        return float(np.nansum(self.log_probabilities, dtype=np.float64))

    @property
    def tokens_scored(self) -> int:
        return int(np.isfinite(self.log_probabilities).sum())

    @property
    def perplexity(self) -> float:
        """NaN where no token has another before it."""
        return float(np.exp(-self.sum / self.tokens_scored)) if self.tokens_scored else float("nan")


@dataclass
class Generation:
    """A text's continuation; str() is its text (None of a model without a tokenizer)."""
    text: Optional[str]
    ids: List[int]
    log_probabilities: List[float]

    def __str__(self) -> str:
        return self.text if self.text is not None else " ".join(map(str, self.ids))


def _option(name: str, value: Option) -> Tuple[str, Union[float, List[str]]]:
    """As the command line has it: a number, or texts."""
    if isinstance(value, (bool, int, float, np.number)):
        return name.replace("_", "-"), float(value)
    return name.replace("_", "-"), [value] if isinstance(value, str) else [str(text) for text in value or ()]


def _ids(row: Any) -> List[int]:
    array = np.asarray(row)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise Error(f"tokens: expected whole numbers in one row, found shape {array.shape} of {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= 2**31):
        raise Error(f"tokens: expected ids from 0, found {array.min() if array.min() < 0 else array.max()}")
    return [int(token) for token in array]


def _batch(text: Text) -> List[Union[str, List[int]]]:
    """One item a sequence: a text, or ids."""
    if isinstance(text, str):
        return [text]
    rows = list(text)
    if not rows:
        raise Error("text: expected at least one token, found none")
    if all(isinstance(row, (int, np.integer)) for row in rows) or np.ndim(rows[0]) == 0 and not isinstance(rows[0], str):
        return [_ids(rows)]
    return [row if isinstance(row, str) else _ids(row) for row in rows]


def _one(text: Text) -> List[Union[str, List[int]]]:
    rows = _batch(text)
    if len(rows) != 1:
        raise Error(f"text: expected one, found {len(rows)}; give them one by one")
    return rows


class Model:
    """A model with everything that runs it; made by vitrine.load.

    Texts are a string, a row of token ids, or several of either, which then have the same number of tokens: the first axis of every
    array is the batch. Ids are used as they are; `bos` says whether a string gets a BOS ("auto": what the tokenizer declares, "yes",
    "no"). Of an encoder-decoder, texts are the encoder's; `decoder_ids` stand in the decoder (default: its start token). One call runs
    at a time, others wait; Ctrl-C ends it with KeyboardInterrupt. Whatever a user can cause raises vitrine.Error."""

    def __init__(self, core: _core.Model):
        self._core = core
        self.info = json.loads(core.info())  #: what `vitrine info --json` prints
        get = lambda name: self.info.get(name, self.info.get("decoder_" + name))
        #: sizes in TransformerLens' words
        self.spec = SimpleNamespace(
            model_name=self.info["name"] or self.info["architecture"], n_layers=get("blocks"), d_model=get("width"), n_heads=get("heads"),
            n_key_value_heads=get("kv_heads"), d_head=get("head_dim"), d_mlp=get("mlp_width"), d_vocab=self.info["vocabulary"],
            n_ctx=self.info["context"])

    @property
    def cfg(self) -> SimpleNamespace:
        """TransformerLens' word for `spec`."""
        return self.spec

    def __repr__(self) -> str:
        return f"<vitrine.Model {self.spec.model_name}: {self.spec.n_layers} layers, {self.spec.n_heads} heads, d_model {self.spec.d_model}>"

    def points(self) -> List[str]:
        """Every hook name of this model, in the order of the forward pass."""
        return self._core.points()

    # Text and tokens

    def to_tokens(self, text: Union[str, Sequence[str]], bos: str = "auto") -> np.ndarray:
        """Ids, int32 [batch, pos]."""
        rows = [self._core.encode(one, bos) for one in ([text] if isinstance(text, str) else text)]
        if len({len(row) for row in rows}) > 1:
            raise Error(f"text: expected texts of one number of tokens, found {[len(row) for row in rows]}; there is no padding")
        return np.array(rows, dtype=np.int32)

    def to_string(self, tokens: Any) -> Union[str, List[str]]:
        """The text of ids: a string for [pos] or a single id, a list of strings for [batch, pos]. Bytes that are no UTF-8 become U+FFFD."""
        array = np.atleast_1d(np.asarray(tokens))
        if array.ndim == 2:
            return [self.to_string(row) for row in array]
        return self._core.decode(_ids(array)).decode("utf-8", "replace")

    def to_str_tokens(self, text: Union[str, Ids], bos: str = "auto") -> List[str]:
        """What each token stands for."""
        ids = self._core.encode(text, bos) if isinstance(text, str) else _ids(np.asarray(text).reshape(-1))
        return [self._core.piece(token).decode("utf-8", "replace") for token in ids]

    def to_single_token(self, text: str) -> int:
        """The id of a text that is one token, as " Mary". @raises Error where it is more or fewer"""
        ids = self._core.encode(text, "no")
        if len(ids) != 1:
            raise Error(f"text {text!r}: expected one token, found {self.to_str_tokens(ids)}")
        return ids[0]

    # Running

    def logits(self, text: Text, *, bos: str = "auto", decoder_ids: Optional[Text] = None) -> np.ndarray:
        """Logits of every position, float32 [batch, pos, d_vocab]."""
        return self._run(text, bos, decoder_ids, logits="all")[0]

    __call__ = logits

    def record(self, text: Text, points: Names = "all", *, hooks: Hooks = (), observers: Hooks = (), bos: str = "auto",
               decoder_ids: Optional[Text] = None) -> ActivationCache:
        """Values of one pass by hook name, each copied once into a numpy array.

        points  full hook names (with *), the command line's short words ("resid_pre", "z", "default"; "all" are those without one
                column a key: name "pattern" and "scores" beside it), or a function of the name
        hooks   as in run_with_hooks: what is recorded is what they left"""
        return self._run(text, bos, decoder_ids, points=points, hooks=hooks, observers=observers)[1]

    def run_with_cache(self, text: Text, points: Names = ("all", "pattern", "scores"), *, hooks: Hooks = (), observers: Hooks = (),
                       bos: str = "auto", decoder_ids: Optional[Text] = None) -> Tuple[Optional[np.ndarray], ActivationCache]:
        """(logits, values) as TransformerLens returns them; logits are None of a model without a language-model head."""
        return self._run(text, bos, decoder_ids, points=points, hooks=hooks, observers=observers, logits=self._every_logit())

    def run_with_hooks(self, text: Text, hooks: Hooks = (), *, observers: Hooks = (), logits: Optional[str] = "all", bos: str = "auto",
                       decoder_ids: Optional[Text] = None) -> Optional[np.ndarray]:
        """Runs with functions at points; returns logits [batch, pos, d_vocab] ("last": of the last position alone, [batch, 1,
        d_vocab]; None: none).

        hooks      (names, f): f(value, point) gets a float32 array of its own, with the batch first, and the point (its name,
                   layer(), and which `batch` and `positions` the array is, as slices). What it leaves in the array, or another
                   array of the shape that it returns, is what the model goes on with.
        observers  the same, but may only look: the array is read-only, and the run is what it is without them.

        Texts of up to 512 tokens (of the batch together) come in one piece, longer ones in pieces of 512 positions, logits of 128;
        maps come one sequence at a time."""
        if logits == "all":
            logits = self._every_logit()
        return self._run(text, bos, decoder_ids, hooks=hooks, observers=observers, logits=logits or "none")[0]

    def score(self, text: Union[str, Ids], *, bos: str = "auto") -> Score:
        """Log-probabilities of a text's tokens."""
        ids, scores = self._core.score(_core.Texts(_one(text), [], bos))
        return Score(ids[0], scores[0])

    def generate(self, text: Union[str, Ids], max_tokens: int = 64, *, seed: int = 0, stop: Union[str, Sequence[str]] = (),
                 grammar: str = "", json_schema: Union[str, Dict[str, Any]] = "", json_object: bool = False, chat: bool = False,
                 search: str = "", samplers: str = "", defaults: str = "", hooks: Hooks = (), observers: Hooks = (), bos: str = "auto",
                 decoder_ids: Optional[Ids] = None, **options: Option) -> Generation:
        """Continues a text; without options by the likeliest token. Hooks see the prompt, then one position at a time.

        stop         texts that end what is made, and are cut off
        grammar      GBNF, a file of it, or a word of `vitrine list grammars`; json_schema is a schema or a file
        search       a word of `vitrine list searches`; without one it is what the options mean
        samplers     their order, with commas between them
        defaults     "model": what the model's files say where nothing else does
        options      those of `vitrine generate` with underscores: temperature=0.8, top_p=0.95, beams=4, bad_words=["a", "b"]"""
        request = _core.Continuation()
        request.max_tokens, request.seed, request.chat = whole("max_tokens", max_tokens), whole("seed", seed), chat
        request.search, request.samplers, request.defaults = search, samplers, defaults
        request.stop = [stop] if isinstance(stop, str) else list(stop)
        request.follow(grammar, json_schema if isinstance(json_schema, str) else json.dumps(json_schema), json_object)
        request.options = [_option(name, value) for name, value in options.items() if value is not None and value is not False]
        made, ids, log_probabilities = self._core.generate(self._texts(_one(text), bos, decoder_ids), request, self._hooks(hooks, observers))
        return Generation(None if made is None else made.decode("utf-8", "replace"), ids, log_probabilities)

    def record_to(self, path: Union[str, PathLike], text: Union[Text, Sequence[Text]], points: Names = "default", *,
                  attention: str = "factors", store: Union[str, Sequence[str]] = "auto", compress: str = "none", hooks: Hooks = (),
                  observers: Hooks = (), bos: str = "auto", decoder_ids: Optional[Text] = None) -> int:
        """Writes texts of any lengths into a recording (HDF5), as `vitrine record` does; returns its rows.

        attention  "factors" (any part of a map is rebuilt from them), "dense" (whole maps beside them) or "none"
        store      "auto" (each point in the type that computed it), "f32", "f16", "bf16", "int8", or several words as the command
                   takes them, ["auto", "resid_pre=int8"]
        compress   "none" or "gzip\""""
        return self._core.record_to(self._texts(text, bos, decoder_ids), self._hooks(hooks, observers), fspath(path), self._names(points),
                                    [store] if isinstance(store, str) else list(store), attention, compress)

    # What these share

    def _every_logit(self) -> str:
        return "all" if "logits" in self.points() or "decoder.logits" in self.points() else "none"

    def _names(self, names: Names) -> List[str]:
        if isinstance(names, str):
            return [names]
        if not callable(names):
            return list(names)
        chosen = [name for name in self.points() if names(name)]
        if not chosen:
            raise Error("points: expected a function that is true of some of the model's points, found none; see Model.points()")
        return chosen

    def _hooks(self, hooks: Hooks, observers: Hooks) -> List[_core.Hook]:
        found = []
        for writes, pairs in ((True, hooks), (False, observers)):
            for pair in pairs:
                if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not callable(pair[1]):
                    raise Error(f"hooks: expected pairs (names, function), found {pair!r}")
                found.append(_core.Hook(self._names(pair[0]), pair[1], writes))
        return found

    @staticmethod
    def _texts(text: Text, bos: str, decoder_ids: Optional[Text]) -> _core.Texts:
        decoder = [] if decoder_ids is None else _batch(decoder_ids)
        if any(isinstance(row, str) for row in decoder):
            raise Error("decoder_ids: expected token ids, found a text")
        return _core.Texts(_batch(text), decoder, bos)

    def _run(self, text: Text, bos: str, decoder_ids: Optional[Text], *, points: Names = (), hooks: Hooks = (), observers: Hooks = (),
             logits: str = "none") -> Tuple[Optional[np.ndarray], ActivationCache]:
        texts = self._texts(text, bos, decoder_ids)
        ids, source, numbers, values = self._core.run(texts, self._names(points), self._hooks(hooks, observers), logits)
        return numbers, ActivationCache(values, ids, self.spec.n_layers, source)


def load(path: Union[str, PathLike], precision: str = "exact", kernel: str = "auto", threads: Optional[int] = None, *,
         kv: Optional[str] = None, quiet: bool = True) -> Model:
    """Loads a GGUF file, a safetensors file, a Hugging Face folder, or "hf:NAME" of the local cache.

    precision  "exact" (f32 throughout; what published numbers are compared with), "fast" or "int8"
    kernel     an attention kernel, NAME[:key=value,...]; `vitrine list kernels`
    threads    default: the cores that this process may use
    kv         the key-value cache: "f32" (default under exact), "f16", "int8", "int4"
    quiet      False: progress goes to the terminal
    @raises Error where the file is no model, or the words are none"""
    return Model(_core.Model(fspath(path), precision, kernel, 0 if threads is None else whole("threads", threads, 1), kv or "", quiet))
