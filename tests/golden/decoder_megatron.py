"""A GPT-2 under Megatron-LM's names, the rows of q, k, v in the order of a checkpoint version."""
import json

from safetensors.torch import save_file

NAMES = {"ln_1": "input_layernorm", "attn.c_attn": "attention.query_key_value", "attn.c_proj": "attention.dense",
         "ln_2": "post_attention_layernorm", "mlp.c_fc": "mlp.dense_h_to_4h", "mlp.c_proj": "mlp.dense_4h_to_h"}
OUTSIDE = {"transformer.wte": "embedding.word_embeddings", "transformer.wpe": "embedding.position_embeddings",
           "transformer.ln_f": "transformer.final_layernorm"}


def reordered(value, heads, version):
    """Rows from [3, heads, d] to [heads, d, 3] (version 1) or [heads, 3, d] (2)."""
    if version == 0.0:
        return value
    parts = value.reshape(3, heads, value.shape[0] // 3 // heads, -1)
    return parts.permute(*((1, 2, 0, 3) if version == 1.0 else (1, 0, 2, 3))).reshape(value.shape)


def save_megatron(model, folder, version):
    config, tensors = model.config, {}
    for name, value in model.state_dict().items():
        stem, _, ending = name.rpartition(".")
        if stem == "lm_head":
            continue
        if stem in OUTSIDE:
            tensors[f"language_model.{OUTSIDE[stem]}.{ending}"] = value
            continue
        index, _, rest = stem.removeprefix("transformer.h.").partition(".")
        if ending == "weight" and "ln_" not in rest:
            value = value.T  # Conv1D
        if rest == "attn.c_attn":
            value = reordered(value, config.n_head, version)
        stack = "encoder" if version == 2.0 else "transformer"
        part = NAMES[rest].replace("attention.", "self_attention.", 1) if version == 2.0 and rest.startswith("attn") else NAMES[rest]
        tensors[f"language_model.{stack}.layers.{index}.{part}.{ending}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, folder / "model.safetensors")
    arguments = {"model_type": "megatron", "checkpoint_version": version, "num_layers": config.n_layer, "hidden_size": config.n_embd,
                 "num_attention_heads": config.n_head, "max_position_embeddings": config.n_positions, "ffn_hidden_size": 4 * config.n_embd,
                 "layernorm_epsilon": config.layer_norm_epsilon, "bias_gelu_fusion": True}
    (folder / "config.json").write_text(json.dumps(arguments, indent=2) + "\n")
