"""Hook names and the names of their axes."""
import operator
import re
from typing import Any, Optional, Tuple

from ._core import Error

_ALIASES = {"attn": "pattern", "attn_logits": "attn_scores", "scores": "attn_scores", "query": "q", "key": "k", "value": "v",
            "mlp_pre": "pre", "mlp_post": "post", "mlp_pre_linear": "pre_linear", "attn_module_out": "attn.hook_out", "mlp_module_out": "mlp.hook_out"}
_ATTENTION = {"q", "k", "v", "z", "rot_q", "rot_k", "pattern", "attn_scores", "normalizer", "threshold", "row_stats"}
_MLP = {"pre", "pre_linear", "post", "router_logits", "expert_weights", "expert_indices"}
_BLOCK = {"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"}
_NORM = {"scale", "normalized"}


def act_name(name: str, layer: Optional[int] = None, layer_type: Optional[str] = None) -> str:
    """The full hook name: ("pattern", 5) is "blocks.5.attn.hook_pattern", ("scale", 2, "ln1") "blocks.2.ln1.hook_scale", ("scale",)
    "ln_final.hook_scale". A full name stands for itself. @raises Error where the words name nothing"""
    if "hook_" in name or name == "logits":
        return name
    short = _ALIASES.get(name, name)
    if short in _NORM and layer is None:
        return f"ln_final.hook_{short}"
    if short in ("embed", "pos_embed"):
        return f"hook_{short}"
    if layer is None:
        raise Error(f"point {name!r}: expected a layer beside it, found none; as cache[{name!r}, 5]")
    prefix = f"blocks.{layer}."
    if short in _NORM:
        if layer_type not in ("ln1", "ln2", "ln3", "ln1_post", "ln2_post", "q_norm", "k_norm"):
            raise Error(f"point {name!r}: expected \"ln1\", \"ln2\", ... behind the layer, found {layer_type!r}; as cache[{name!r}, 5, \"ln1\"]")
        return prefix + ("attn." if layer_type in ("q_norm", "k_norm") else "") + f"{layer_type}.hook_{short}"
    if short in _ATTENTION:
        return f"{prefix}attn.hook_{short}"
    if short in _MLP:
        return f"{prefix}mlp.hook_{short}"
    if short in _BLOCK:
        return f"{prefix}hook_{short}"
    if short.endswith(".hook_out"):
        return prefix + short
    raise Error(f"point {name!r}: expected a full hook name or a short one such as \"resid_pre\", found neither; see Model.points()")


def whole(name: str, value: Any, least: int = 0) -> int:
    """The number that an argument is. @raises Error where it is none, or too small"""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise Error(f"{name}: expected a whole number from {least}, found {value!r}")
    return number


def is_map(name: str) -> bool:
    """Whether a value has one column a key, [batch, head, query, key]."""
    return name.endswith(("attn.hook_pattern", "attn.hook_attn_scores"))


def module_of(name: str) -> str:
    """The attention that a point lies in: "blocks.3.attn"."""
    return name[: name.rindex(".hook_")]


_LAST_AXIS = {"hook_scale": "one", "hook_pre": "d_mlp", "hook_pre_linear": "d_mlp", "hook_post": "d_mlp", "hook_router_logits": "expert",
              "hook_expert_weights": "expert", "hook_expert_indices": "choice", "hook_row_stats": "statistic", "logits": "d_vocab"}


def axes(name: str, rank: int) -> Tuple[str, ...]:
    """Names of a value's axes. Positions of an encoder-decoder's source are an axis of their own, as are heads that keys share."""
    of_source = name.startswith("encoder.") or re.search(r"cross_attn\.hook_(k|v|rot_k)$", name) is not None
    if is_map(name):
        key = "source_key" if of_source or "cross_attn" in name else "key"
        return ("batch", "head", "source_query" if of_source else "query", key)
    position = "source_pos" if of_source else "pos"
    of_keys = re.search(r"attn\.(hook_(k|v|rot_k)|k_norm\.hook_\w+)$", name) is not None
    head = "kv_head" if of_keys else "head"
    if name.endswith(("hook_normalizer", "hook_threshold")):
        return ("batch", position, head)
    last = _LAST_AXIS.get(name.rsplit(".", 1)[-1], "d_head" if rank == 4 else "d_embed" if name.endswith("_embed") else "d_model")
    return ("batch", position, head, last) if rank == 4 else ("batch", position, last)
