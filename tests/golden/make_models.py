#!/usr/bin/env python3
"""Makes the tiny random models of the golden tests and what Hugging Face transformers computes with them.

Needs torch, transformers >= 5, safetensors and gguf; the tests themselves need only the committed outputs:
    tests/golden/<name>/model/               config.json, model.safetensors (float32)
    tests/golden/<name>/model.gguf           the same weights, llama only, q and k rows interleaved as GGUF has them
    tests/golden/<name>/expected.safetensors input_ids (int32) and one float32 tensor for each hook name

Layout of every activation: [pos, heads, width] with the axes that are 1 kept, so that a flat comparison is enough.
"""
import argparse
import pathlib

import gguf
import torch
import transformers
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

POSITIONS = 23  # odd, and no multiple of a vector register


class Tap:
    """Keeps what goes in and out of modules."""

    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def on(self, name, module):
        def hook(_, args, kwargs, result):
            first = args[0] if args else kwargs.get("hidden_states")
            self.inputs[name] = first
            self.outputs[name] = result
        module.register_forward_hook(hook, with_kwargs=True)


def first(value):
    return value[0] if isinstance(value, (tuple, list)) else value


def rows(value, heads=1):
    """[1, pos, heads * width] -> [pos, heads, width]"""
    value = value.detach()[0]
    return value.reshape(value.shape[0], heads, -1).to(torch.float32).contiguous().clone()


def norm_points(x, module, kind):
    """TransformerLens' hook_scale and hook_normalized: rms before the weight, layer norm after weight and bias."""
    x = x.detach()[0]
    if kind == "rms":
        scale = (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
        normalized = x / scale
    else:
        scale = (x.var(-1, keepdim=True, unbiased=False) + module.eps).sqrt()
        normalized = module(x)
    return scale[:, None].clone(), normalized.detach()[:, None].clone()


def attention_points(out, prefix, q, k, pattern, scale, causal):
    """q [pos, heads, d], k [pos, kv_heads, d] as multiplied; pattern [heads, pos, pos] as transformers returns it."""
    heads, length = q.shape[1], q.shape[0]
    keys = k.repeat_interleave(heads // k.shape[1], dim=1)
    scores = torch.einsum("ihd,jhd->ihj", q, keys) * scale
    if causal:
        future = torch.arange(length)[None, :] > torch.arange(length)[:, None]
        scores = scores.masked_fill(future[:, None, :], float("-inf"))
    weights = pattern.detach().permute(1, 0, 2)  # [pos, heads, pos]
    assert torch.allclose(torch.softmax(scores, -1), weights, atol=1e-5)
    distance = (torch.arange(length)[None, :] - torch.arange(length)[:, None]).abs().float()
    stats = torch.stack([-torch.xlogy(weights, weights).sum(-1), (weights * distance[:, None, :]).sum(-1),
                         weights[..., 0]], -1)
    out[prefix + "hook_rot_q"], out[prefix + "hook_rot_k"] = q, k
    out[prefix + "hook_attn_scores"] = scores
    out[prefix + "hook_pattern"] = weights.clone()
    out[prefix + "hook_normalizer"] = torch.logsumexp(scores, -1)[..., None]
    out[prefix + "hook_row_stats"] = stats


def llama_points(model, ids):
    config, tap, out = model.config, Tap(), {}
    heads, kv_heads, base = config.num_attention_heads, config.num_key_value_heads, model.model
    tap.on("embed", base.embed_tokens)
    tap.on("rope", base.rotary_emb)
    tap.on("final", base.norm)
    for i, layer in enumerate(base.layers):
        tap.on(f"{i}", layer)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tap.on(f"{i}.{name}", getattr(layer, name))
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tap.on(f"{i}.{name}", getattr(layer.self_attn, name))
        for name in ("gate_proj", "up_proj", "down_proj"):
            tap.on(f"{i}.{name}", getattr(layer.mlp, name))
    result = model(ids, output_attentions=True)
    cos, sin = tap.outputs["rope"]
    out["hook_embed"] = rows(tap.outputs["embed"])
    for i, layer in enumerate(base.layers):
        block, attn, mlp = f"blocks.{i}.", f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        took, gave = lambda n: tap.inputs[f"{i}.{n}"], lambda n: tap.outputs[f"{i}.{n}"]
        out[block + "hook_resid_pre"] = rows(took("input_layernorm"))
        out[block + "ln1.hook_scale"], out[block + "ln1.hook_normalized"] = norm_points(
            took("input_layernorm"), layer.input_layernorm, "rms")
        q, k = rows(gave("q_proj"), heads), rows(gave("k_proj"), kv_heads)
        out[attn + "hook_q"], out[attn + "hook_k"] = q, k
        out[attn + "hook_v"] = rows(gave("v_proj"), kv_heads)
        rot_q, rot_k = apply_rotary_pos_emb(q.permute(1, 0, 2)[None], k.permute(1, 0, 2)[None], cos, sin)
        attention_points(out, attn, rot_q[0].permute(1, 0, 2), rot_k[0].permute(1, 0, 2), result.attentions[i][0],
                         layer.self_attn.scaling, True)
        out[attn + "hook_z"] = rows(took("o_proj"), heads)
        out[attn + "hook_out"] = out[block + "hook_attn_out"] = rows(gave("o_proj"))
        out[block + "hook_resid_mid"] = rows(took("post_attention_layernorm"))
        out[block + "ln2.hook_scale"], out[block + "ln2.hook_normalized"] = norm_points(
            took("post_attention_layernorm"), layer.post_attention_layernorm, "rms")
        out[mlp + "hook_pre"] = rows(gave("gate_proj"))
        out[mlp + "hook_pre_linear"] = rows(gave("up_proj"))
        out[mlp + "hook_post"] = rows(took("down_proj"))
        out[mlp + "hook_out"] = out[block + "hook_mlp_out"] = rows(gave("down_proj"))
        out[block + "hook_resid_post"] = rows(first(tap.outputs[f"{i}"]))
    out["ln_final.hook_scale"], out["ln_final.hook_normalized"] = norm_points(tap.inputs["final"], base.norm, "rms")
    out["logits"] = rows(result.logits)
    return out


def gpt2_points(model, ids):
    config, tap, out, base = model.config, Tap(), {}, model.transformer
    heads, width = config.n_head, config.n_embd
    tap.on("embed", base.wte)
    tap.on("positions", base.wpe)
    tap.on("final", base.ln_f)
    for i, layer in enumerate(base.h):
        for name, module in (("", layer), ("ln_1", layer.ln_1), ("ln_2", layer.ln_2), ("c_attn", layer.attn.c_attn),
                             ("attn_proj", layer.attn.c_proj), ("c_fc", layer.mlp.c_fc),
                             ("mlp_proj", layer.mlp.c_proj)):
            tap.on(f"{i}.{name}", module)
    result = model(ids, output_attentions=True)
    out["hook_embed"], out["hook_pos_embed"] = rows(tap.outputs["embed"]), rows(tap.outputs["positions"])
    for i, layer in enumerate(base.h):
        block, attn, mlp = f"blocks.{i}.", f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        took, gave = lambda n: tap.inputs[f"{i}.{n}"], lambda n: tap.outputs[f"{i}.{n}"]
        out[block + "hook_resid_pre"] = rows(took("ln_1"))
        out[block + "ln1.hook_scale"], out[block + "ln1.hook_normalized"] = norm_points(
            took("ln_1"), layer.ln_1, "layer")
        q, k, v = (rows(part, heads) for part in gave("c_attn").split(width, dim=2))
        out[attn + "hook_q"], out[attn + "hook_k"], out[attn + "hook_v"] = q, k, v
        attention_points(out, attn, q, k, result.attentions[i][0], (width // heads) ** -0.5, True)
        out[attn + "hook_z"] = rows(took("attn_proj"), heads)
        out[attn + "hook_out"] = out[block + "hook_attn_out"] = rows(gave("attn_proj"))
        out[block + "hook_resid_mid"] = rows(took("ln_2"))
        out[block + "ln2.hook_scale"], out[block + "ln2.hook_normalized"] = norm_points(
            took("ln_2"), layer.ln_2, "layer")
        out[mlp + "hook_pre"] = rows(gave("c_fc"))
        out[mlp + "hook_post"] = rows(took("mlp_proj"))
        out[mlp + "hook_out"] = out[block + "hook_mlp_out"] = rows(gave("mlp_proj"))
        out[block + "hook_resid_post"] = rows(first(gave("")))
    out["ln_final.hook_scale"], out["ln_final.hook_normalized"] = norm_points(tap.inputs["final"], base.ln_f, "layer")
    out["logits"] = rows(result.logits)
    return out


def bert_points(model, ids):
    """Post-norm as TransformerLens names it: resid_mid and resid_post are the sums before ln1 and ln2."""
    config, tap, out = model.config, Tap(), {}
    heads, embeddings = config.num_attention_heads, model.embeddings
    tap.on("embed", embeddings.word_embeddings)
    tap.on("positions", embeddings.position_embeddings)
    tap.on("embeddings", embeddings)
    for i, layer in enumerate(model.encoder.layer):
        own, after = layer.attention.self, layer.attention.output
        for name, module in (("q", own.query), ("k", own.key), ("v", own.value), ("attn_out", after.dense),
                             ("ln1", after.LayerNorm), ("up", layer.intermediate.dense),
                             ("down", layer.output.dense), ("ln2", layer.output.LayerNorm)):
            tap.on(f"{i}.{name}", module)
    result = model(ids, output_attentions=True)
    out["hook_embed"], out["hook_pos_embed"] = rows(tap.outputs["embed"]), rows(tap.outputs["positions"])
    resid = tap.outputs["embeddings"]
    for i, layer in enumerate(model.encoder.layer):
        block, attn, mlp = f"blocks.{i}.", f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        took, gave = lambda n: tap.inputs[f"{i}.{n}"], lambda n: tap.outputs[f"{i}.{n}"]
        out[block + "hook_resid_pre"] = rows(resid if resid.dim() == 3 else resid[None])  # hooks may drop the batch
        q, k = rows(gave("q"), heads), rows(gave("k"), heads)
        out[attn + "hook_q"], out[attn + "hook_k"], out[attn + "hook_v"] = q, k, rows(gave("v"), heads)
        attention_points(out, attn, q, k, result.attentions[i][0], q.shape[2] ** -0.5, False)
        out[attn + "hook_z"] = rows(took("attn_out"), heads)
        out[attn + "hook_out"] = out[block + "hook_attn_out"] = rows(gave("attn_out"))
        out[block + "hook_resid_mid"] = rows(took("ln1"))
        out[block + "ln1.hook_scale"], out[block + "ln1.hook_normalized"] = norm_points(
            took("ln1"), layer.attention.output.LayerNorm, "layer")
        out[mlp + "hook_pre"] = rows(gave("up"))
        out[mlp + "hook_post"] = rows(took("down"))
        out[mlp + "hook_out"] = out[block + "hook_mlp_out"] = rows(gave("down"))
        out[block + "hook_resid_post"] = rows(took("ln2"))
        out[block + "ln2.hook_scale"], out[block + "ln2.hook_normalized"] = norm_points(
            took("ln2"), layer.output.LayerNorm, "layer")
        resid = gave("ln2")
    return out


def write_gguf(model, path):
    """llama.cpp's layout: q and k rows go from halves (i, i + d/2) to neighbours (2i, 2i + 1) within each head."""
    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny random llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    names = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}

    def put(name, value):
        writer.add_tensor(name, value.detach().to(torch.float32).contiguous().numpy())

    put("token_embd.weight", state["model.embed_tokens.weight"])
    put("output_norm.weight", state["model.norm.weight"])
    if not config.tie_word_embeddings:
        put("output.weight", state["lm_head.weight"])
    for i in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            value = state[f"model.layers.{i}.{theirs}.weight"]
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(ours)
            if heads:
                value = value.reshape(heads, 2, value.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(value.shape)
            put(f"blk.{i}.{ours}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def randomise(model, generator):
    """Weights large enough that attention is far from uniform; norms and biases that are not ones and zeros."""
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        is_norm = "norm" in name.lower() or "ln_" in name
        if value.dim() == 1:
            value.data = 1 + 0.2 * noise if is_norm and name.endswith("weight") else 0.1 * noise
        else:
            value.data = noise * (0.5 if "emb" in name or "wte" in name or "wpe" in name else 1.4 / value.shape[-1] ** 0.5)


def models():
    llama = dict(vocab_size=71, hidden_size=36, intermediate_size=52, num_hidden_layers=3, num_attention_heads=6,
                 num_key_value_heads=2, head_dim=6, max_position_embeddings=64, rms_norm_eps=1e-5,
                 bos_token_id=1, eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    yield "llama", transformers.LlamaForCausalLM, transformers.LlamaConfig(tie_word_embeddings=False, **llama), llama_points
    yield "llama_tied", transformers.LlamaForCausalLM, transformers.LlamaConfig(tie_word_embeddings=True, **llama), llama_points
    yield "gpt2", transformers.GPT2LMHeadModel, transformers.GPT2Config(
        vocab_size=83, n_positions=48, n_embd=30, n_layer=3, n_head=5, n_inner=44, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0), gpt2_points
    yield "bert", transformers.BertModel, transformers.BertConfig(
        vocab_size=67, hidden_size=28, num_hidden_layers=3, num_attention_heads=4, intermediate_size=58,
        max_position_embeddings=40, type_vocab_size=2), bert_points


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    folder = parser.parse_args().output
    torch.set_num_threads(1)
    for seed, (name, kind, config, points) in enumerate(models()):
        generator = torch.Generator().manual_seed(seed)
        config._attn_implementation = "eager"
        model = kind(config).eval()
        randomise(model, generator)
        model.tie_weights()
        ids = torch.randint(0, config.vocab_size, (1, POSITIONS), generator=generator)
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(target / "model")
        (target / "model" / "generation_config.json").unlink(missing_ok=True)  # nothing of it is read
        if name.startswith("llama"):
            write_gguf(model, target / "model.gguf")
        with torch.no_grad():
            tensors = {key: value.to(torch.float32).contiguous().clone() for key, value in points(model, ids).items()}
        tensors["input_ids"] = ids[0].to(torch.int32)
        save_file(tensors, target / "expected.safetensors")
        print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, {len(tensors) - 1} points")


if __name__ == "__main__":
    main()
