"""Random configurations of a family, for scripts/parity-architectures."""
from decoder_cases import CASES, PLAIN, Case, rope

FAMILIES = ["Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3", "SmolLM3", "Gemma", "Gemma2", "Gemma3", "Phi3", "GPT2", "OpenAIGPT", "GPTNeo",
            "GPTNeoX", "OPT", "Bloom", "Falcon"]
ACTIVATIONS = ["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "gelu_fast"]


def random_rope(pick, dim):
    kind = pick.choice(["default", "linear", "dynamic", "yarn", "llama3", "longrope"])
    more = {"linear": lambda: dict(factor=pick.uniform(1.0, 9.0)), "dynamic": lambda: dict(factor=pick.uniform(1.0, 4.0)),
            "yarn": lambda: dict(factor=pick.uniform(1.0, 8.0), original_max_position_embeddings=pick.choice([8, 16, 48]),
                                 **pick.choice([{}, dict(attention_factor=pick.uniform(0.5, 1.5)), dict(mscale=0.7, mscale_all_dim=1.2),
                                                dict(beta_fast=12.0, beta_slow=0.3), dict(truncate=False)])),
            "llama3": lambda: dict(factor=pick.uniform(1.5, 9.0), low_freq_factor=pick.uniform(0.5, 2.0), high_freq_factor=pick.uniform(2.5, 8.0),
                                   original_max_position_embeddings=pick.choice([8, 16, 48])),
            "longrope": lambda: dict(factor=pick.uniform(1.0, 4.0), original_max_position_embeddings=pick.choice([8, 32]),
                                     short_factor=[pick.uniform(1.0, 2.0) for _ in range(dim // 2)],
                                     long_factor=[pick.uniform(1.0, 9.0) for _ in range(dim // 2)])}
    return rope(kind, pick.choice([100.0, 1e4, 5e5]), **more.get(kind, dict)())


def heads_of(pick):
    kv_heads = pick.choice([1, 2, 3])
    return dict(num_attention_heads=kv_heads * pick.choice([1, 2, 3]), num_key_value_heads=kv_heads)


def layers_of(pick, count):
    return [pick.choice(["sliding_attention", "full_attention"]) for _ in range(count)]


def random_rotary(family, pick):
    heads, layers, dim = heads_of(pick), pick.choice([1, 2, 3, 5]), 2 * pick.randint(2, 6)
    window = pick.choice([1, 2, 5, 12, 40])
    common = dict(vocab_size=pick.randint(40, 70), hidden_size=heads["num_attention_heads"] * (12 if heads["num_attention_heads"] == 1 else pick.choice([4, 6])), head_dim=dim,
                  intermediate_size=pick.randint(9, 40), num_hidden_layers=layers, max_position_embeddings=48, pad_token_id=0, bos_token_id=1,
                  eos_token_id=2, rms_norm_eps=pick.choice([1e-6, 1e-3]), tie_word_embeddings=pick.random() < 0.5,
                  rope_parameters=random_rope(pick, dim), **heads)
    biases = dict(attention_bias=pick.random() < 0.5)
    activation = pick.choice(ACTIVATIONS)
    if family in ("Qwen2", "Qwen3", "SmolLM3") and pick.random() < 0.6:
        common.update(use_sliding_window=True, sliding_window=window)
        if family == "SmolLM3" or pick.random() < 0.5:
            common["layer_types"] = layers_of(pick, layers)
        else:
            common["max_window_layers"] = pick.randint(0, layers)
    if family == "Llama":
        common.update(biases, mlp_bias=pick.random() < 0.5)
    elif family == "Qwen3":
        common.update(biases)
    elif family == "SmolLM3":
        common.pop("head_dim")
        common.update(biases, mlp_bias=pick.random() < 0.5, no_rope_layer_interval=pick.randint(1, 4), rope_parameters=rope("default", 300.0))
        common["hidden_size"] = heads["num_attention_heads"] * (12 if heads["num_attention_heads"] == 1 else 4)
    elif family in ("Mistral", "Mixtral"):
        common.update(sliding_window=pick.choice([None, window]))
    if family == "Mixtral":
        experts = pick.randint(2, 6)
        common.update(hidden_size=heads["num_attention_heads"] * 4, intermediate_size=4 * pick.randint(2, 6))  # transformers' own products ask for that
        common.update(num_local_experts=experts, num_experts_per_tok=pick.randint(1, experts))
    if family.startswith("Gemma"):
        common.update(biases)
        if family != "Gemma":
            common.update(query_pre_attn_scalar=pick.randint(1, 20), sliding_window=window, layer_types=layers_of(pick, layers),
                          final_logit_softcapping=pick.choice([None, pick.uniform(1.0, 9.0)]), hidden_activation=activation)
        if family == "Gemma2":
            common.update(attn_logit_softcapping=pick.choice([None, pick.uniform(0.5, 9.0)]))
        if family == "Gemma3":
            common.update(rope_parameters={kind: random_rope(pick, dim) for kind in ("full_attention", "sliding_attention")})
            for parameters in common["rope_parameters"].values():
                if parameters["rope_type"] in ("yarn", "longrope"):  # whose functions in transformers do not know layer types throughout
                    parameters.clear()
                    parameters.update(rope("linear", 900.0, factor=3.0))
    if family in ("Gemma2", "Gemma3"):
        return common
    common["hidden_act"] = activation
    return common


def random_gpt(family, pick):
    heads = pick.choice([1, 2, 3, 5])
    size = dict(PLAIN, n_positions=40, n_embd=heads * pick.randint(3, 6), n_layer=pick.randint(1, 4), n_head=heads, tie_word_embeddings=pick.random() < 0.5)
    if family == "OpenAIGPT":
        return dict(size, afn=pick.choice(["gelu", "relu", "silu", "swish"]))
    return dict(size, activation_function=pick.choice(ACTIVATIONS), n_inner=pick.choice([None, 17]), scale_attn_weights=pick.random() < 0.7,
                scale_attn_by_inverse_layer_idx=pick.random() < 0.5, layer_norm_epsilon=pick.choice([1e-5, 1e-2]))


def random_other(family, pick):
    heads, layers = pick.choice([1, 2, 3, 4, 5]), pick.randint(1, 4)
    size = dict(vocab_size=59, hidden_size=heads * 2 * pick.randint(2, 4), max_position_embeddings=40, bos_token_id=0, eos_token_id=0,
                tie_word_embeddings=pick.random() < 0.5)
    if family == "GPTNeo":
        kinds = [[[pick.choice(["global", "local"])], 1] for _ in range(layers)]
        return dict(size, num_heads=heads, num_layers=layers, attention_types=kinds, window_size=pick.randint(1, 9), intermediate_size=pick.choice([None, 19]),
                    activation_function=pick.choice(ACTIVATIONS))
    size.update(num_hidden_layers=layers, num_attention_heads=heads)
    if family == "GPTNeoX":
        return dict(size, intermediate_size=pick.randint(9, 40), attention_bias=pick.random() < 0.5, hidden_act=pick.choice(ACTIVATIONS),
                    rope_parameters=rope("default", 400.0, partial_rotary_factor=pick.choice([0.5, 0.7, 1.0])))
    if family == "OPT":
        return dict(size, ffn_dim=pick.randint(9, 40), dropout=0.0, enable_bias=pick.random() < 0.7, layer_norm_elementwise_affine=pick.random() < 0.7,
                    word_embed_proj_dim=pick.choice([size["hidden_size"], 14]), activation_function=pick.choice(ACTIVATIONS))
    if family == "Bloom":
        return dict(vocab_size=59, hidden_size=size["hidden_size"], n_layer=layers, n_head=heads, bos_token_id=0, eos_token_id=0,
                    tie_word_embeddings=size["tie_word_embeddings"])
    groups = pick.choice([count for count in range(1, heads + 1) if heads % count == 0])
    return dict(size, new_decoder_architecture=True, num_kv_heads=groups, num_ln_in_parallel_attn=2, bias=pick.random() < 0.5,
                ffn_hidden_size=pick.choice([None, 21]), activation=pick.choice(ACTIVATIONS), rope_parameters=rope("default", 400.0))


LAYOUTS = {"Llama": "llama_linear", "Mistral": "mistral", "Mixtral": "mixtral", "Qwen2": "qwen2", "Qwen3": "qwen3", "SmolLM3": "smollm3", "Gemma": "gemma",
           "Gemma2": "gemma2", "Gemma3": "gemma3", "Phi3": "phi3", "GPT2": "gpt2_inner", "OpenAIGPT": "openai_gpt", "GPTNeo": "gpt_neo",
           "GPTNeoX": "gpt_neox", "OPT": "opt", "Bloom": "bloom", "Falcon": "falcon_grouped"}


def random_case(family, pick):
    if family in ("GPT2", "OpenAIGPT"):
        settings = random_gpt(family, pick)
    elif family in ("GPTNeo", "GPTNeoX", "OPT", "Bloom", "Falcon"):
        settings = random_other(family, pick)
    else:
        settings = random_rotary(family, pick)
    known = CASES[LAYOUTS[family]]
    if family == "Phi3":
        settings.pop("head_dim")
        size = settings["hidden_size"] // settings["num_attention_heads"]
        settings["rope_parameters"] = rope("longrope", factor=2.0, short_factor=[pick.uniform(1, 2) for _ in range(size // 2)],
                                           long_factor=[pick.uniform(1, 9) for _ in range(size // 2)], partial_rotary_factor=1.0)
        settings["original_max_position_embeddings"] = pick.choice([8, 32])
    config = type(known.config)(**settings)
    return Case(known.model, config, known.layout)
