"""Writes a model as llama.cpp's converter lays it out (its gguf-py constants; convert_hf_to_gguf.py for the order of rows)."""
import gguf
import torch

ROTARY = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
          "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
          "self_attn.qkv_proj": "attn_qkv", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
          "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up", "mlp.gate": "ffn_gate_inp"}
SANDWICH = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}
FUSED = {"input_layernorm": "attn_norm", "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2", "post_attention_layernorm": "ffn_norm",
         "attention.query_key_value": "attn_qkv", "self_attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
         "self_attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
GPT = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
OUTSIDE = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "gpt_neox.embed_in": "token_embd",
           "gpt_neox.final_layer_norm": "output_norm", "embed_out": "output", "transformer.word_embeddings": "token_embd",
           "transformer.word_embeddings_layernorm": "token_embd_norm", "transformer.ln_f": "output_norm"}


def permute(value, heads):
    """Rows of a head from halves (i, i + d/2) to neighbours (2i, 2i + 1)."""
    return value.reshape(heads, 2, value.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(value.shape)


def apart(value, config, architecture):
    """Fused rows of every head, or group of heads, to q | k | v."""
    heads = config.num_attention_heads
    groups = heads if architecture != "falcon" else config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else heads
    per_group, size = heads // groups, config.hidden_size // heads
    parts = value.reshape(groups, per_group + 2, size, -1)
    q, k, v = parts[:, :per_group], parts[:, per_group:per_group + 1], parts[:, per_group + 1:]
    return torch.cat([part.reshape(-1, parts.shape[-1]) for part in (q, k, v)]).reshape(value.shape)


def write_rope(writer, config, architecture):
    parameters = getattr(config, "rope_parameters", None) or {}
    parameters = parameters.get("full_attention", parameters)
    if "rope_theta" not in parameters:
        return
    writer.add_rope_freq_base(parameters["rope_theta"])
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dim = int(head_dim * parameters.get("partial_rotary_factor", 1.0))
    writer.add_rope_dimension_count(dim)
    kind = parameters["rope_type"]
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(parameters["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(parameters["original_max_position_embeddings"])
        writer.add_float32(f"{architecture}.rope.scaling.yarn_beta_fast", parameters.get("beta_fast", 32.0))
        writer.add_float32(f"{architecture}.rope.scaling.yarn_beta_slow", parameters.get("beta_slow", 1.0))
    if kind == "longrope":
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_rope_scaling_attn_factors(ROPE_INIT_FUNCTIONS["longrope"](config)[1])
        for name in ("long", "short"):
            writer.add_tensor(f"rope_factors_{name}.weight", torch.tensor(parameters[f"{name}_factor"], dtype=torch.float32).numpy())
    if kind == "llama3":
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        plain = parameters["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        writer.add_tensor("rope_freqs.weight", (plain / ROPE_INIT_FUNCTIONS["llama3"](config)[0]).to(torch.float32).numpy())


def write_metadata(writer, config, architecture):
    get = lambda *names: next((getattr(config, name) for name in names if getattr(config, name, None) is not None), None)
    writer.add_name(f"tiny random {architecture}")
    writer.add_context_length(get("max_position_embeddings", "seq_length") or 64)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(get("intermediate_size", "ffn_hidden_size", "n_inner") or 4 * config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    groups = get("num_key_value_heads") or config.num_attention_heads
    if architecture == "falcon":
        groups = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else config.num_attention_heads
    writer.add_head_count_kv(groups)
    if get("rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(get("layer_norm_epsilon", "layer_norm_eps"))
    if get("head_dim"):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if get("sliding_window") and architecture in ("gemma2", "gemma3", "phi3", "llama"):
        writer.add_sliding_window(config.sliding_window)
    if get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    if get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if get("num_local_experts"):
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if architecture == "gptneox":
        writer.add_parallel_residual(config.use_parallel_residual)
    writer.add_vocab_size(config.vocab_size)
    write_rope(writer, config, architecture)


def write_experts(writer, name, value):
    """[experts, out, in]"""
    if name.endswith("down_proj"):
        return writer.add_tensor(name.replace("down_proj", "ffn_down_exps.weight"), value.contiguous().numpy())
    gate, up = value.chunk(2, dim=1)
    for part, rows in (("gate", gate), ("up", up)):
        writer.add_tensor(name.replace("gate_up_proj", f"ffn_{part}_exps.weight"), rows.contiguous().numpy())


def write_gguf(model, architecture, path):
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    write_metadata(writer, config, architecture)
    names = {**ROTARY, **FUSED, **GPT, **(SANDWICH if architecture in ("gemma2", "gemma3") else {})}
    tied = getattr(config, "tie_word_embeddings", False)
    for full, value in model.state_dict().items():
        value = value.detach().to(torch.float32)
        if full.endswith("lm_head.weight") and tied or full.endswith(("inv_freq", "embed_scale")):
            continue
        stem, _, ending = full.rpartition(".")
        if stem in OUTSIDE:
            name = OUTSIDE[stem]
        elif "mlp.experts" in full:
            index, _, rest = full.split("layers.")[1].partition(".")
            write_experts(writer, f"blk.{index}.{rest.rpartition('.')[2]}", value)
            continue
        else:
            index, _, rest = stem.replace("transformer.h.", "layers.").split("layers.")[1].partition(".")
            name = f"blk.{index}.{names[rest]}"
        if ".c_" in full and ending == "weight":
            value = value.T  # Conv1D
        if "gemma" in architecture and "norm" in name:
            value = value + 1
        if architecture in ("llama", "smollm3") and name.endswith(("attn_q", "attn_k")):
            value = permute(value, config.num_attention_heads if name.endswith("q") else config.num_key_value_heads)
        if "query_key_value" in full:
            value = apart(value, config, architecture)
        writer.add_tensor(f"{name}.{ending}", value.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
