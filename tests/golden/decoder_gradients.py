"""Where the points of a decoder are in its modules, for gradient_taps.Graph."""
import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from decoder_taps import Scoring, module_at, rows, scores_of
from gradient_taps import Graph, gain_of

GRAPH = None  # of the run that is on
LAYERS = [0]  # how many attentions it has had


def tapped_gradients(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):
    layout, attn = GRAPH.layout, f"blocks.{LAYERS[0]}.attn."
    LAYERS[0] += 1
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    visible = attention_mask[0, 0] == 0
    if band := getattr(module, "band", 0):
        length = visible.shape[0]
        visible = visible & (torch.arange(length)[:, None] - torch.arange(length)[None, :] < band)
    by_row = lambda gradient: gradient[0].permute(1, 0, 2)
    scaled = query.shape[-1] ** -0.5 if layout.scaled_queries else 1.0
    query = GRAPH.keep(attn + "hook_rot_q", query, lambda gradient: by_row(gradient) * scaled)
    key = GRAPH.keep(attn + "hook_rot_k", key, by_row)
    scores, _ = scores_of(Scoring(query[0], key[0], scaling, None, softcap, visible))
    scores = GRAPH.keep(attn + "hook_attn_scores", scores)
    weights = GRAPH.keep(attn + "hook_pattern", torch.softmax(scores, -1))
    values = value[0].repeat_interleave(query.shape[1] // value.shape[1], dim=0)
    return torch.einsum("ihj,hjd->ihd", weights, values)[None], weights.permute(1, 0, 2)[None]


AttentionInterface.register("tapped_gradients", tapped_gradients)
AttentionMaskInterface.register("tapped_gradients", eager_mask)


def split_turn(layout, config, attn):
    def turn(gradient):
        q, k, v = layout.split(config, rows(gradient)[:, 0])
        return {attn + "hook_q": q, attn + "hook_k": k, attn + "hook_v": v}
    return turn


def on_norm(graph, name, module, kind, gemma):
    gain = gain_of(module, gemma) if kind == "rms" else 1.0
    graph.on(module, outputs=(name + "hook_normalized", lambda gradient: rows(gradient * gain)))


def on_heads(graph, name, module, gemma, heads):
    gain = gain_of(module, gemma)

    def turn(gradient):
        gradient = (gradient * gain)[0]
        return gradient.permute(1, 0, 2) if gradient.shape[0] == heads != gradient.shape[1] else gradient
    graph.on(module, outputs=(name + "hook_normalized", turn))


def on_mlp(graph, layout, layer, block):
    mlp = block + "mlp."
    if layout.router:
        graph.on(module_at(layer, layout.experts), outputs=(mlp + "hook_out", rows))
        return
    down = module_at(layer, layout.down)
    graph.on(down, inputs=(mlp + "hook_post", rows), outputs=(mlp + "hook_out", rows))
    pre = module_at(layer, layout.pre)
    if layout.linear == layout.pre:
        def halves(gradient):
            first, second = rows(gradient).chunk(2, dim=-1)
            return {mlp + "hook_pre": first, mlp + "hook_pre_linear": second}
        graph.on(pre, outputs=(mlp + "hook_pre", halves))
        return
    graph.on(pre, outputs=(mlp + "hook_pre", rows))
    if layout.linear:
        graph.on(module_at(layer, layout.linear), outputs=(mlp + "hook_pre_linear", rows))


def on_block(graph, model, layout, layer, index):
    config, block, attn = model.config, f"blocks.{index}.", f"blocks.{index}.attn."
    gemma = "gemma" in config.model_type
    graph.on(layer, inputs=(block + "hook_resid_pre", rows))
    if layout.split:
        graph.on(module_at(layer, layout.qkv[0]), outputs=(attn + "hook_q", split_turn(layout, config, attn)))
    else:
        heads = getattr(config, layout.heads)
        for name, path in zip("qkv", layout.qkv):
            module = module_at(layer, path)
            count = heads if name == "q" else getattr(config, "num_key_value_heads", None) or heads
            graph.on(module, outputs=(attn + f"hook_{name}", lambda gradient, count=count: rows(gradient, count)))
    for name in ("q_norm", "k_norm"):
        if path := getattr(layout, name):
            count = config.num_attention_heads if name == "q_norm" else config.num_key_value_heads
            on_heads(graph, f"{attn}{name}.", module_at(layer, path), gemma, count)
    graph.on(module_at(layer, layout.out), inputs=(attn + "hook_z", rows), outputs=(attn + "hook_out", rows))
    for name, path in (("ln1.", layout.ln1), ("ln2.", layout.ln2 if layout.placement != "shared" else ""), ("ln1_post.", layout.post1), ("ln2_post.", layout.post2)):
        if path:
            on_norm(graph, block + name, module_at(layer, path), layout.kind, gemma)
    on_mlp(graph, layout, layer, block)


def decoder_gradients(model, layout, ids):
    """hook name -> derivative [pos, heads, width], and the logits"""
    global GRAPH
    GRAPH, LAYERS[0] = Graph(), 0
    GRAPH.layout = layout
    GRAPH.on(module_at(model, layout.embed), outputs=("hook_embed", rows))
    if layout.positions:
        GRAPH.on(module_at(model, layout.positions), outputs=("hook_pos_embed", rows))
    for index, layer in enumerate(module_at(model, layout.layers)):
        on_block(GRAPH, model, layout, layer, index)
    if layout.final:
        on_norm(GRAPH, "ln_final.", module_at(model, layout.final), layout.kind, "gemma" in model.config.model_type)
    logits = model(ids).logits
    return GRAPH.gradients(logits[0]), logits[0].detach()
