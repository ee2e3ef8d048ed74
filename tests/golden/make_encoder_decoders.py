#!/usr/bin/env python3
"""Tiny random encoder-decoders and what Hugging Face transformers computes with them, as make_encoders.py does for encoders.

    tests/golden/encoder_decoders/<name>/model/               config.json, generation_config.json, model.safetensors (float32)
    tests/golden/encoder_decoders/<name>/expected.safetensors input_ids, decoder_input_ids, generated (int32): 12 greedy tokens;
                                                              one float32 tensor for each hook name
Needs torch, transformers >= 5, safetensors and gguf.
"""
import argparse
import pathlib

import gguf
import torch
import transformers
from safetensors.torch import save_file

from make_encoders import Calls, attention_points, norm_points, rows, write_out

SOURCE, TARGET, GENERATED = 11, 7, 12


def scores_of(q, k, scale, causal, bias=None):
    """[heads, q, k]"""
    scores = torch.einsum("ihd,jhd->hij", q, k) * scale
    if bias is not None:
        scores = scores + bias
    if causal:
        count, keys = scores.shape[1:]
        scores = scores.masked_fill(torch.arange(keys)[None, :] > torch.arange(count)[:, None], float("-inf"))
    return scores


def attend(out, prefix, calls, attention, pattern, scale, causal, bias=None):
    """Points of one attention module; `attention` names its projections."""
    heads = attention["heads"]
    q, k, v = (rows(calls.outputs[attention[name]][0], heads) for name in "qkv")
    out[prefix + "hook_q"], out[prefix + "hook_k"], out[prefix + "hook_v"] = q, k, v
    attention_points(out, prefix, scores_of(q, k, scale, causal, bias), pattern[0], q, k)
    out[prefix + "hook_z"] = rows(calls.inputs[attention["out"]][0], heads)
    out[prefix + "hook_out"] = rows(calls.outputs[attention["out"]][0])


def stack_points(out, stack, layers, calls, patterns, cross_patterns, post):
    """Blocks of one stack. layers: dicts of self, cross (or None), ln1, ln2 (cross), ln3, gate (or None), up, down, scale, bias."""
    took, gave = lambda module: calls.inputs[module][0], lambda module: calls.outputs[module][0]
    causal = stack == "decoder"
    last = "ln3." if causal else "ln2."
    for i, layer in enumerate(layers):
        block = f"{stack}.blocks.{i}."
        own, cross = layer["self"], layer["cross"]
        resid = rows(took(own["q"])) if post else rows(took(layer["ln1"]))
        out[block + "hook_resid_pre"] = resid
        attend(out, block + "attn.", calls, own, patterns[i], layer["scale"], causal, layer["bias"])
        out[block + "hook_attn_out"] = out[block + "attn.hook_out"]
        mid = resid + out[block + "hook_attn_out"]
        out[block + "hook_resid_mid"] = mid
        norm_points(out, block + "ln1.", (mid if post else resid)[:, 0], layer["ln1"])
        base = rows(layer["ln1"](mid[:, 0])) if post else mid
        if cross is not None:
            attend(out, block + "cross_attn.", calls, cross, cross_patterns[i], layer["scale"], False)
            out[block + "hook_cross_attn_out"] = out[block + "cross_attn.hook_out"]
            total = base + out[block + "hook_cross_attn_out"]
            out[block + "hook_resid_mid_cross"] = total
            norm_points(out, block + "ln2.", (total if post else base)[:, 0], layer["ln2"])
            base = rows(layer["ln2"](total[:, 0])) if post else total
        mlp = block + "mlp."
        out[mlp + "hook_pre"] = rows(gave(layer["gate"] or layer["up"]))
        if layer["gate"] is not None:
            out[mlp + "hook_pre_linear"] = rows(gave(layer["up"]))
        out[mlp + "hook_post"] = rows(took(layer["down"]))
        out[mlp + "hook_out"] = out[block + "hook_mlp_out"] = rows(gave(layer["down"]))
        end = base + out[mlp + "hook_out"]
        out[block + "hook_resid_post"] = end
        norm_points(out, block + last, (end if post else base)[:, 0], layer["ln3"])
    return end


def bart_layers(stack):
    for layer in stack.layers:
        def of(attention):
            return dict(q=attention.q_proj, k=attention.k_proj, v=attention.v_proj, out=attention.out_proj, heads=attention.num_heads)
        cross = getattr(layer, "encoder_attn", None)
        yield dict(self=of(layer.self_attn), cross=of(cross) if cross else None, ln1=layer.self_attn_layer_norm,
                   ln2=layer.encoder_attn_layer_norm if cross else None, ln3=layer.final_layer_norm, gate=None, up=layer.fc1,
                   down=layer.fc2, scale=layer.self_attn.scaling, bias=None)


def t5_layers(stack):
    bias_of = stack.block[0].layer[0].SelfAttention
    for block in stack.block:
        def of(attention):
            return dict(q=attention.q, k=attention.k, v=attention.v, out=attention.o, heads=attention.n_heads)
        cross, mlp = (block.layer[1] if len(block.layer) == 3 else None), block.layer[-1]
        gated = hasattr(mlp.DenseReluDense, "wi_0")
        count = TARGET if cross else SOURCE
        yield dict(self=of(block.layer[0].SelfAttention), cross=of(cross.EncDecAttention) if cross else None,
                   ln1=block.layer[0].layer_norm, ln2=cross.layer_norm if cross else None, ln3=mlp.layer_norm,
                   gate=mlp.DenseReluDense.wi_0 if gated else None, up=mlp.DenseReluDense.wi_1 if gated else mlp.DenseReluDense.wi,
                   down=mlp.DenseReluDense.wo, scale=1.0, bias=bias_of.compute_bias(count, count)[0].detach())


def points(model, inputs):
    is_t5 = model.config.model_type in ("t5", "mt5")
    base = model if is_t5 else model.model
    post = model.config.model_type in ("bart", "marian")
    calls, out = Calls(), {}
    stacks = {}
    for name in ("encoder", "decoder"):
        stack = getattr(base, name)
        stacks[name] = list((t5_layers if is_t5 else bart_layers)(stack))
        for layer in stacks[name]:
            for value in layer.values():
                for module in value.values() if isinstance(value, dict) else [value]:
                    if isinstance(module, torch.nn.Module):
                        calls.on(module)
        calls.on(stack.embed_tokens)
        if not is_t5:
            calls.on(stack.embed_positions)
    result = model(**inputs, output_attentions=True, use_cache=False)
    scale = 1.0
    if model.config.model_type == "marian" and model.config.scale_embedding:
        scale = model.config.d_model ** 0.5
    embeds = {}
    for name in ("encoder", "decoder"):
        stack = getattr(base, name)
        embeds.setdefault(stack.embed_tokens, 0)  # a shared table is called once a stack
        out[f"{name}.hook_embed"] = rows(calls.outputs[stack.embed_tokens][embeds[stack.embed_tokens]] * scale)
        embeds[stack.embed_tokens] += 1
        if not is_t5:
            out[f"{name}.hook_pos_embed"] = rows(calls.outputs[stack.embed_positions][0])
        patterns = result.encoder_attentions if name == "encoder" else result.decoder_attentions
        end = stack_points(out, name, stacks[name], calls, patterns, result.cross_attentions, post)
        final = stack.final_layer_norm if is_t5 else getattr(stack, "layer_norm", None)
        if final is not None:
            norm_points(out, f"{name}.ln_final.", end[:, 0], final)
    if getattr(result, "logits", None) is not None:
        out["logits"] = rows(result.logits)
    return out


def randomise(model, generator):
    """Weights large enough that attention is far from uniform; norms and biases that are not ones and zeros."""
    t5 = model.config.model_type in ("t5", "mt5")
    for name, value in list(model.named_parameters()) + [(n, b) for n, b in model.named_buffers() if n == "final_logits_bias"]:
        if "embed_positions" in name and not value.requires_grad:
            continue
        noise = torch.randn(value.shape, generator=generator)
        is_table = "embed" in name or "shared" in name or "relative_attention_bias" in name
        if value.dim() == 1:
            value.data = 1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.1 * noise
        elif name == "final_logits_bias":
            value.data = 0.3 * noise
        else:
            # T5 does not scale q . k
            small = 0.7 if t5 and (name.endswith(".q.weight") or name.endswith(".k.weight")) else 1.4
            value.data = noise * ((0.7 if "bias" in name else 0.5) if is_table else small / value.shape[-1] ** 0.5)


def models():
    t = transformers
    bart = dict(vocab_size=53, d_model=20, encoder_layers=2, decoder_layers=3, encoder_attention_heads=5, decoder_attention_heads=4,
                encoder_ffn_dim=28, decoder_ffn_dim=36, max_position_embeddings=24, pad_token_id=1, bos_token_id=0, eos_token_id=2,
                decoder_start_token_id=2)
    names = {"id2label": {0: "calm", 1: "odd", 2: "loud"}, "label2id": {"calm": 0, "odd": 1, "loud": 2}}
    yield "bart", t.BartForConditionalGeneration, t.BartConfig(scale_embedding=False, **bart)
    yield "bart_scaled", t.BartForConditionalGeneration, t.BartConfig(
        **dict(bart, scale_embedding=True, tie_word_embeddings=False, activation_function="gelu_new", encoder_layers=3, decoder_layers=1))
    yield "bart_labels", t.BartForSequenceClassification, t.BartConfig(**names, **bart)
    yield "mbart", t.MBartForConditionalGeneration, t.MBartConfig(**dict(bart, scale_embedding=True))
    yield "marian", t.MarianMTModel, t.MarianConfig(**dict(bart, activation_function="swish", scale_embedding=True, pad_token_id=52,
                                                           decoder_start_token_id=52, eos_token_id=0, forced_eos_token_id=0))
    yield "marian_two_tables", t.MarianMTModel, t.MarianConfig(**dict(
        bart, share_encoder_decoder_embeddings=False, decoder_vocab_size=47, tie_word_embeddings=False, d_model=30, pad_token_id=46,
        encoder_attention_heads=3, decoder_attention_heads=6, decoder_start_token_id=46, eos_token_id=0, forced_eos_token_id=None))
    yield "m2m_100", t.M2M100ForConditionalGeneration, t.M2M100Config(**bart)
    yield "m2m_100_unscaled", t.M2M100ForConditionalGeneration, t.M2M100Config(
        **dict(bart, scale_embedding=False, activation_function="gelu", tie_word_embeddings=False, encoder_layers=1))
    t5 = dict(vocab_size=53, d_model=20, d_kv=6, d_ff=28, num_layers=2, num_decoder_layers=3, num_heads=5, pad_token_id=0, eos_token_id=1,
              relative_attention_num_buckets=8, relative_attention_max_distance=12, decoder_start_token_id=0)
    yield "t5", t.T5ForConditionalGeneration, t.T5Config(**t5)
    yield "t5_gated", t.T5ForConditionalGeneration, t.T5Config(**dict(
        t5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, d_kv=7, num_heads=3, num_layers=3, num_decoder_layers=1,
        relative_attention_num_buckets=32, relative_attention_max_distance=128))
    yield "t5_gated_silu", t.T5ForConditionalGeneration, t.T5Config(**dict(t5, feed_forward_proj="gated-silu", num_decoder_layers=None,
                                                                           relative_attention_num_buckets=10))
    yield "t5_far", t.T5ForConditionalGeneration, t.T5Config(**dict(t5, relative_attention_num_buckets=32, relative_attention_max_distance=128))
    yield "t5_labels", t.T5ForSequenceClassification, t.T5Config(**names, **t5)
    yield "mt5", t.MT5ForConditionalGeneration, t.MT5Config(**dict(t5, feed_forward_proj="gated-gelu", tie_word_embeddings=False))


# What published models of the kind say of how texts are made.
GENERATION = {"bart": dict(forced_bos_token_id=0), "mbart": dict(forced_bos_token_id=7), "marian": dict(bad_words_ids=[[52]]),
              "m2m_100": dict(forced_bos_token_id=9), "bart_scaled": dict(suppress_tokens=[5, 9, 17], begin_suppress_tokens=[21])}


def write_t5_gguf(model, path):
    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "t5")
    writer.add_name("tiny random t5")
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.num_layers)
    writer.add_decoder_block_count(config.num_decoder_layers)
    writer.add_head_count(config.num_heads)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    writer.add_decoder_start_token_id(config.decoder_start_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, max(config.num_layers, config.num_decoder_layers))
    for name, value in state.items():
        if name.endswith("embed_tokens.weight") or (name == "lm_head.weight" and config.scale_decoder_outputs):
            continue  # the shared table
        writer.add_tensor(names.get_name(name, (".weight",)), value.detach().to(torch.float32).contiguous().numpy())
    write_out(writer)


def make(target, seed, kind, config):
    generator = torch.Generator().manual_seed(seed)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    for key, value in GENERATION.get(target.name, {}).items():
        setattr(model.generation_config, key, value)
    if hasattr(model, "lm_head") and getattr(config, "scale_decoder_outputs", True) is False:  # as T5 1.1 has it: a head of its own
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    randomise(model, generator)
    untied = not config.tie_word_embeddings or getattr(config, "scale_decoder_outputs", True) is False
    if not untied:
        model.tie_weights()
    vocabulary = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    source = torch.randint(3, config.vocab_size, (1, SOURCE), generator=generator)
    inputs = {"input_ids": source, "decoder_input_ids": torch.randint(3, vocabulary, (1, TARGET), generator=generator)}
    if config.model_type == "m2m_100":
        source[0, 4] = inputs["decoder_input_ids"][0, 3] = config.pad_token_id  # whose position does not count
    labels = kind.__name__.endswith("Classification")
    if labels:
        source[0, 3] = source[0, -1] = config.eos_token_id
        del inputs["decoder_input_ids"]
    target.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        if labels:
            tensors = {"readout.labels": model(**inputs).logits}
            inputs["decoder_input_ids"] = torch.cat([torch.tensor([[config.decoder_start_token_id]]), source[:, :-1]], 1)
        else:
            tensors = points(model, inputs)
            model.config._attn_implementation = "eager"
            made = model.generate(source, attention_mask=torch.ones_like(source), do_sample=False, num_beams=1, max_new_tokens=GENERATED,
                                  use_cache=False)
            tensors["generated"] = made[0].to(torch.int32)
    model.save_pretrained(target / "model")
    if target.name in ("t5_gated", "t5_far"):  # a GGUF does not say the furthest distance: it is 128
        write_t5_gguf(model, target / "model.gguf")
    tensors = {key: (value if value.dtype == torch.int32 else value.to(torch.float32)).contiguous().clone() for key, value in tensors.items()}
    for key, value in inputs.items():
        tensors[key] = value[0].to(torch.int32)
    save_file(tensors, target / "expected.safetensors")
    print(f"{target.name}: {sum(p.numel() for p in model.parameters())} parameters, {len(tensors)} tensors, {tensors.get('generated')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "encoder_decoders")
    parser.add_argument("--only", default="", help="names that begin so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, kind, config) in enumerate(models()):
        if name.startswith(arguments.only):
            make(arguments.output / name, seed, kind, config)


if __name__ == "__main__":
    main()
