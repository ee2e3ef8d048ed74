"""Language models in a glass case: run one, record any value, change any value, read recordings.

    import vitrine
    model = vitrine.load("model.gguf")
    logits, cache = model.run_with_cache("The cat sat on the mat.")
    cache["pattern", 5]                      # [batch, head, query, key]
    run = vitrine.open("run.h5")             # what `vitrine record` wrote
    run.head_table()                         # pandas

Names and shapes are TransformerLens' legacy ones; docs/python.md lists every difference.
"""
from ._core import Error, HookPoint, version as __version__
from .cache import ActivationCache, PointMissing
from .model import Generation, Model, Score, load
from .points import act_name
from .recording import RecordedSequence, Recording, open

__all__ = ["ActivationCache", "Error", "Generation", "HookPoint", "Model", "PointMissing", "RecordedSequence", "Recording", "Score",
           "act_name", "load", "open"]
