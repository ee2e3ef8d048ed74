#!/usr/bin/env python3
"""Writes mediation.json beside itself: what transformers says when one head's attention pattern over a text is another text's.
Needs torch and transformers. Texts are random ids of the tiny golden models; scores are sums of log-probabilities of two candidates."""
import json
from pathlib import Path

import torch
from transformers import AttentionInterface, AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent.parent / "golden"
kept, exchange = {}, {}


def attend(module, query, key, value, attention_mask, scaling=None, **_):
    """Eager causal attention over [batch, heads, positions, d_head], which keeps its patterns and takes others' rows."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    pattern = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    kept[module.layer_idx] = pattern.clone()
    for head, other in exchange.get(module.layer_idx, {}).items():
        size = other.shape[-1]
        pattern[0, head, :size, :size] = other
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


AttentionInterface.register("exchanged", attend)


def score(model, text, candidate, heads=(), patterns=None):
    exchange.clear()
    for layer, head in heads:
        exchange.setdefault(layer, {})[head] = patterns[layer][0, head]
    with torch.no_grad():
        logits = model(torch.tensor([text + candidate])).logits[0].double().log_softmax(-1)
    exchange.clear()
    return sum(logits[len(text) - 1 + i, token].item() for i, token in enumerate(candidate))


def patterns_of(model, text):
    with torch.no_grad():
        model(torch.tensor([text]))
    return {layer: pattern.clone() for layer, pattern in kept.items()}


def case(name, seed, length, parting):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / name / "model", attn_implementation="exchanged").eval()
    config = model.config
    draw = lambda count: torch.randint(3, config.vocab_size, (count,)).tolist()
    base = draw(length)
    other = base[:parting] + draw(length - parting)
    first, second = draw(2), draw(3)
    patterns = {"base": patterns_of(model, base), "alternative": patterns_of(model, other)}
    heads = [(layer, head) for layer in range(config.num_hidden_layers) for head in range(config.num_attention_heads)]
    sets = [[head] for head in heads] + [heads]
    both = lambda text, *more: [score(model, text, first, *more), score(model, text, second, *more)]
    return {"model": name, "base_ids": base, "alternative_ids": other, "candidate1": first, "candidate2": second, "sets": sets,
            "base": both(base), "alternative": both(other), "indirect": [both(base, s, patterns["alternative"]) for s in sets],
            "direct": [both(other, s, patterns["base"]) for s in sets]}


cases = [case("gpt2", 1, 9, 8), case("gpt2", 2, 7, 0), case("llama", 3, 11, 6)]
(HERE / "mediation.json").write_text(json.dumps(cases) + "\n")
