"""llama.cpp by its C interface (llama-cpp-python)."""
import ctypes
import time

import llama_cpp
from worker import DECODED, Gap, random_ids, serve

CHUNK = 512


class Context:
    """A context with some tokens in its memory. Flash attention is as the library chooses."""

    def __init__(self, model, threads, size):
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = size
        parameters.n_batch = parameters.n_ubatch = CHUNK
        parameters.n_threads = parameters.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(model, parameters)
        if not self.context:
            raise Gap("llama.cpp made no context")
        self.memory = llama_cpp.llama_get_memory(self.context)

    def clear(self):
        llama_cpp.llama_memory_clear(self.memory, True)

    def truncate(self, length):
        llama_cpp.llama_memory_seq_rm(self.memory, 0, length, -1)

    def add(self, ids):
        for begin in range(0, len(ids), CHUNK):
            piece = ids[begin:begin + CHUNK]
            tokens = (llama_cpp.llama_token * len(piece))(*piece)  # the batch only points to it
            code = llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(tokens, len(piece)))
            if code != 0:
                raise Gap(f"llama_decode returned {code}")
        llama_cpp.llama_synchronize(self.context)
        return ctypes.cast(llama_cpp.llama_get_logits_ith(self.context, -1), ctypes.c_void_p).value


class Peer:
    def __init__(self, path, threads):
        if not path.endswith(".gguf"):
            raise Gap("reads only GGUF files")
        llama_cpp.llama_backend_init()
        self.version = f"llama-cpp-python {llama_cpp.__version__}"
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise Gap("llama.cpp cannot load this file")
        self.threads = threads
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.contexts = {}  # by what stands before the tokens

    def measure(self, task):
        if task["kind"] == "attention":
            raise Gap("has no attention to call by itself")
        tokens = task["tokens"]
        ids = random_ids(self.vocabulary, tokens + DECODED)
        place = (task["kind"], tokens)
        if place not in self.contexts:
            self.contexts[place] = Context(self.model, self.threads, tokens + DECODED)
            if task["kind"] == "decode":
                self.contexts[place].add(ids[:tokens])
        context = self.contexts[place]
        if task["kind"] == "prefill":
            context.clear()
            start = time.perf_counter()
            context.add(ids[:tokens])
            return time.perf_counter() - start
        context.truncate(tokens)
        start = time.perf_counter()
        for token in ids[tokens:]:
            context.add([token])
        return (time.perf_counter() - start) / DECODED


serve(Peer)
