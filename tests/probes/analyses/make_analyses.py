#!/usr/bin/env python3
"""Writes analyses.json: what transformers, numpy, networkx and sklearn make of the tiny golden models and of random numbers, for
analyses_test.cpp. Every definition is written out with whole matrices here."""
import json
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression, Ridge
from transformers import AutoModelForCausalLM

torch.set_num_threads(2)
GOLDEN = Path(__file__).parents[2] / "golden"
IDS = [3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8]


def load(name):
    return AutoModelForCausalLM.from_pretrained(GOLDEN / name / "model", attn_implementation="eager", dtype=torch.float64).eval()


def lens(model, final_norm):
    ids = torch.tensor([IDS])
    with torch.no_grad():
        kept = []
        hooks = [final_norm.register_forward_pre_hook(lambda _, args: kept.append(args[0]))]
        out = model(ids, output_hidden_states=True)
        hooks[0].remove()
        states = list(out.hidden_states[:-1]) + [kept[0]]  # the last of transformers' is behind the final norm
        final = torch.log_softmax(out.logits[0], -1)
        kl, log_probability, top, probability, rank = [], [], [], [], []
        for state in states:
            own = torch.log_softmax(model.lm_head(final_norm(state))[0], -1)
            kl.append((final.exp() * (final - own)).sum(-1).tolist())
            log_probability.append([own[i, IDS[i + 1]].item() for i in range(len(IDS) - 1)])
            top.append(own.argmax(-1).tolist())
            probability.append(own.max(-1).values.exp().tolist())
            rank.append([1 + int((own[i] > own[i, IDS[i + 1]]).sum()) for i in range(len(IDS) - 1)])
    return {"kl": kl, "log_probability": log_probability, "top": top, "probability": probability, "rank": rank}


def random_tokens(vocabulary, sequences, half):
    raw = np.random.RandomState(0)._bit_generator  # std::mt19937(0)
    first = vocabulary // 2
    tokens = [first + int(raw.random_raw()) % (vocabulary - first) for _ in range(sequences * half)]
    return np.array(tokens).reshape(sequences, half)


def roles(model, vocabulary, sequences, half):
    tokens = torch.tensor(np.concatenate([random_tokens(vocabulary, sequences, half)] * 2, axis=1))
    with torch.no_grad():
        maps = [a.numpy() for a in model(tokens, output_attentions=True).attentions]
    length, rows = 2 * half, []
    for layer in maps:
        for head in range(layer.shape[1]):
            a = layer[:, head]
            diagonal = lambda offset: np.diagonal(a, -offset, 1, 2).mean()
            explained = []
            for one in a:
                cells = [(i - j, one[i, j]) for i in range(length) for j in range(1, i + 1)]
                weights = np.array([w for _, w in cells])
                total, between = ((weights - weights.mean()) ** 2).sum(), 0.0
                for distance in range(length):
                    group = np.array([w for d, w in cells if d == distance])
                    if len(group):
                        between += len(group) * (group.mean() - weights.mean()) ** 2
                explained.append(between / total)
            rows.append([diagonal(1), diagonal(half), diagonal(half - 1), a[:, :, 0].sum(1).mean() / length, float(np.mean(explained))])
    return rows


def center(a, axis):
    return a - a.mean(axis, keepdims=True)


def gpt2_heads(model):
    """W_Q, W_K, W_V, W_O of each head, rows on the left, folded; W_E and W_U alike."""
    config, heads = model.config, []
    dim = config.n_embd // config.n_head
    for block in model.transformer.h:
        gain = block.ln_1.weight.detach().numpy()[:, None]
        fused, out = center(gain * block.attn.c_attn.weight.detach().numpy(), 0), center(block.attn.c_proj.weight.detach().numpy(), 1)
        for h in range(config.n_head):
            q, k, v = (fused[:, part * config.n_embd + h * dim:][:, :dim] for part in range(3))
            heads.append((q, k, v, out[h * dim:(h + 1) * dim]))
    embedding = center(model.transformer.wte.weight.detach().numpy(), 1)
    head = center(model.transformer.ln_f.weight.detach().numpy()[:, None] * model.lm_head.weight.detach().numpy().T, 0)
    return heads, embedding, center(head, 1), config.n_head


def llama_heads(model):
    config, heads = model.config, []
    dim, group = model.model.layers[0].self_attn.head_dim, config.num_attention_heads // config.num_key_value_heads
    for block in model.model.layers:
        gain, attention = block.input_layernorm.weight.detach().numpy()[:, None], block.self_attn
        q, k, v = (gain * part.weight.detach().numpy().T for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        out = attention.o_proj.weight.detach().numpy().T
        for h in range(config.num_attention_heads):
            own, shared = slice(h * dim, (h + 1) * dim), slice(h // group * dim, (h // group + 1) * dim)
            heads.append((q[:, own], k[:, shared], v[:, shared], out[own]))
    head = model.model.norm.weight.detach().numpy()[:, None] * model.lm_head.weight.detach().numpy().T
    return heads, model.model.embed_tokens.weight.detach().numpy(), center(head, 1), config.num_attention_heads


def circuits(heads, embedding, head, per_layer):
    def share(matrix):
        values = np.linalg.eigvals(matrix)
        return float(values.sum().real / np.abs(values).sum())

    def score(a, b):
        return float(np.linalg.norm(a @ b) / np.linalg.norm(a) / np.linalg.norm(b))

    stream = [share(v @ o) for _, _, v, o in heads]
    full = [share(embedding @ v @ o @ head) for _, _, v, o in heads]
    composition = {}
    for kind in "qkv":
        rows = []
        for later, (q, k, v, o) in enumerate(heads):
            reader = {"q": q @ k.T, "k": k @ q.T, "v": v @ o}[kind]
            for earlier in range(later // per_layer * per_layer):
                rows.append([earlier, later, score(heads[earlier][2] @ heads[earlier][3], reader)])
        composition[kind] = rows
    return {"stream": stream, "full": full, "composition": composition}


def flows(random, width=6, layers=4):
    capacity = [np.tril(random.random((width, width))) for _ in range(layers)]
    capacity = [a / a.sum(1, keepdims=True) for a in capacity]
    graph = nx.DiGraph()
    for layer, a in enumerate(capacity):
        for i in range(width):
            for j in range(width):
                if a[i, j] > 0:
                    graph.add_edge((layer + 1, i), (layer, j), capacity=a[i, j])
    value = [[nx.maximum_flow_value(graph, (layers, i), (0, j), flow_func=nx.algorithms.flow.edmonds_karp) if j <= i else 0.0 for j in range(width)] for i in range(width)]
    return {"capacity": [a.ravel().tolist() for a in capacity], "flow": value}


def similarity(random):
    x, y = random.normal(size=(23, 7)), None
    y = np.concatenate([x[:, :3] @ random.normal(size=(3, 4)), random.normal(size=(23, 2))], 1) + 3.0
    xc, yc = center(x, 0), center(y, 0)
    cka = np.linalg.norm(xc.T @ yc) ** 2 / np.linalg.norm(xc.T @ xc) / np.linalg.norm(yc.T @ yc)

    def hsic(k, l):  # Song et al. 2012, eq. 5
        n = len(k)
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
        return (np.trace(k @ l) + k.sum() * l.sum() / (n - 1) / (n - 2) - 2 * (k.sum(0) @ l.sum(0)) / (n - 2)) / n / (n - 3)

    k, l = x @ x.T, y @ y.T
    debiased = hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))

    def directions(a):
        u, s, _ = np.linalg.svd(a, full_matrices=False)
        kept = int(np.searchsorted(np.cumsum(s ** 2), 0.99 * (s ** 2).sum())) + 1
        return u[:, :kept]

    svcca = np.linalg.svd(directions(xc).T @ directions(yc))[1].mean()
    return {"x": x.ravel().tolist(), "y": y.ravel().tolist(), "rows": 23, "cka": cka, "debiased": debiased, "svcca": svcca}


def linear(random):
    x = random.normal(size=(60, 9)) * np.linspace(0.3, 3, 9) + 0.5
    y = (x @ random.normal(size=9) + random.normal(size=60) > 1).astype(float)
    numbers = x @ random.normal(size=9) + random.normal(size=60)
    fits = []
    for penalty in (0.5, 20.0):
        logistic = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10000).fit(x, y)
        ridge = Ridge(alpha=penalty).fit(x, numbers)
        fits.append({"penalty": penalty, "logistic": logistic.coef_[0].tolist() + [logistic.intercept_[0]], "ridge": ridge.coef_.tolist() + [ridge.intercept_]})
    return {"rows": 60, "x": x.ravel().tolist(), "labels": y.tolist(), "numbers": numbers.tolist(), "fits": fits}


def lens_gradient(model, final_norm, head, cap=None):
    """Of the mean KL to fixed logits by rows that are no model's: sines and cosines, as the test makes them."""
    width = model.config.hidden_size
    rows, columns = np.meshgrid(np.arange(3), np.arange(width), indexing="ij")
    x = torch.tensor(1.5 * np.sin(rows * 7 + columns * 3) + 0.01 * columns, requires_grad=True)
    other = torch.tensor(2 * np.cos(rows * 5 + columns * 2))
    logits = lambda y: head(final_norm(y)) if cap is None else cap * torch.tanh(head(final_norm(y)) / cap)
    final, own = torch.log_softmax(logits(other).detach(), -1), torch.log_softmax(logits(x), -1)
    kl = (final.exp() * (final - own)).sum(-1)
    kl.mean().backward()
    return {"kl": kl.tolist(), "gradient": x.grad.flatten().tolist()}


def autoencoders(random):
    """Folders of SAELens beside this file, with what its definitions make of some rows."""
    width, features, x = 6, 11, random.normal(size=(5, 6)).astype(np.float32)
    kinds = {
        "relu": ({"architecture": "standard", "activation_fn_str": "relu", "apply_b_dec_to_input": True}, lambda pre, _: np.maximum(pre, 0)),
        "topk": ({"architecture": "topk", "k": 3, "apply_b_dec_to_input": False}, lambda pre, _: np.maximum(np.where(pre >= np.sort(pre, 1)[:, [-3]], pre, 0), 0)),
        "jumprelu": ({"architecture": "jumprelu", "apply_b_dec_to_input": True}, lambda pre, threshold: np.where(pre > threshold, pre, 0)),
    }
    results = {}
    for name, (config, activation) in kinds.items():
        draw = lambda *shape: random.normal(size=shape).astype(np.float32)
        weights = {"W_enc": draw(width, features), "W_dec": draw(features, width), "b_enc": draw(features), "b_dec": draw(width)}
        if name == "jumprelu":
            weights["threshold"] = np.abs(draw(features))
        folder = Path(__file__).parent / "sae" / name
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / "sae_weights.safetensors")
        (folder / "cfg.json").write_text(json.dumps({**config, "d_in": width, "d_sae": features, "normalize_activations": "none", "hook_name": "blocks.1.hook_resid_pre"}))
        doubles = {key: value.astype(np.float64) for key, value in weights.items()}
        source = x - doubles["b_dec"] if config["apply_b_dec_to_input"] else x.astype(np.float64)
        activations = activation(source @ doubles["W_enc"] + doubles["b_enc"], doubles.get("threshold"))
        results[name] = {"activations": activations.ravel().tolist(), "rebuilt": (activations @ doubles["W_dec"] + doubles["b_dec"]).ravel().tolist()}
    return {"rows": 5, "x": x.astype(float).ravel().tolist(), **results}


def main():
    random = np.random.default_rng(7)
    gpt2, llama, gemma2 = load("gpt2"), load("llama"), load("decoders/gemma2")
    half, sequences = 11, 3
    json.dump({
        "ids": IDS, "half": half, "sequences": sequences,
        "gpt2": {"lens": lens(gpt2, gpt2.transformer.ln_f), "roles": roles(gpt2, gpt2.config.vocab_size, sequences, half), **circuits(*gpt2_heads(gpt2))},
        "llama": {"lens": lens(llama, llama.model.norm), "roles": roles(llama, llama.config.vocab_size, sequences, half), **circuits(*llama_heads(llama))},
        "flow": flows(random), "similarity": similarity(random), "linear": linear(random),
        "gradient": {"gpt2": lens_gradient(gpt2, gpt2.transformer.ln_f, gpt2.lm_head), "llama": lens_gradient(llama, llama.model.norm, llama.lm_head),
                     "decoders/gemma2": lens_gradient(gemma2, gemma2.model.norm, gemma2.lm_head, gemma2.config.final_logit_softcapping)},
        "autoencoders": autoencoders(random),
    }, open(Path(__file__).parent / "analyses.json", "w"))


main()
