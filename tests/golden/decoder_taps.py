"""What transformers computes inside a decoder, by hook name.

A Layout names the modules of a family. Queries, keys, scale, cap and mask are those that the family hands to its attention function
(an implementation of our own is registered for it); the four families that have none of their own say how theirs come about.
Every value has the layout [pos, heads, width] with the axes that are 1 kept.
"""
import dataclasses
from collections.abc import Callable

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

Tensor = torch.Tensor


def first(value):
    return value[0] if isinstance(value, (tuple, list)) else value


def rows(value, heads=1):
    """[1, pos, heads * width] or [pos, heads * width] -> [pos, heads, width]"""
    value = value.detach()
    value = value[0] if value.dim() == 3 else value
    return value.reshape(value.shape[0], heads, -1).to(torch.float32).contiguous().clone()


@dataclasses.dataclass
class Scoring:
    """How one layer's scores come about; query, key, value [heads, pos, d] as multiplied, slopes [heads] of ALiBi."""
    query: Tensor
    key: Tensor
    scale: float
    value: Tensor | None = None
    cap: float | None = None
    visible: Tensor | None = None  # [pos, pos]
    slopes: Tensor | None = None


SEEN: list[Scoring] = []


def tapped_attention(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    visible = attention_mask[0, 0] == 0
    if band := getattr(module, "band", 0):
        length = visible.shape[0]
        visible = visible & (torch.arange(length)[:, None] - torch.arange(length)[None, :] < band)
    SEEN.append(Scoring(query[0].detach(), key[0].detach(), scaling, value[0].detach(), softcap, visible))
    scores, weights = scores_of(SEEN[-1])
    values = value[0].repeat_interleave(query.shape[1] // value.shape[1], dim=0)
    return torch.einsum("ihj,hjd->ihd", weights, values)[None], weights.permute(1, 0, 2)[None]


AttentionInterface.register("tapped", tapped_attention)
AttentionMaskInterface.register("tapped", eager_mask)


def scores_of(scoring):
    """Scores and weights [pos, heads, pos]; -inf where masked."""
    heads, length = scoring.query.shape[0], scoring.query.shape[1]
    keys = scoring.key.repeat_interleave(heads // scoring.key.shape[0], dim=0)
    scores = torch.einsum("hid,hjd->ihj", scoring.query, keys) * scoring.scale
    distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    if scoring.slopes is not None:
        scores = scores + scoring.slopes[None, :, None] * distance[:, None, :]
    if scoring.cap:
        scores = torch.tanh(scores / scoring.cap) * scoring.cap
    visible = distance <= 0 if scoring.visible is None else scoring.visible & (distance <= 0)
    scores = scores.masked_fill(~visible[:, None, :], float("-inf"))
    return scores, torch.softmax(scores, -1)


@dataclasses.dataclass
class Layout:
    """Module paths; '' where a family has none. Those of a layer are below the layer."""
    embed: str
    layers: str
    final: str = ""
    positions: str = ""
    ln1: str = "input_layernorm"
    ln2: str = "post_attention_layernorm"
    post1: str = ""
    post2: str = ""
    qkv: tuple[str, ...] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    q_norm: str = ""
    k_norm: str = ""
    out: str = "self_attn.o_proj"
    pre: str = "mlp.gate_proj"
    linear: str = "mlp.up_proj"  # the same as `pre`: one module, the gate's half first
    down: str = "mlp.down_proj"
    router: str = ""
    experts: str = ""
    kind: str = "rms"
    placement: str = "pre"  # post, parallel, shared
    heads: str = "num_attention_heads"
    split: Callable | None = None    # (config, fused [pos, n]) -> q, k, v [pos, heads, d]
    scaled_queries: bool = False     # whether the scale is in the queries that its attention function gets
    reports: bool = True             # whether its eager attention, which alone reports weights, is the right one
    scoring: Callable | None = None  # (model, i, q, k) -> Scoring, for a family with attention code of its own


def module_at(root, path):
    for name in path.split("."):
        root = root[int(name)] if name.isdigit() else getattr(root, name)
    return root


class Taps:
    """Keeps what goes in and out of modules."""

    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def on(self, name, module):
        def hook(_, args, kwargs, result):
            self.inputs[name] = args[0] if args else kwargs.get("hidden_states", kwargs.get("input"))
            self.outputs[name] = result.clone() if isinstance(result, Tensor) else result  # Falcon adds in place
        module.register_forward_hook(hook, with_kwargs=True)


def norm_points(x, module, kind):
    """TransformerLens' hook_scale and hook_normalized: rms before the weight, layer norm after weight and bias."""
    x = x.detach()
    x = x[0] if x.dim() == 3 else x
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if kind == "rms":
        scale = (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
        return scale[:, None].clone(), (x / scale)[:, None].clone()
    scale = (x.var(-1, keepdim=True, unbiased=False) + epsilon).sqrt()
    return scale[:, None].clone(), module(x).detach()[:, None].clone()


def head_norm_points(x, module):
    """x [pos, heads, d]"""
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    scale = (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
    return scale, x / scale


def attention_points(out, prefix, scoring, reported):
    scores, weights = scores_of(scoring)
    if reported is not None:
        assert torch.allclose(weights, reported[0].permute(1, 0, 2), atol=1e-5), prefix
    length = scores.shape[0]
    distance = (torch.arange(length)[None, :] - torch.arange(length)[:, None]).abs().float()
    out[prefix + "hook_rot_q"], out[prefix + "hook_rot_k"] = scoring.query.permute(1, 0, 2), scoring.key.permute(1, 0, 2)
    out[prefix + "hook_attn_scores"], out[prefix + "hook_pattern"] = scores, weights
    out[prefix + "hook_normalizer"] = torch.logsumexp(scores, -1)[..., None]
    out[prefix + "hook_row_stats"] = torch.stack([-torch.xlogy(weights, weights).sum(-1), (weights * distance[:, None, :]).sum(-1),
                                                  weights[..., 0]], -1)


class Observed:
    """One layer's taps under its layout."""

    def __init__(self, layout, layer, taps, index):
        self.layout, self.layer, self.taps, self.index = layout, layer, taps, index

    def took(self, path):
        return self.taps.inputs[f"{self.index}.{path}"]

    def gave(self, path):
        return first(self.taps.outputs[f"{self.index}.{path}"])

    def norm(self, out, name, path):
        out[name + "hook_scale"], out[name + "hook_normalized"] = norm_points(self.took(path), module_at(self.layer, path), self.layout.kind)


def q_k_v(seen, config):
    layout = seen.layout
    if layout.split:
        return layout.split(config, rows(seen.gave(layout.qkv[0]))[:, 0])
    heads = getattr(config, layout.heads)
    q = rows(seen.gave(layout.qkv[0]), heads)
    return q, *(rows(seen.gave(name)).reshape(q.shape[0], -1, q.shape[2]) for name in layout.qkv[1:])


def mlp_points(out, block, seen):
    layout, mlp = seen.layout, block + "mlp."
    if layout.router:
        logits, _, places = seen.taps.outputs[f"{seen.index}.{layout.router}"]
        out[mlp + "hook_router_logits"], out[mlp + "hook_expert_weights"] = rows(logits), rows(torch.softmax(logits, -1))
        out[mlp + "hook_expert_indices"] = rows(places.to(torch.float32))
        return rows(seen.gave(layout.experts))
    pre = rows(seen.gave(layout.pre))
    if layout.linear:
        halves = pre.chunk(2, dim=-1) if layout.linear == layout.pre else (pre, rows(seen.gave(layout.linear)))
        pre, out[mlp + "hook_pre_linear"] = halves[0].clone(), halves[1].clone()
    out[mlp + "hook_pre"], out[mlp + "hook_post"] = pre, rows(seen.took(layout.down))
    return rows(seen.gave(layout.down))


def block_points(out, model, seen, scoring, reported):
    layout, block, attn = seen.layout, f"blocks.{seen.index}.", f"blocks.{seen.index}.attn."
    resid = rows(seen.took(""))
    out[block + "hook_resid_pre"] = resid
    q, k, v = q_k_v(seen, model.config)
    out[attn + "hook_q"], out[attn + "hook_k"], out[attn + "hook_v"] = q, k, v
    for name, values in (("q_norm", q), ("k_norm", k)):
        if getattr(layout, name):
            module = module_at(seen.layer, getattr(layout, name))
            out[f"{attn}{name}.hook_scale"], out[f"{attn}{name}.hook_normalized"] = head_norm_points(values, module)
    scoring = scoring or layout.scoring(model, seen.index, q, k)
    attention_points(out, attn, scoring, reported)
    out[attn + "hook_z"] = rows(seen.took(layout.out), q.shape[1])
    out[attn + "hook_out"] = rows(seen.gave(layout.out))
    out[block + "hook_attn_out"] = rows(seen.gave(layout.post1)) if layout.post1 else out[attn + "hook_out"]
    middle = resid + out[block + "hook_attn_out"]
    seen.norm(out, block + "ln1.", layout.ln1)
    if layout.placement != "shared":
        seen.norm(out, block + "ln2.", layout.ln2)
    if layout.placement in ("pre", "post"):
        out[block + "hook_resid_mid"] = middle
    for name, path in (("ln1_post.", layout.post1), ("ln2_post.", layout.post2)):
        if path:
            seen.norm(out, block + name, path)
    out[block + "mlp.hook_out"] = mlp_points(out, block, seen)
    out[block + "hook_mlp_out"] = rows(seen.gave(layout.post2)) if layout.post2 else out[block + "mlp.hook_out"]
    base = rows(seen.gave(layout.ln1)) if layout.placement == "post" else middle
    post = base + out[block + "hook_mlp_out"]
    out[block + "hook_resid_post"] = post
    after = rows(module_at(seen.layer, layout.ln2)(post)[:, 0]) if layout.placement == "post" else post
    assert torch.allclose(after, rows(first(seen.gave(""))), atol=1e-4, rtol=1e-4), block


def decoder_points(model, layout, ids):
    taps, out = Taps(), {}
    taps.on("embed", module_at(model, layout.embed))
    for name in ("positions", "final"):
        if getattr(layout, name):
            taps.on(name, module_at(model, getattr(layout, name)))
    layers = module_at(model, layout.layers)
    paths = [layout.ln1, layout.ln2, layout.post1, layout.post2, *layout.qkv, layout.out, layout.pre, layout.linear, layout.down,
             layout.router, layout.experts]
    for i, layer in enumerate(layers):
        taps.on(f"{i}.", layer)
        for path in {path for path in paths if path}:
            if path in (layout.pre, layout.linear, layout.down) and layout.router or path == layout.ln2 and layout.placement == "shared":
                continue
            taps.on(f"{i}.{path}", module_at(layer, path))
    SEEN.clear()
    result = model(ids, output_attentions=layout.reports)
    for scoring in SEEN if layout.scaled_queries else []:
        scoring.scale = scoring.query.shape[2] ** -0.5
        scoring.query = scoring.query / scoring.scale
    out["hook_embed"] = rows(taps.outputs["embed"])
    if layout.positions:
        out["hook_pos_embed"] = rows(taps.outputs["positions"])
    for i, layer in enumerate(layers):
        block_points(out, model, Observed(layout, layer, taps, i), SEEN[i] if SEEN else None,
                     result.attentions[i] if layout.reports and result.attentions else None)
    if layout.final:
        out["ln_final.hook_scale"], out["ln_final.hook_normalized"] = norm_points(taps.inputs["final"], module_at(model, layout.final), layout.kind)
    out["logits"] = rows(result.logits)
    return out
