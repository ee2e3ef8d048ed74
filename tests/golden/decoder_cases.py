"""The tiny decoders: one function for the layout of a family, then its configurations."""
import dataclasses
from collections.abc import Callable

import transformers as hf

from decoder_taps import Layout


@dataclasses.dataclass
class Case:
    model: type
    config: object
    layout: Layout
    gguf: str = ""              # llama.cpp's name of the architecture
    edit: Callable | None = None  # config.json -> config.json
    positions: int = 0


CASES: dict[str, Case] = {}

LLAMA = Layout(embed="model.embed_tokens", layers="model.layers", final="model.norm")
SMALL = dict(vocab_size=61, hidden_size=24, intermediate_size=28, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3,
             head_dim=4, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def small(**changes):
    return {**SMALL, **changes}


def rope(kind, theta=5000.0, **rest):
    return {"rope_type": kind, "rope_theta": theta, **rest}


def old_spelling(config):
    """transformers 4: theta at the top, the scaling in an object of its own, torch_dtype."""
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    for key in ("partial_rotary_factor",):
        if key in parameters:
            config[key] = parameters.pop(key)
    parameters["type"] = parameters.pop("rope_type")
    config["rope_scaling"] = None if parameters["type"] == "default" else parameters
    config["torch_dtype"] = config.pop("dtype", "float32")
    return config


def llama_cases():
    def case(name, gguf="llama", edit=None, **changes):
        CASES[name] = Case(hf.LlamaForCausalLM, hf.LlamaConfig(**small(**changes)), LLAMA, gguf, edit)

    case("llama_linear", rope_parameters=rope("linear", factor=2.5), edit=old_spelling)
    case("llama_rope3", num_attention_heads=6, num_key_value_heads=3, head_dim=8, tie_word_embeddings=True,
         rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16))
    case("llama_yarn", num_attention_heads=6, num_key_value_heads=2, head_dim=12, edit=old_spelling,
         rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=8.0, beta_slow=0.5))
    case("llama_yarn_magnitudes", gguf="", head_dim=8, rope_parameters=rope(
        "yarn", factor=3.0, original_max_position_embeddings=20, mscale=0.8, mscale_all_dim=0.5, truncate=False))
    case("llama_biases", attention_bias=True, mlp_bias=True, rope_parameters=rope("dynamic", factor=2.0), gguf="", hidden_act="gelu")


def windowed_cases():
    CASES["mistral"] = Case(hf.MistralForCausalLM, hf.MistralConfig(**small(num_key_value_heads=1, sliding_window=4)), LLAMA, "llama")
    CASES["mistral_full"] = Case(hf.MistralForCausalLM, hf.MistralConfig(**small(num_attention_heads=6, num_key_value_heads=2, sliding_window=None,
                                                                                rope_parameters=rope("default", 1e6))), LLAMA, edit=old_spelling)
    CASES["qwen2"] = Case(hf.Qwen2ForCausalLM, hf.Qwen2Config(**small(tie_word_embeddings=True)), LLAMA, "qwen2")
    CASES["qwen2_window"] = Case(hf.Qwen2ForCausalLM, hf.Qwen2Config(**small(
        num_attention_heads=4, num_key_value_heads=2, use_sliding_window=True, sliding_window=5, max_window_layers=1)), LLAMA,
        edit=lambda config: {key: value for key, value in config.items() if key != "layer_types"})
    normed = dataclasses.replace(LLAMA, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
    CASES["qwen3"] = Case(hf.Qwen3ForCausalLM, hf.Qwen3Config(**small(num_attention_heads=6, num_key_value_heads=3, head_dim=6)), normed, "qwen3")
    CASES["qwen3_biases"] = Case(hf.Qwen3ForCausalLM, hf.Qwen3Config(**small(
        attention_bias=True, tie_word_embeddings=True, use_sliding_window=True, sliding_window=3,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=rope("yarn", factor=2.0, original_max_position_embeddings=32))), normed)
    CASES["smollm3"] = Case(hf.SmolLM3ForCausalLM, hf.SmolLM3Config(**small(
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2)), LLAMA, "smollm3")
    CASES["smollm3_window"] = Case(hf.SmolLM3ForCausalLM, hf.SmolLM3Config(**small(
        no_rope_layers=[0, 1, 0], use_sliding_window=True, sliding_window=4, attention_bias=True, mlp_bias=True)), LLAMA)


def gemma_cases():
    def gemma(kind, name, layout, gguf, edit=None, **changes):
        model, config = getattr(hf, f"{kind}ForCausalLM"), getattr(hf, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")
        CASES[name] = Case(model, config(**small(**changes)), layout, gguf, edit)

    sandwich = dataclasses.replace(LLAMA, ln2="pre_feedforward_layernorm", post1="post_attention_layernorm", post2="post_feedforward_layernorm")
    normed = dataclasses.replace(sandwich, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm")
    gemma("Gemma", "gemma", LLAMA, "gemma", num_key_value_heads=1, head_dim=6)
    gemma("Gemma", "gemma_untied", LLAMA, "", tie_word_embeddings=False, attention_bias=True, hidden_act="gelu")
    gemma("Gemma2", "gemma2", sandwich, "gemma2", num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4,
          query_pre_attn_scalar=6, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)
    gemma("Gemma2", "gemma2_uncapped", sandwich, "", sliding_window=6, query_pre_attn_scalar=11, attn_logit_softcapping=None,
          final_logit_softcapping=None, layer_types=["full_attention", "sliding_attention", "sliding_attention"])
    gemma("Gemma3", "gemma3", normed, "gemma3", num_attention_heads=4, num_key_value_heads=1, head_dim=8, num_hidden_layers=7, hidden_size=16,
          intermediate_size=20, sliding_window=5, query_pre_attn_scalar=8, rope_parameters={
              "full_attention": rope("linear", 1e6, factor=8.0), "sliding_attention": rope("default", 1e4)})
    gemma("Gemma3", "gemma3_patterned", normed, "", edit=gemma3_before, sliding_window=4, query_pre_attn_scalar=7, final_logit_softcapping=4.0,
          layer_types=["sliding_attention", "full_attention", "sliding_attention"], attention_bias=True,
          rope_parameters={"full_attention": rope("linear", 3e4, factor=4.0), "sliding_attention": rope("default", 777.0)})


def gemma3_before(config):
    """transformers 4.50: a pattern instead of layer types, and the two thetas at the top."""
    parameters = config.pop("rope_parameters")
    config.pop("layer_types")
    config["sliding_window_pattern"] = 2
    config["rope_theta"], config["rope_local_base_freq"] = parameters["full_attention"]["rope_theta"], parameters["sliding_attention"]["rope_theta"]
    config["rope_scaling"] = {"rope_type": "linear", "factor": parameters["full_attention"]["factor"]}
    return config


def split_phi3(config, fused):
    head_dim = config.hidden_size // config.num_attention_heads
    q, k, v = fused.split([config.num_attention_heads * head_dim, *[config.num_key_value_heads * head_dim] * 2], dim=-1)
    return tuple(part.reshape(part.shape[0], -1, head_dim).clone() for part in (q, k, v))


def phi3_cases():
    layout = dataclasses.replace(LLAMA, qkv=("self_attn.qkv_proj",), pre="mlp.gate_up_proj", linear="mlp.gate_up_proj", split=split_phi3)

    def case(name, gguf="", edit=None, positions=0, **changes):
        settings = small(hidden_size=24, num_attention_heads=3, num_key_value_heads=3, **changes)
        settings.pop("head_dim")
        CASES[name] = Case(hf.Phi3ForCausalLM, hf.Phi3Config(**settings), layout, gguf, edit, positions)

    long = [1.0, 2.0, 4.5]
    case("phi3", "phi3", sliding_window=6)
    scaled = dict(original_max_position_embeddings=16, rope_parameters=rope(
        "longrope", short_factor=[1.0, 1.1, 1.3], long_factor=long, partial_rotary_factor=0.75))
    case("phi3_short", "phi3", **scaled)
    case("phi3_long", "phi3", edit=old_spelling, positions=19, **scaled)


def mixtral_cases():
    layout = dataclasses.replace(LLAMA, router="mlp.gate", experts="mlp")

    def case(name, gguf="", **changes):
        CASES[name] = Case(hf.MixtralForCausalLM, hf.MixtralConfig(**small(hidden_size=16, intermediate_size=12, num_attention_heads=4,
                                                                           num_hidden_layers=2, **changes)), layout, gguf)

    case("mixtral", "llama", num_key_value_heads=2, num_local_experts=5, num_experts_per_tok=2)
    case("mixtral_window", num_key_value_heads=4, num_local_experts=3, num_experts_per_tok=3, sliding_window=4, hidden_act="gelu_pytorch_tanh")


for make in (llama_cases, windowed_cases, gemma_cases, phi3_cases, mixtral_cases):
    make()
