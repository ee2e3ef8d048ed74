"""PyTorch: transformers' Llama in f32 (a GGUF is dequantised), and scaled_dot_product_attention."""
import pathlib
import time

import torch
from worker import DECODED, random_ids, serve


class Peer:
    def __init__(self, path, threads):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.version = f"torch {torch.__version__}, f32"
        self.path = pathlib.Path(path)
        self.model = None  # attention alone needs none
        self.caches, self.inputs = {}, {}

    def loaded(self):
        if self.model is None:
            from transformers import AutoModelForCausalLM
            words = ({"gguf_file": self.path.name} if self.path.suffix == ".gguf" else {})
            folder = self.path.parent if self.path.is_file() else self.path
            self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **words).eval()
        return self.model

    def measure(self, task):
        return self.attention(task) if task["kind"] == "attention" else self.run_model(task)

    def attention(self, task):
        shape = (1, task["heads"], task["tokens"], task["head_dim"])
        if shape not in self.inputs:
            self.inputs[shape] = [torch.randn(shape) for _ in range(3)]
        q, k, v = self.inputs[shape]
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        calls, start = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < 0.2:
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            calls += 1
        return (time.perf_counter() - start) / calls

    def run_model(self, task):
        from transformers import DynamicCache
        model, tokens = self.loaded(), task["tokens"]
        ids = torch.tensor([random_ids(model.config.vocab_size, tokens + DECODED)])
        if task["kind"] == "prefill":
            start = time.perf_counter()
            model(ids[:, :tokens], past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)
            return time.perf_counter() - start
        if tokens not in self.caches:
            self.caches[tokens] = DynamicCache()
            for begin in range(0, tokens, 512):
                model(ids[:, begin:min(begin + 512, tokens)], past_key_values=self.caches[tokens], use_cache=True, logits_to_keep=1)
        cache = self.caches[tokens]
        start = time.perf_counter()
        for i in range(tokens, tokens + DECODED):
            model(ids[:, i:i + 1], past_key_values=cache, use_cache=True, logits_to_keep=1)
        seconds = (time.perf_counter() - start) / DECODED
        cache.crop(-DECODED)
        return seconds


serve(Peer)
