#!/usr/bin/env python3
"""Tiny random encoders and what Hugging Face transformers computes with them, as make_models.py does for decoders.

    tests/golden/encoders/<name>/model/               config.json, model.safetensors (float32)
    tests/golden/encoders/bert_gguf/model.gguf        the same weights
    tests/golden/encoders/<name>/expected.safetensors input_ids, token_types (int32); one float32 tensor for each hook name;
                                                      readout.pooled [rows, width], readout.labels [rows, labels]
Models of which only the readout is new have no hooks. Needs torch, transformers >= 5, safetensors and gguf.
"""
import argparse
import pathlib

import gguf
import torch
import transformers
from safetensors.torch import save_file

POSITIONS = 13  # odd, and no multiple of a vector register


class Calls:
    """Every call of a module: what went in and what came out, in order (shared layers are called many times)."""

    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def on(self, module):
        if module in self.inputs:
            return
        self.inputs[module], self.outputs[module] = [], []

        def hook(_, args, kwargs, result):
            self.inputs[module].append(args[0] if args else kwargs.get("hidden_states"))
            self.outputs[module].append(result)
        module.register_forward_hook(hook, with_kwargs=True)


def rows(value, heads=1):
    """[1, pos, heads * width] -> [pos, heads, width]"""
    value = value.detach()
    value = value[0] if value.dim() == 3 else value
    return value.reshape(value.shape[0], heads, -1).to(torch.float32).contiguous().clone()


def norm_points(out, name, x, module):
    """TransformerLens' hook_scale and hook_normalized: rms before the weight, layer norm after weight and bias."""
    x = x.detach()
    x = x[0] if x.dim() == 3 else x
    if isinstance(module, torch.nn.LayerNorm):
        scale, normalized = (x.var(-1, keepdim=True, unbiased=False) + module.eps).sqrt(), module(x).detach()
    else:
        scale = (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
        normalized = x / scale
    out[name + "hook_scale"], out[name + "hook_normalized"] = scale[:, None].clone(), normalized[:, None].clone()


def attention_points(out, prefix, scores, weights, q, k):
    """scores and weights [heads, q, k]; q, k [pos, heads, d] as multiplied"""
    scores, weights = scores.detach().permute(1, 0, 2).contiguous(), weights.detach().permute(1, 0, 2).contiguous()
    assert torch.allclose(torch.softmax(scores, -1), weights, atol=1e-5), prefix
    count, keys = scores.shape[0], scores.shape[2]
    distance = (torch.arange(keys)[None, :] - torch.arange(count)[:, None]).abs().float()
    out[prefix + "hook_rot_q"], out[prefix + "hook_rot_k"] = q, k
    out[prefix + "hook_attn_scores"], out[prefix + "hook_pattern"] = scores, weights
    out[prefix + "hook_normalizer"] = torch.logsumexp(scores, -1)[..., None]
    out[prefix + "hook_row_stats"] = torch.stack([-torch.xlogy(weights, weights).sum(-1), (weights * distance[:, None, :]).sum(-1),
                                                  weights[..., 0]], -1)


def bert_layers(base):
    for layer in base.encoder.layer:
        own, after = layer.attention.self, layer.attention.output
        yield dict(q=own.query, k=own.key, v=own.value, attn=after.dense, ln1=after.LayerNorm, up=layer.intermediate.dense,
                   down=layer.output.dense, ln2=layer.output.LayerNorm)


def distilbert_layers(base):
    for layer in base.transformer.layer:
        own = layer.attention
        yield dict(q=own.q_lin, k=own.k_lin, v=own.v_lin, attn=own.out_lin, ln1=layer.sa_layer_norm, up=layer.ffn.lin1,
                   down=layer.ffn.lin2, ln2=layer.output_layer_norm)


def albert_layers(base):
    config = base.config
    for i in range(config.num_hidden_layers):
        group = base.encoder.albert_layer_groups[int(i / (config.num_hidden_layers / config.num_hidden_groups))]
        for layer in group.albert_layers:
            own = layer.attention
            yield dict(q=own.query, k=own.key, v=own.value, attn=own.dense, ln1=own.LayerNorm, up=layer.ffn, down=layer.ffn_output,
                       ln2=layer.full_layer_layer_norm)


def post_norm_points(model, base, layers, inputs):
    """Post-norm as TransformerLens names it: resid_mid and resid_post are the sums before ln1 and ln2."""
    calls, out, layers = Calls(), {}, list(layers)
    heads = base.config.num_attention_heads
    for module in [base.embeddings.word_embeddings, base.embeddings.position_embeddings] + [m for layer in layers for m in layer.values()]:
        calls.on(module)
    result = model(**inputs, output_attentions=True)
    out["hook_embed"] = rows(calls.outputs[base.embeddings.word_embeddings][0])
    out["hook_pos_embed"] = rows(calls.outputs[base.embeddings.position_embeddings][0])
    seen = {}
    for i, layer in enumerate(layers):
        call = seen.get(layer["q"], 0)
        seen[layer["q"]] = call + 1
        took, gave = lambda n: calls.inputs[layer[n]][call], lambda n: calls.outputs[layer[n]][call]
        block, attn, mlp = f"blocks.{i}.", f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        out[block + "hook_resid_pre"] = rows(took("q"))
        q, k = rows(gave("q"), heads), rows(gave("k"), heads)
        out[attn + "hook_q"], out[attn + "hook_k"], out[attn + "hook_v"] = q, k, rows(gave("v"), heads)
        scores = torch.einsum("ihd,jhd->hij", q, k) * q.shape[2] ** -0.5
        attention_points(out, attn, scores, result.attentions[i][0], q, k)
        out[attn + "hook_z"] = rows(took("attn"), heads)
        out[attn + "hook_out"] = out[block + "hook_attn_out"] = rows(gave("attn"))
        out[block + "hook_resid_mid"] = rows(took("ln1"))
        norm_points(out, block + "ln1.", took("ln1"), layer["ln1"])
        out[mlp + "hook_pre"], out[mlp + "hook_post"] = rows(gave("up")), rows(took("down"))
        out[mlp + "hook_out"] = out[block + "hook_mlp_out"] = rows(gave("down"))
        out[block + "hook_resid_post"] = rows(took("ln2"))
        norm_points(out, block + "ln2.", took("ln2"), layer["ln2"])
    return out, result


def randomise(model, generator):
    """Weights large enough that attention is far from uniform; norms and biases that are not ones and zeros."""
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if value.dim() == 1:
            value.data = 1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.1 * noise
        else:
            value.data = noise * (0.5 if "embeddings." in name else 1.4 / value.shape[-1] ** 0.5)


def BareBert(config):
    return transformers.BertModel(config, add_pooling_layer=False)


def write_bert_gguf(model, path):
    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny random bert")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.CLS)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config.num_hidden_layers)
    for name, value in state.items():
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), value.detach().to(torch.float32).contiguous().numpy())
    write_out(writer)


def write_out(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def models():
    """name, class, config, layers of the base model or None (the readout alone), index of pooled vectors in the result"""
    t = transformers
    bert = dict(vocab_size=61, hidden_size=28, num_hidden_layers=2, num_attention_heads=7, intermediate_size=40,
                max_position_embeddings=30, type_vocab_size=3)
    names = {"id2label": {0: "calm", 1: "odd", 2: "loud"}, "label2id": {"calm": 0, "odd": 1, "loud": 2}}
    yield "bert_mlm", t.BertForMaskedLM, t.BertConfig(**bert), bert_layers
    yield "bert_pretraining", t.BertForPreTraining, t.BertConfig(tie_word_embeddings=False, hidden_act="gelu_new", **bert), bert_layers
    yield "bert_pooler", t.BertModel, t.BertConfig(**bert), None
    yield "bert_labels", t.BertForSequenceClassification, t.BertConfig(**names, **bert), None
    yield "bert_many_labels", t.BertForSequenceClassification, t.BertConfig(problem_type="multi_label_classification", **names, **bert), None
    yield "bert_regression", t.BertForSequenceClassification, t.BertConfig(num_labels=1, problem_type="regression", **bert), None
    yield "bert_token_labels", t.BertForTokenClassification, t.BertConfig(hidden_act="relu", **names, **bert), None
    roberta = dict(bert, type_vocab_size=1, pad_token_id=3)
    yield "roberta_mlm", t.RobertaForMaskedLM, t.RobertaConfig(layer_norm_eps=1e-5, **roberta), bert_layers
    yield "roberta_labels", t.RobertaForSequenceClassification, t.RobertaConfig(**names, **roberta), None
    yield "roberta_token_labels", t.RobertaForTokenClassification, t.RobertaConfig(**names, **roberta), None
    distilbert = dict(vocab_size=61, dim=30, n_layers=3, n_heads=5, hidden_dim=44, max_position_embeddings=30)
    yield "distilbert_mlm", t.DistilBertForMaskedLM, t.DistilBertConfig(sinusoidal_pos_embds=True, **distilbert), distilbert_layers
    yield "distilbert_labels", t.DistilBertForSequenceClassification, t.DistilBertConfig(activation="relu", **names, **distilbert), None
    yield "distilbert_token_labels", t.DistilBertForTokenClassification, t.DistilBertConfig(**names, **distilbert), None
    albert = dict(bert, embedding_size=18, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=1)
    yield "albert_mlm", t.AlbertForMaskedLM, t.AlbertConfig(**albert), albert_layers
    inner = dict(albert, num_hidden_layers=3, inner_group_num=2, hidden_act="gelu")
    yield "albert_pretraining", t.AlbertForPreTraining, t.AlbertConfig(**inner), albert_layers
    yield "albert_labels", t.AlbertForSequenceClassification, t.AlbertConfig(**names, **inner), None
    electra = dict(bert, embedding_size=18)
    yield "electra_generator", t.ElectraForMaskedLM, t.ElectraConfig(**electra), bert_layers
    yield "electra_discriminator", t.ElectraForPreTraining, t.ElectraConfig(**dict(electra, embedding_size=28)), bert_layers
    yield "electra_labels", t.ElectraForSequenceClassification, t.ElectraConfig(**names, **electra), None
    yield "electra_token_labels", t.ElectraForTokenClassification, t.ElectraConfig(**names, **electra), None
    yield "t5_token_labels", t.T5ForTokenClassification, t.T5Config(
        vocab_size=53, d_model=20, d_kv=6, d_ff=28, num_layers=2, num_heads=5, relative_attention_num_buckets=8,
        relative_attention_max_distance=9, **names), None
    yield "bert_gguf", BareBert, t.BertConfig(**bert), bert_layers


def readout_of(result):
    """Pooled vectors and labels, whatever the class calls them."""
    out = {}
    for key in ("seq_relationship_logits", "sop_logits", "logits"):
        value = getattr(result, key, None)
        if value is None:
            continue
        value = value.detach()
        if value.dim() == 3:
            value = value[0]
        out["readout.labels"] = (value if value.shape[0] == 1 or value.dim() == 2 else value[:, None]).clone()
        break
    if getattr(result, "pooler_output", None) is not None:
        out["readout.pooled"] = result.pooler_output.detach().clone()
    return out


def expected_of(model, layers, inputs):
    base = getattr(model, model.base_model_prefix, model)
    if layers is None:
        return readout_of(model(**inputs))
    out, result = post_norm_points(model, base, layers(base), inputs)
    logits = getattr(result, "prediction_logits", None)
    is_head = logits is not None or type(model).__name__.endswith("MaskedLM")
    if is_head:
        out["logits"] = rows(logits if logits is not None else result.logits)
    if not type(model).__name__.endswith("MaskedLM"):
        labels = readout_of(result)
        if type(model).__name__ == "ElectraForPreTraining":
            labels = {"readout.labels": result.logits.detach()[0][:, None].clone()}
        out.update(labels)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "encoders")
    parser.add_argument("--only", default="", help="names that begin so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, kind, config, layers) in enumerate(models()):
        if name.startswith(arguments.only):
            make(arguments.output / name, seed, kind, config, layers)


def well_conditioned(model, inputs, tensors):
    """Whether torch's own rounding stays far below the test's tolerance: a small number may be what two large ones leave."""
    exact = readout_of(model.double()(**inputs))
    exact = {key: value.reshape(tensors[key].shape) for key, value in exact.items() if key in tensors}
    model.float()
    return all((tensors[key] - value).norm() < 2e-6 * value.norm() for key, value in exact.items())


def make(target, seed, kind, config, layers):
    generator = torch.Generator().manual_seed(seed)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    while True:
        randomise(model, generator)
        model.tie_weights()
        inputs = {"input_ids": torch.randint(0, config.vocab_size, (1, POSITIONS), generator=generator)}
        if getattr(config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = torch.randint(0, config.type_vocab_size, (1, POSITIONS), generator=generator)
        if config.model_type == "roberta":
            inputs["input_ids"][0, 4] = config.pad_token_id  # whose position does not count
        with torch.no_grad():
            tensors = {key: value.to(torch.float32).contiguous().clone() for key, value in expected_of(model, layers, inputs).items()}
            if well_conditioned(model, inputs, tensors):
                break
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target / "model")
    (target / "model" / "generation_config.json").unlink(missing_ok=True)
    if target.name == "bert_gguf":
        write_bert_gguf(model, target / "model.gguf")
    tensors["input_ids"] = inputs["input_ids"][0].to(torch.int32)
    if "token_type_ids" in inputs:
        tensors["token_types"] = inputs["token_type_ids"][0].to(torch.int32)
    save_file(tensors, target / "expected.safetensors")
    print(f"{target.name}: {sum(p.numel() for p in model.parameters())} parameters, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
