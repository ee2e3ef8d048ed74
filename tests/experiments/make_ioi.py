#!/usr/bin/env python3
"""Writes ioi.json beside itself: the study of indirect objects on two tiny models with random prompts, by transformers with torch hooks.
Needs torch and transformers. Patching runs every cell as a whole pass of its own."""
import json
from pathlib import Path

import torch
from transformers import AttentionInterface, AutoModelForCausalLM

torch.set_num_threads(1)
HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
patterns, replaced = {}, {}


def attend(module, query, key, value, attention_mask, scaling=None, **_):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    pattern = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), float("-inf")).softmax(-1)
    patterns[module.layer_idx] = pattern.clone()
    for head, other in replaced.get(module.layer_idx, {}).items():
        pattern[0, head] = other
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


AttentionInterface.register("watched", attend)


class Model:
    """Names of this program's points over modules of transformers."""

    def __init__(self, name):
        self.model = AutoModelForCausalLM.from_pretrained(GOLDEN / name / "model", attn_implementation="watched").eval()
        self.gpt = name == "gpt2"
        self.config, self.layers = self.model.config, self.model.transformer.h if self.gpt else self.model.model.layers
        self.heads, self.width = self.config.num_attention_heads, self.config.hidden_size
        self.kv_heads = self.heads if self.gpt else self.config.num_key_value_heads
        self.dim = self.width // self.heads if self.gpt else self.config.head_dim
        self.norm = self.model.transformer.ln_f if self.gpt else self.model.model.norm

    def at(self, layer, point):
        """(module, "in" or "out", begin, end) where the point's numbers go by."""
        block = self.layers[layer]
        attention = block.attn if self.gpt else block.self_attn
        if point == "resid_pre": return block, "in", 0, self.width
        if point == "attn_out": return attention, "out", 0, self.width
        if point == "mlp_out": return block.mlp, "out", 0, self.width
        if point == "z": return (attention.c_proj if self.gpt else attention.o_proj), "in", 0, self.heads * self.dim
        if self.gpt: return attention.c_attn, "out", "qkv".index(point) * self.width, ("qkv".index(point) + 1) * self.width
        return getattr(attention, point + "_proj"), "out", 0, (self.heads if point == "q" else self.kv_heads) * self.dim

    def run(self, ids, keep=(), write=None):
        """-> logits of the last row, {(layer, point): [positions, numbers]}; write: (layer, point, rows, columns, values)."""
        kept, handles = {}, []

        def watch(layer, point, change):
            module, side, begin, end = self.at(layer, point)

            def touch(value):
                tensor = value[0] if isinstance(value, tuple) else value
                if change:
                    rows, columns, values = change
                    tensor = tensor.clone()
                    tensor[0, rows, begin + columns.start:begin + columns.stop] = values
                else:
                    kept[layer, point] = tensor[0, :, begin:end].clone()
                return (tensor, *value[1:]) if isinstance(value, tuple) else tensor
            if side == "out":
                handles.append(module.register_forward_hook(lambda _, __, out: touch(out)))
            else:
                handles.append(module.register_forward_pre_hook(lambda _, args, kwargs: ((touch(args), kwargs) if args else (args, {**kwargs, "hidden_states": touch(kwargs["hidden_states"])})), with_kwargs=True))
        for layer, point in keep: watch(layer, point, None)
        if write: watch(write[0], write[1], write[2:])
        last = []
        handles.append(self.norm.register_forward_pre_hook(lambda _, args: last.append(args[0][0, -1].double())))
        with torch.no_grad():
            logits = self.model(torch.tensor([ids])).logits[0, -1].double()
        for handle in handles: handle.remove()
        return logits, kept, last[0]


def case(name, seed, lengths):
    torch.manual_seed(seed)
    m = Model(name)
    layers = range(len(m.layers))
    prompts = []
    for length in lengths:  # neighbours are each other's corruption
        first = torch.randint(3, m.config.vocab_size, (length,)).tolist()
        second = list(first)
        second[length // 2] = (first[length // 2] + 7) % m.config.vocab_size
        answer, wrong = torch.randperm(m.config.vocab_size)[:2].tolist()
        prompts += [{"ids": first, "answer": answer, "wrong": wrong}, {"ids": second, "answer": wrong, "wrong": answer}]
    points = ["resid_pre", "attn_out", "mlp_out", "z", "q", "k", "v"]
    everything = [(layer, point) for layer in layers for point in points]
    runs = []
    for prompt in prompts:
        logits, kept, last = m.run(prompt["ids"], everything)
        runs.append((logits, kept, last, dict(patterns)))
    difference = lambda logits, prompt: (logits[prompt["answer"]] - logits[prompt["wrong"]]).item()
    head_weight, gain = m.model.lm_head.weight.double(), m.norm.weight.double()
    result = {"model": name, "prompts": prompts, "differences": [difference(run[0], prompt) for run, prompt in zip(runs, prompts)]}

    lens, parts, heads = {}, {}, torch.zeros(len(m.layers), m.heads, dtype=torch.double)
    for (logits, kept, last, _), prompt in zip(runs, prompts):
        epsilon = m.config.layer_norm_epsilon if m.gpt else m.config.rms_norm_eps
        scale = ((last - last.mean() if m.gpt else last).square().mean() + epsilon).sqrt()
        direction = gain * (head_weight[prompt["answer"]] - head_weight[prompt["wrong"]]) / scale
        if m.gpt: direction = direction - direction.mean()
        worth = lambda x: (x.double() @ direction).item() / len(prompts)
        add = lambda table, key, x: table.__setitem__(key, table.get(key, 0.0) + worth(x))
        token = torch.tensor(prompt["ids"][-1])
        if m.gpt:
            add(parts, "embed", m.model.transformer.wte(token).detach())
            add(parts, "pos_embed", m.model.transformer.wpe(torch.tensor(len(prompt["ids"]) - 1)).detach())
        else:
            add(parts, "embed", m.model.model.embed_tokens(token).detach())
        for layer in layers:
            value = lambda point: kept[layer, point][-1]
            add(lens, f"{layer}_pre", value("resid_pre"))
            add(lens, f"{layer}_mid", value("resid_pre") + value("attn_out"))
            add(parts, f"{layer}_attn_out", value("attn_out"))
            add(parts, f"{layer}_mlp_out", value("mlp_out"))
            attention = m.layers[layer].attn if m.gpt else m.layers[layer].self_attn
            out = attention.c_proj.weight.double() if m.gpt else attention.o_proj.weight.double().T  # [heads x d_head, width]
            bias = attention.c_attn.bias[2 * m.width:] if m.gpt else torch.zeros(m.heads * m.dim)
            if not m.gpt and attention.v_proj.bias is not None: bias = attention.v_proj.bias.view(m.kv_heads, m.dim).repeat_interleave(m.heads // m.kv_heads, 0).flatten()
            for head in range(m.heads):
                s = slice(head * m.dim, (head + 1) * m.dim)
                heads[layer, head] += ((value("z")[s].double() - bias[s].double()) @ out[s] @ direction).item() / len(prompts)
        add(lens, "final_post", last)
    result |= {"lens": lens, "parts": parts, "heads": heads.tolist(), "patched": {}}

    clean = sum(result["differences"])
    corrupt = sum(difference(runs[i ^ 1][0], prompts[i]) for i in range(len(prompts)))
    for point in points + ["pattern"]:
        by_position = point in ("resid_pre", "attn_out", "mlp_out")
        columns = lengths[0] if by_position else m.kv_heads if point in "kv" else m.heads
        matrix = [[0.0] * columns for _ in layers]
        for i, prompt in enumerate(prompts):
            for layer in layers:
                for column in range(columns):
                    replaced.clear()
                    write = None
                    if point == "pattern":
                        replaced[layer] = {column: runs[i][3][layer][0, column]}
                    else:
                        rows = slice(column, column + 1) if by_position else slice(None)
                        cut = slice(0, m.width) if by_position else slice(column * m.dim, (column + 1) * m.dim)
                        write = (layer, point, rows, cut, runs[i][1][layer, point][rows, cut])
                    matrix[layer][column] += difference(m.run(prompts[i ^ 1]["ids"], write=write)[0], prompt)
                    replaced.clear()
        result["patched"][point] = [[(value - corrupt) / (clean - corrupt) for value in row] for row in matrix]
    return result


(HERE / "ioi.json").write_text(json.dumps([case("gpt2", 1, [9, 9]), case("llama", 2, [8, 8])]) + "\n")
