"""CTranslate2 on the model as its converter makes it from a Hugging Face folder (a GGUF is dequantised into one first), f32.
A prompt with its first token is a prefill; decoding is what 32 more tokens take behind a prompt whose state it keeps."""
import json
import pathlib
import tempfile
import time

import ctranslate2
from worker import DECODED, Gap, random_ids, serve


def hugging_face_folder(path, folder):
    """The folder itself, or what transformers reads out of a GGUF, as plain weights."""
    if not path.endswith(".gguf"):
        return path
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    file = pathlib.Path(path)
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return folder


class Peer:
    def __init__(self, path, threads):
        self.version = f"ctranslate2 {ctranslate2.__version__}, f32"
        with tempfile.TemporaryDirectory() as folder:
            source = hugging_face_folder(path, folder + "/source")
            try:
                converted = ctranslate2.converters.TransformersConverter(source).convert(folder + "/converted")
            except Exception as error:
                raise Gap(f"its converter refuses the model: {' '.join(str(error).split())[:160]}") from error
            self.vocabulary = json.loads((pathlib.Path(converted) / "vocabulary.json").read_text())
            self.generator = ctranslate2.Generator(converted, device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads)
        self.kept = set()  # lengths of prompts

    def generate(self, prompt, count, kept=None):
        """Seconds for `count` tokens behind a prompt, which stands behind one whose state is kept from call to call."""
        words = {"static_prompt": kept, "cache_static_prompt": True} if kept else {}
        start = time.perf_counter()
        self.generator.generate_batch([prompt], max_length=count, min_length=count, include_prompt_in_result=False, **words)
        return time.perf_counter() - start

    def measure(self, task):
        if task["kind"] == "attention":
            raise Gap("has no attention to call by itself")
        prompt = [self.vocabulary[i] for i in random_ids(len(self.vocabulary), task["tokens"])]
        if task["kind"] == "prefill":
            return self.generate(prompt, 1)
        kept, last = prompt[:-1], prompt[-1:]
        if task["tokens"] not in self.kept:
            self.generate(last, 1, kept)
            self.kept.add(task["tokens"])
        return (self.generate(last, 1 + DECODED, kept) - self.generate(last, 1, kept)) / DECODED


serve(Peer)
