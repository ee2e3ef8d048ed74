"""The tiny decoders: one function for the layout of a family, then its configurations."""
import dataclasses
import functools
from collections.abc import Callable

import torch
import transformers as hf

from decoder_megatron import save_megatron
from decoder_taps import Layout, Scoring


@dataclasses.dataclass
class Case:
    model: type
    config: object
    layout: Layout
    gguf: str = ""              # llama.cpp's name of the architecture
    edit: Callable | None = None  # config.json -> config.json
    positions: int = 0
    bands: dict[int, int] = dataclasses.field(default_factory=dict)  # layer -> how many keys it sees
    save: Callable | None = None  # (model, folder), in place of save_pretrained


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
    gemma("Gemma3", "gemma3_two_scalings", normed, "", sliding_window=4, query_pre_attn_scalar=5, layer_types=["full_attention", "sliding_attention"],
          num_hidden_layers=2, rope_parameters={"full_attention": rope("llama3", 1e4, factor=3.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                                      original_max_position_embeddings=32),
                                                "sliding_attention": rope("llama3", 500.0, factor=6.0, low_freq_factor=1.0, high_freq_factor=5.0,
                                                                          original_max_position_embeddings=16)})
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


GPT = Layout(embed="transformer.wte", positions="transformer.wpe", layers="transformer.h", final="transformer.ln_f", ln1="ln_1", ln2="ln_2",
             qkv=("attn.c_attn",), out="attn.c_proj", pre="mlp.c_fc", linear="", down="mlp.c_proj", kind="layer", split=lambda config, fused: tuple(
                 part.reshape(part.shape[0], config.num_attention_heads, -1).clone() for part in fused.chunk(3, dim=-1)))
PLAIN = dict(vocab_size=59, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)


def unscaled(model, i, q, k):
    """GPT-Neo."""
    attention = model.transformer.h[i].attn.attention
    length = q.shape[0]
    return Scoring(q.permute(1, 0, 2), k.permute(1, 0, 2), 1.0, visible=attention.bias[0, 0, :length, :length])


def plainly(model, i, q, k):
    """The first GPT."""
    return Scoring(q.permute(1, 0, 2), k.permute(1, 0, 2), q.shape[2] ** -0.5)


def gpt_cases():
    size = dict(n_positions=40, n_embd=21, n_layer=3, n_head=3)
    CASES["gpt2_by_layer"] = Case(hf.GPT2LMHeadModel, hf.GPT2Config(**PLAIN, **size, activation_function="relu", scale_attn_by_inverse_layer_idx=True,
                                                                    reorder_and_upcast_attn=True, tie_word_embeddings=False), GPT)
    CASES["gpt2_unscaled"] = Case(hf.GPT2LMHeadModel, hf.GPT2Config(**PLAIN, **size, scale_attn_weights=False), GPT)
    CASES["gpt2_inner"] = Case(hf.GPT2LMHeadModel, hf.GPT2Config(**PLAIN, **size, n_inner=31), GPT, "gpt2")
    first = dataclasses.replace(GPT, embed="transformer.tokens_embed", positions="transformer.positions_embed", final="", placement="post", scoring=plainly)
    CASES["openai_gpt"] = Case(hf.OpenAIGPTLMHeadModel, hf.OpenAIGPTConfig(**PLAIN, **size), first)
    CASES["openai_gpt_untied"] = Case(hf.OpenAIGPTLMHeadModel, hf.OpenAIGPTConfig(**PLAIN, **{**size, "n_embd": 20, "n_head": 5}, afn="silu",
                                                                                  tie_word_embeddings=False), first)
    CASES["gpt3"] = Case(hf.GPT2LMHeadModel, hf.GPT2Config(**PLAIN, **{**size, "n_layer": 4}), GPT, bands={1: 4, 3: 4}, edit=lambda config: {
        **config, "model_type": "gpt3", "sliding_window": 4})
    CASES["gpt3_listed"] = Case(hf.GPT2LMHeadModel, hf.GPT2Config(**PLAIN, **size), GPT, bands={0: 3, 1: 3}, edit=lambda config: {
        **config, "model_type": "gpt3", "sliding_window": 3, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]})
    for version in (0.0, 1.0, 2.0):
        CASES[f"megatron_{version:.0f}"] = Case(hf.GPT2LMHeadModel, hf.GPT2Config(**PLAIN, **{**size, "n_layer": 2}), GPT,
                                                save=functools.partial(save_megatron, version=version))
    neo = dataclasses.replace(GPT, qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"), out="attn.attention.out_proj",
                              split=None, scoring=unscaled)
    size = dict(vocab_size=59, max_position_embeddings=40, hidden_size=20, num_layers=3, num_heads=5, bos_token_id=0, eos_token_id=0)
    CASES["gpt_neo"] = Case(hf.GPTNeoForCausalLM, hf.GPTNeoConfig(**size, window_size=4, attention_types=[[["global", "local"], 1], [["local"], 1]]), neo)
    CASES["gpt_neo_global"] = Case(hf.GPTNeoForCausalLM, hf.GPTNeoConfig(**{**size, "num_heads": 4}, intermediate_size=31, activation_function="gelu",
                                                                         attention_types=[[["global"], 3]], tie_word_embeddings=False), neo)


def by_group(groups):
    """Rows of a group: its queries, its keys, its values."""
    def split(config, fused):
        count = groups(config)
        size = config.hidden_size // config.num_attention_heads
        parts = fused.reshape(fused.shape[0], count, -1, size)
        q, k, v = parts[:, :, :-2], parts[:, :, -2:-1], parts[:, :, -1:]
        return tuple(part.reshape(fused.shape[0], -1, size).clone() for part in (q, k, v))
    return split


def neox_cases():
    layout = Layout(embed="gpt_neox.embed_in", layers="gpt_neox.layers", final="gpt_neox.final_layer_norm", qkv=("attention.query_key_value",),
                    out="attention.dense", pre="mlp.dense_h_to_4h", linear="", down="mlp.dense_4h_to_h", kind="layer", placement="parallel",
                    split=by_group(lambda config: config.num_attention_heads))

    def case(name, gguf="", edit=None, placement="parallel", **changes):
        size = dict(vocab_size=59, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=30, max_position_embeddings=40,
                    bos_token_id=0, eos_token_id=0)
        CASES[name] = Case(hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**{**size, **changes}), dataclasses.replace(layout, placement=placement), gguf, edit)

    case("gpt_neox", "gptneox")
    case("gpt_neox_sequential", "gptneox", placement="pre", use_parallel_residual=False, num_attention_heads=2, rope_parameters=rope(
        "linear", 2000.0, factor=2.0, partial_rotary_factor=0.5))
    case("gpt_neox_unbiased", edit=neox_before, attention_bias=False, hidden_act="gelu_fast", tie_word_embeddings=True,
         rope_parameters=rope("default", 500.0, partial_rotary_factor=1.0))
    case("gpt_neox_odd", hidden_size=30, rope_parameters=rope("default", 700.0, partial_rotary_factor=0.5))


def neox_before(config):
    """transformers 4."""
    parameters = config.pop("rope_parameters")
    config["rotary_emb_base"], config["rotary_pct"] = parameters["rope_theta"], parameters["partial_rotary_factor"]
    return config


def opt_cases():
    layout = Layout(embed="model.decoder.embed_tokens", positions="model.decoder.embed_positions", layers="model.decoder.layers",
                    final="model.decoder.final_layer_norm", ln1="self_attn_layer_norm", ln2="final_layer_norm", out="self_attn.out_proj", pre="fc1",
                    linear="", down="fc2", kind="layer", scaled_queries=True)

    def case(name, layout=layout, **changes):
        size = dict(vocab_size=59, hidden_size=20, num_hidden_layers=3, num_attention_heads=5, ffn_dim=30, max_position_embeddings=40,
                    dropout=0.0, bos_token_id=0, eos_token_id=0)
        CASES[name] = Case(hf.OPTForCausalLM, hf.OPTConfig(**{**size, **changes}), layout)

    case("opt")
    case("opt_after", dataclasses.replace(layout, final="", placement="post"), do_layer_norm_before=False, word_embed_proj_dim=12)
    case("opt_bare", enable_bias=False, layer_norm_elementwise_affine=False, activation_function="gelu", tie_word_embeddings=False, word_embed_proj_dim=26)


def with_slopes(scaled):
    def scoring(model, i, q, k):
        from transformers.models.bloom.modeling_bloom import build_alibi_tensor
        slopes = build_alibi_tensor(torch.ones(1, 2), q.shape[1], torch.float32)[:, 0, 1]
        scale = q.shape[2] ** -0.5
        return Scoring(q.permute(1, 0, 2), k.permute(1, 0, 2), scale, slopes=slopes * (scale if scaled else 1.0))
    return scoring


def turned(model, i, q, k):
    """Falcon's rope."""
    rope_of = model.transformer.rotary_emb
    cos, sin = rope_of(q, torch.arange(q.shape[0])[None])
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb
    rotated = apply_rotary_pos_emb(q.permute(1, 0, 2)[None], k.permute(1, 0, 2)[None], cos, sin)
    return Scoring(rotated[0][0], rotated[1][0], q.shape[2] ** -0.5)


def bloom_and_falcon_cases():
    layout = Layout(embed="transformer.word_embeddings", layers="transformer.h", final="transformer.ln_f", qkv=("self_attention.query_key_value",),
                    out="self_attention.dense", pre="mlp.dense_h_to_4h", linear="", down="mlp.dense_4h_to_h", kind="layer")
    bloom = dataclasses.replace(layout, split=by_group(lambda config: config.n_head), scoring=with_slopes(False))
    size = dict(vocab_size=59, hidden_size=20, n_layer=2, n_head=5, bos_token_id=0, eos_token_id=0)
    CASES["bloom"] = Case(hf.BloomForCausalLM, hf.BloomConfig(**size), bloom, "bloom")
    CASES["bloom_untied"] = Case(hf.BloomForCausalLM, hf.BloomConfig(**{**size, "n_head": 4}, tie_word_embeddings=False, layer_norm_epsilon=1e-3), bloom)

    def falcon(name, layout, groups, gguf="", **changes):
        size = dict(vocab_size=59, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=40, bos_token_id=0, eos_token_id=0)
        CASES[name] = Case(hf.FalconForCausalLM, hf.FalconConfig(**{**size, **changes}), dataclasses.replace(layout, split=by_group(groups)), gguf)

    rope_layout = dataclasses.replace(layout, scoring=turned)
    slopes = dataclasses.replace(layout, scoring=with_slopes(True), reports=False)  # transformers' eager attention adds the bias twice
    falcon("falcon", dataclasses.replace(rope_layout, placement="shared"), lambda config: 1, "falcon", num_attention_heads=3)
    two = dataclasses.replace(rope_layout, placement="parallel", ln1="ln_attn", ln2="ln_mlp")
    falcon("falcon_grouped", two, lambda config: config.num_kv_heads, "falcon", new_decoder_architecture=True, num_kv_heads=3,
           rope_parameters=rope("default", 3000.0), tie_word_embeddings=False)
    falcon("falcon_one_norm", dataclasses.replace(rope_layout, placement="shared"), lambda config: config.num_kv_heads, new_decoder_architecture=True,
           num_kv_heads=2, num_ln_in_parallel_attn=1, ffn_hidden_size=31, activation="relu")
    falcon("falcon_alibi", slopes, lambda config: config.num_attention_heads, alibi=True, parallel_attn=False, multi_query=False, bias=True,
           num_attention_heads=4)
    falcon("falcon_sequential", rope_layout, lambda config: 1, parallel_attn=False, bias=True)


for make in (llama_cases, windowed_cases, gemma_cases, phi3_cases, mixtral_cases, gpt_cases, neox_cases, opt_cases, bloom_and_falcon_cases):
    make()
CASES["gemma3_two_scalings"] = CASES.pop("gemma3_two_scalings")  # seeds go by the order: new cases come last
