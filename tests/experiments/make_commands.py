#!/usr/bin/env python3
"""What Hugging Face transformers makes of the tiny models of tests/golden where people ask from the command line, into commands.json
beside this script: tokens for gaps, labels, greedy texts, log-probabilities of a target. Needs torch and transformers >= 5."""
import json
import pathlib

import torch
import transformers as t

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
MASK, TOP = 45, 4
TEXT = [3, 17, 5, MASK, 21, 9, MASK, 11, 2]


def opened(kind, name):
    return kind.from_pretrained(GOLDEN / name / "model", attn_implementation="eager").eval()


def fill(kind, name):
    model, ids = opened(kind, name), torch.tensor([TEXT])
    gaps = [i for i, token in enumerate(TEXT) if token == MASK]
    inputs = {"input_ids": ids}
    if kind is t.XLNetLMHeadModel:  # nobody sees a gap; rows of the query stream predict it
        inputs["perm_mask"] = (ids == MASK).float()[:, None, :].expand(-1, len(TEXT), -1)
        inputs["target_mapping"] = torch.nn.functional.one_hot(torch.tensor(gaps), len(TEXT)).float()[None]
    logits = model(**inputs).logits[0]
    rows = logits if kind is t.XLNetLMHeadModel else logits[gaps]
    best = torch.softmax(rows.double(), -1).topk(TOP)
    masks = [{"position": p, "ids": i.tolist(), "probabilities": v.tolist()} for p, i, v in zip(gaps, best.indices, best.values, strict=True)]
    return {"command": "fill", "model": name, "ids": TEXT, "mask": MASK, "masks": masks}


def classify(kind, name, rule):
    model = opened(kind, name)
    eos = getattr(model.config, "eos_token_id", None)
    ids = [token if token != MASK else 7 for token in TEXT]
    if model.config.is_encoder_decoder:
        ids[-1] = eos
    logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    values = {"softmax": lambda x: torch.softmax(x, -1), "sigmoid": torch.sigmoid, "number": lambda x: x}[rule](logits)
    return {"command": "classify", "model": name, "ids": ids, "labels": values.reshape(-1, values.shape[-1]).tolist()}


def generate(kind, name):
    model = opened(kind, name)
    ids = [token if token != MASK else 7 for token in TEXT]
    made = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False, num_beams=1, max_new_tokens=10, use_cache=False)
    said = made[0, 1:].tolist()
    stop = model.generation_config.eos_token_id
    if stop in said:
        said = said[:said.index(stop)]
    return {"command": "generate", "model": name, "ids": ids, "said": said}


def score(kind, name):
    model, target = opened(kind, name), [2, 9, 30, 12, 4]
    ids = [token if token != MASK else 7 for token in TEXT]
    logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([target])).logits[0].double()
    scores = torch.log_softmax(logits, -1)[range(len(target) - 1), target[1:]]
    return {"command": "score", "model": name, "ids": ids, "target": target, "sum": scores.sum().item()}


def main():
    torch.set_num_threads(1)
    with torch.no_grad():
        cases = [fill(t.BertForMaskedLM, "encoders/bert_mlm"), fill(t.RobertaForMaskedLM, "encoders/roberta_mlm"),
                 fill(t.DistilBertForMaskedLM, "encoders/distilbert_mlm"), fill(t.AlbertForMaskedLM, "encoders/albert_mlm"),
                 fill(t.ElectraForMaskedLM, "encoders/electra_generator")]
        cases += [fill(t.XLNetLMHeadModel, "encoders/xlnet"), fill(t.XLNetLMHeadModel, "encoders/xlnet_permuted"),
                  fill(t.BartForConditionalGeneration, "encoder_decoders/bart"), fill(t.MBartForConditionalGeneration, "encoder_decoders/mbart")]
        cases += [classify(t.BertForSequenceClassification, "encoders/bert_labels", "softmax"),
                  classify(t.BertForSequenceClassification, "encoders/bert_many_labels", "sigmoid"),
                  classify(t.BertForSequenceClassification, "encoders/bert_regression", "number"),
                  classify(t.BertForTokenClassification, "encoders/bert_token_labels", "softmax"),
                  classify(t.RobertaForSequenceClassification, "encoders/roberta_labels", "softmax"),
                  classify(t.DistilBertForSequenceClassification, "encoders/distilbert_labels", "softmax"),
                  classify(t.AlbertForSequenceClassification, "encoders/albert_labels", "softmax"),
                  classify(t.ElectraForTokenClassification, "encoders/electra_token_labels", "softmax"),
                  classify(t.XLNetForSequenceClassification, "encoders/xlnet_labels", "softmax"),
                  classify(t.BartForSequenceClassification, "encoder_decoders/bart_labels", "softmax"),
                  classify(t.T5ForSequenceClassification, "encoder_decoders/t5_labels", "softmax")]
        kinds = {"bart": t.BartForConditionalGeneration, "mbart": t.MBartForConditionalGeneration, "marian": t.MarianMTModel,
                 "m2m_100": t.M2M100ForConditionalGeneration, "t5": t.T5ForConditionalGeneration}
        cases += [generate(kind, f"encoder_decoders/{name}") for name, kind in kinds.items()]
        cases += [score(kind, f"encoder_decoders/{name}") for name, kind in kinds.items()]
    path = pathlib.Path(__file__).with_name("commands.json")
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
