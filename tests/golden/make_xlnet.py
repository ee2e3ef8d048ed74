#!/usr/bin/env python3
"""Tiny random XLNets and what Hugging Face transformers computes with them, into encoders/<name> as make_encoders.py does.

XLNet's attention calls no modules that could be hooked: queries, keys and scores are computed here from the hidden states of
transformers, and every map, every next hidden state of both streams and the logits are compared with its own.

    expected.safetensors  input_ids, token_types, allowed [pos, pos], targets (int32); one float32 tensor for each hook name
"""
import argparse
import pathlib

import torch
import transformers
from safetensors.torch import save_file

from make_encoders import norm_points, rows

POSITIONS = 11


def close(a, b):
    assert torch.allclose(a, b, atol=2e-5, rtol=1e-4), (a - b).abs().max()


def scores_of(layer, config, q, k, positions, types):
    """[heads, q, k]; positions of the queries"""
    count, width = k.shape[0], config.d_model
    frequencies = 1 / torch.pow(10000, torch.arange(0, width, 2.0) / width)
    apart = (positions[:, None] - torch.arange(count)[None, :]).float()
    if config.clamp_len > 0:
        apart = apart.clamp(-config.clamp_len, config.clamp_len)
    angles = apart[..., None] * frequencies
    r = torch.einsum("ijh,hnd->ijnd", torch.cat([angles.sin(), angles.cos()], -1), layer.r)
    scores = torch.einsum("ind,jnd->nij", q + layer.r_w_bias, k) + torch.einsum("ind,ijnd->nij", q + layer.r_r_bias, r)
    if types is not None:
        other = (types[positions][:, None] != types[None, :]).long()
        terms = torch.einsum("ind,snd->ins", q + layer.r_s_bias, layer.seg_embed)
        scores = scores + torch.gather(terms.permute(1, 0, 2), 2, other[None].expand(scores.shape[0], -1, -1))
    return scores * layer.scale


def stream_points(out, prefix, model_layer, config, h, kv, mask, positions, types):
    """One stream of one block. h [rows, width]; kv (k, v) of the content; mask [rows, pos], True where a key is seen."""
    layer, ff, attn, mlp = model_layer.rel_attn, model_layer.ff, prefix + "attn.", prefix + "mlp."
    heads = config.n_head
    q = torch.einsum("ih,hnd->ind", h, layer.q)
    k, v = kv
    out[prefix + "hook_resid_pre"] = rows(h)
    out[attn + "hook_q"] = out[attn + "hook_rot_q"] = q
    if not prefix.startswith("query"):
        out[attn + "hook_k"] = out[attn + "hook_rot_k"] = k
        out[attn + "hook_v"] = v
    scores = scores_of(layer, config, q, k, positions, types).masked_fill(~mask[None], float("-inf"))
    weights = torch.softmax(scores, -1)
    s, w = scores.permute(1, 0, 2).contiguous(), weights.permute(1, 0, 2).contiguous()
    distance = (torch.arange(k.shape[0])[None, :] - positions[:, None]).abs().float()
    out[attn + "hook_attn_scores"], out[attn + "hook_pattern"] = s, w
    out[attn + "hook_normalizer"] = torch.logsumexp(s, -1)[..., None]
    out[attn + "hook_row_stats"] = torch.stack([-torch.xlogy(w, w).sum(-1), (w * distance[:, None, :]).sum(-1), w[..., 0]], -1)
    z = torch.einsum("nij,jnd->ind", weights, v)
    out[attn + "hook_z"] = z
    out[attn + "hook_out"] = out[prefix + "hook_attn_out"] = rows(torch.einsum("ind,hnd->ih", z, layer.o))
    mid = h + out[attn + "hook_out"][:, 0]
    out[prefix + "hook_resid_mid"] = rows(mid)
    norm_points(out, prefix + "ln1.", mid, layer.layer_norm)
    base = layer.layer_norm(mid)
    pre = ff.layer_1(base)
    post = ff.activation_function(pre)
    out[mlp + "hook_pre"], out[mlp + "hook_post"] = rows(pre), rows(post)
    out[mlp + "hook_out"] = out[prefix + "hook_mlp_out"] = rows(ff.layer_2(post))
    end = base + out[mlp + "hook_out"][:, 0]
    out[prefix + "hook_resid_post"] = rows(end)
    norm_points(out, prefix + "ln2.", end, ff.layer_norm)
    return ff.layer_norm(end), weights


def points(model, inputs):
    config, base, out = model.config, model.transformer, {}
    ids, targets = inputs["input_ids"][0], inputs.get("targets")
    count = len(ids)
    keywords = {"input_ids": inputs["input_ids"]}
    types = inputs["token_types"][0] if "token_types" in inputs else None
    if types is not None:
        keywords["token_type_ids"] = types[None]
    before = torch.ones(count, count, dtype=torch.bool)
    if config.attn_type == "uni":
        before = torch.eye(count, dtype=torch.bool) if config.same_length else torch.ones(count, count).tril().bool()
    if "allowed" in inputs:
        keywords["perm_mask"] = 1.0 - inputs["allowed"][None].float()
        before = before & inputs["allowed"].bool()
    if targets is not None:
        mapping = torch.zeros(1, len(targets), count)
        mapping[0, torch.arange(len(targets)), targets] = 1
        keywords["target_mapping"] = mapping
    result = model(**keywords, output_attentions=True, output_hidden_states=True, use_mems=False)
    hidden = result.hidden_states  # with targets the streams take turns
    content = base.word_embedding(ids)
    out["hook_embed"] = rows(content)
    queries = base.mask_emb[0].expand(len(targets), -1) if targets is not None else None
    step = 2 if targets is not None else 1
    for i, layer in enumerate(base.layer):
        close(content, hidden[step * i][0])
        kv = tuple(torch.einsum("ih,hnd->ind", content, w) for w in (layer.rel_attn.k, layer.rel_attn.v))
        seen = before | torch.eye(count, dtype=torch.bool)
        after, weights = stream_points(out, f"blocks.{i}.", layer, config, content, kv, seen, torch.arange(count), types)
        theirs = result.attentions[i]
        close(weights, (theirs[0] if targets is not None else theirs)[0])
        if targets is not None:
            close(queries, hidden[step * i + 1][0])
            queries, weights = stream_points(out, f"query.blocks.{i}.", layer, config, queries, kv, before[targets], targets, types)
            close(weights, theirs[1][0][:, targets])
        content = after
    if hasattr(model, "lm_loss"):
        close(model.lm_loss(queries if targets is not None else content), result.logits[0])
        out["logits"] = rows(result.logits)
    else:
        out["readout.labels"] = result.logits[0] if result.logits.dim() == 3 else result.logits
    return out


def randomise(model, generator):
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if value.dim() == 1:
            value.data = 1 + 0.2 * noise if "norm" in name and name.endswith("weight") else 0.1 * noise
        elif "rel_attn" in name and ("bias" in name or "seg_embed" in name):
            value.data = 0.4 * noise
        elif "rel_attn" in name:
            value.data = noise * 1.4 / value.shape[0] ** 0.5
        else:
            value.data = noise * (0.5 if "embedding" in name or "mask_emb" in name else 1.4 / value.shape[-1] ** 0.5)


def models():
    t = transformers
    xlnet = dict(vocab_size=47, d_model=20, n_layer=2, n_head=5, d_inner=28, mem_len=None)
    names = {"id2label": {0: "calm", 1: "odd", 2: "loud"}, "label2id": {"calm": 0, "odd": 1, "loud": 2}}
    yield "xlnet", t.XLNetLMHeadModel, t.XLNetConfig(**xlnet), ("token_types", "allowed", "targets")
    yield "xlnet_one_stream", t.XLNetLMHeadModel, t.XLNetConfig(clamp_len=4, ff_activation="relu", **xlnet), ()
    yield "xlnet_permuted", t.XLNetLMHeadModel, t.XLNetConfig(tie_word_embeddings=False, **dict(xlnet, n_layer=1, n_head=2)), ("token_types", "allowed")
    yield "xlnet_uni", t.XLNetLMHeadModel, t.XLNetConfig(attn_type="uni", **dict(xlnet, n_head=4)), ("token_types", "targets")
    yield "xlnet_uni_same_length", t.XLNetLMHeadModel, t.XLNetConfig(attn_type="uni", same_length=True, **dict(xlnet, n_layer=1)), ()
    yield "xlnet_labels", t.XLNetForSequenceClassification, t.XLNetConfig(**names, **xlnet), ("token_types",)
    yield "xlnet_labels_mean", t.XLNetForSequenceClassification, t.XLNetConfig(
        summary_type="mean", summary_activation="gelu", **names, **xlnet), ()
    yield "xlnet_token_labels", t.XLNetForTokenClassification, t.XLNetConfig(**names, **xlnet), ("token_types",)


def make(target, seed, kind, config, wanted):
    generator = torch.Generator().manual_seed(seed)
    model = kind(config).eval()
    randomise(model, generator)
    model.tie_weights()
    inputs = {"input_ids": torch.randint(0, config.vocab_size, (1, POSITIONS), generator=generator)}
    if "token_types" in wanted:
        inputs["token_types"] = torch.tensor([[0] * 5 + [1] * 5 + [2]])
    if "allowed" in wanted:  # a random order of the tokens: those before it are seen; somebody always is
        order = torch.randperm(POSITIONS, generator=generator)
        inputs["allowed"] = (order[None, :] < order[:, None]).int()
        inputs["allowed"][order.argmin(), (order.argmin() + 1) % POSITIONS] = 1
    if "targets" in wanted:
        inputs["targets"] = torch.tensor([8, 2, 5])
    with torch.no_grad():
        tensors = {key: value.to(torch.float32).contiguous().clone() for key, value in points(model, inputs).items()}
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target / "model")
    (target / "model" / "generation_config.json").unlink(missing_ok=True)
    for key, value in inputs.items():
        tensors[key] = (value[0] if key in ("input_ids", "token_types") else value).to(torch.int32).contiguous()
    save_file(tensors, target / "expected.safetensors")
    print(f"{target.name}: {sum(p.numel() for p in model.parameters())} parameters, {len(tensors)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "encoders")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, kind, config, wanted) in enumerate(models()):
        make(arguments.output / name, seed, kind, config, wanted)


if __name__ == "__main__":
    main()
