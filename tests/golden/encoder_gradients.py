"""Where the points of encoders, encoder-decoders and XLNet are in their modules, for gradient_taps.Graph."""
from gradient_taps import Graph, gain_of
from make_encoder_decoders import bart_layers, t5_layers
from make_encoders import albert_layers, bert_layers, distilbert_layers, rows

import torch


def by_heads(heads):
    return lambda gradient: rows(gradient, heads)


class Calls:
    """How often a module was met before: shared ones are called again and again."""

    def __init__(self):
        self.met = {}

    def next(self, module):
        self.met[module] = self.met.get(module, -1) + 1
        return self.met[module]


def values_of(result, model):
    """What the golden test's objective is made of: logits of tokens, else what is read off, [rows, numbers]."""
    name = type(model).__name__
    if name == "ElectraForPreTraining":
        return result.logits[0][:, None]
    if getattr(result, "prediction_logits", None) is not None:
        return result.prediction_logits[0]
    if getattr(result, "logits", None) is not None:
        return result.logits[0] if result.logits.dim() == 3 else result.logits
    return result.pooler_output


def on_post_norm(graph, base):
    kind = base.config.model_type
    layers = albert_layers if kind == "albert" else distilbert_layers if kind == "distilbert" else bert_layers
    heads, calls = base.config.num_attention_heads, Calls()
    graph.on(base.embeddings.word_embeddings, outputs=("hook_embed", rows))
    graph.on(base.embeddings.position_embeddings, outputs=("hook_pos_embed", lambda gradient: rows(gradient if gradient.dim() == 3 else gradient[None])))
    projection = getattr(base, "embeddings_project", None) or getattr(getattr(base, "encoder", None), "embedding_hidden_mapping_in", None)
    first, call = projection or base.embeddings, 0
    for i, layer in enumerate(layers(base)):
        block, attn, mlp = f"blocks.{i}.", f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        graph.on(first, outputs=(block + "hook_resid_pre", rows), call=call)
        for name in "qkv":
            graph.on(layer[name], outputs=(attn + f"hook_{name}", by_heads(heads)), call=calls.next(layer[name]))
        graph.on(layer["attn"], inputs=(attn + "hook_z", by_heads(heads)), outputs=(attn + "hook_out", rows), call=calls.next(layer["attn"]))
        for ln, resid in (("ln1", "hook_resid_mid"), ("ln2", "hook_resid_post")):
            call = calls.next(layer[ln])
            graph.on(layer[ln], inputs=(block + resid, rows), outputs=(f"{block}{ln}.hook_normalized", rows), call=call)
        first = layer["ln2"]
        graph.on(layer["up"], outputs=(mlp + "hook_pre", rows), call=calls.next(layer["up"]))
        graph.on(layer["down"], inputs=(mlp + "hook_post", rows), outputs=(mlp + "hook_out", rows), call=calls.next(layer["down"]))


def on_attention(graph, prefix, attention):
    for name in "qkv":
        graph.on(attention[name], outputs=(prefix + f"hook_{name}", by_heads(attention["heads"])))
    graph.on(attention["out"], inputs=(prefix + "hook_z", by_heads(attention["heads"])), outputs=(prefix + "hook_out", rows))


def on_norm(graph, name, module):
    gain = 1.0 if isinstance(module, torch.nn.LayerNorm) else gain_of(module, False)
    graph.on(module, outputs=(name + "hook_normalized", lambda gradient: rows(gradient * gain)))


def on_stack(graph, name, layers, post):
    before = None
    prefix = f"{name}." if name else ""
    for i, layer in enumerate(layers):
        block = f"{prefix}blocks.{i}."
        if not post:
            graph.on(layer["ln1"], inputs=(block + "hook_resid_pre", rows))
        elif before is not None:
            graph.on(before, outputs=(block + "hook_resid_pre", rows))
        on_attention(graph, block + "attn.", layer["self"])
        on_norm(graph, block + "ln1.", layer["ln1"])
        last = "ln3." if layer["cross"] is not None else "ln2."
        if layer["cross"] is not None:
            on_attention(graph, block + "cross_attn.", layer["cross"])
            on_norm(graph, block + "ln2.", layer["ln2"])
        if post:
            graph.on(layer["ln1"], inputs=(block + "hook_resid_mid", rows))
            graph.on(layer["ln3"], inputs=(block + "hook_resid_post", rows))
        else:
            graph.on(layer["ln2"] if layer["cross"] is not None else layer["ln3"], inputs=(block + "hook_resid_mid", rows))
            if layer["cross"] is not None:
                graph.on(layer["ln3"], inputs=(block + "hook_resid_mid_cross", rows))
        on_norm(graph, block + last, layer["ln3"])
        mlp = block + "mlp."
        graph.on(layer["gate"] or layer["up"], outputs=(mlp + "hook_pre", rows))
        if layer["gate"] is not None:
            graph.on(layer["up"], outputs=(mlp + "hook_pre_linear", rows))
        graph.on(layer["down"], inputs=(mlp + "hook_post", rows), outputs=(mlp + "hook_out", rows))
        before = layer["ln3"]


def on_encoder_decoder(graph, model):
    is_t5 = model.config.model_type in ("t5", "mt5")
    base = model.transformer if hasattr(model, "transformer") else model if is_t5 else model.model
    for name in ("encoder", "decoder"):
        stack = getattr(base, name, None)
        if stack is None:
            continue
        only = not hasattr(base, "decoder")
        on_stack(graph, "" if only else name, list((t5_layers if is_t5 else bart_layers)(stack)), model.config.model_type in ("bart", "marian"))
        final = stack.final_layer_norm if is_t5 else getattr(stack, "layer_norm", None)
        if final is not None:
            on_norm(graph, "ln_final." if only else f"{name}.ln_final.", final)


def on_xlnet(graph, base, streams):
    turn = lambda gradient: rows(gradient.permute(1, 0, 2))  # [pos, 1, width]
    graph.on(base.word_embedding, outputs=("hook_embed", turn))
    for i, layer in enumerate(base.layer):
        for call, stream in enumerate(streams):
            block = f"{stream}blocks.{i}."
            graph.on(layer.rel_attn.layer_norm, inputs=(block + "hook_resid_mid", turn), outputs=(block + "ln1.hook_normalized", turn), call=call)
            call = len(streams) - 1 - call  # the query stream's MLP comes first
            graph.on(layer.ff.layer_1, outputs=(block + "mlp.hook_pre", turn), call=call)
            graph.on(layer.ff.layer_2, inputs=(block + "mlp.hook_post", turn), outputs=(block + "mlp.hook_out", turn), call=call)
            graph.on(layer.ff.layer_norm, inputs=(block + "hook_resid_post", turn), call=call)


def gradients(model, inputs):
    """hook name -> derivative [pos, heads, width]; the numbers that the objective is made of [rows, numbers]"""
    graph, kind = Graph(), model.config.model_type
    keywords = {"input_ids": inputs["input_ids"]}
    if kind == "xlnet":
        base, count, targets = model.transformer, inputs["input_ids"].shape[1], inputs.get("targets")
        on_xlnet(graph, base, ("", "query.") if targets is not None else ("",))
        if "token_types" in inputs:
            keywords["token_type_ids"] = inputs["token_types"]
        if "allowed" in inputs:
            keywords["perm_mask"] = 1.0 - inputs["allowed"][None].float()
        if targets is not None:
            keywords["target_mapping"] = torch.zeros(1, len(targets), count)
            keywords["target_mapping"][0, torch.arange(len(targets)), targets] = 1
        keywords["use_mems"] = False
    elif hasattr(model, "encoder") and hasattr(model.encoder, "layer") or kind in ("bert", "roberta", "electra", "distilbert", "albert"):
        on_post_norm(graph, getattr(model, model.base_model_prefix, model))
        if "token_types" in inputs:
            keywords["token_type_ids"] = inputs["token_types"]
    else:
        on_encoder_decoder(graph, model)
        if "decoder_input_ids" in inputs and not type(model).__name__.endswith("Classification"):
            keywords.update(decoder_input_ids=inputs["decoder_input_ids"], use_cache=False)
    values = values_of(model(**keywords), model)
    return graph.gradients(values), values.detach()
