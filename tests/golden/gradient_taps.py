"""Derivatives of a number made of logits or labels by what passes through modules, from torch's autograd.

A value is kept where it enters or leaves a module; what goes on is a copy of it, so that nobody changes it in place and all that is
made of it depends on it. Of each derivative a golden file has its norm and its products with vectors of random signs: their mean
square is that of the whole.
"""
import json

import numpy
import torch

SIGNS = 8  # vectors of signs


def mixed(index):
    """SplitMix64's output function of whole numbers [n] (Steele, Lea & Flood 2014)."""
    with numpy.errstate(over="ignore"):
        z = index * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return z ^ (z >> numpy.uint64(31))


def signs(which, count):
    index = numpy.arange(count, dtype=numpy.uint64) + numpy.uint64((which + 1) << 32)
    return numpy.where(mixed(index) >> numpy.uint64(63), -1.0, 1.0)


def slopes(count):
    """What the objective multiplies logits by, from -1 to 1."""
    index = numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(77 << 40)
    return (mixed(index) >> numpy.uint64(40)).astype(numpy.float64) / 2.0**23 - 1.0


def objective(values):
    flat = values.reshape(-1)
    return (flat * torch.from_numpy(slopes(flat.numel())).to(flat.dtype)).sum()


def digest(gradient):
    """[1 + SIGNS]: norm, products with signs."""
    numbers = gradient.detach().reshape(-1).to(torch.float64).numpy()
    return [float(numpy.linalg.norm(numbers))] + [float(numbers @ signs(which, numbers.size)) for which in range(SIGNS)]


class Graph:
    """What was asked to be kept, by name."""

    def __init__(self):
        self.kept, self.turns, self.calls = {}, {}, {}

    def keep(self, name, value, turn=None):
        """Keeps a value and gives what goes on. @param turn  derivative [as the value] -> [pos, heads, width], or {name: that}"""
        self.kept[name], self.turns[name] = value, turn
        return value.clone()

    def on(self, module, inputs=None, outputs=None, call=0):
        """@param inputs, outputs  (name, turn) of the call number `call`"""
        counts = [0, 0]  # shared modules are called many times

        def before(_, args, kwargs):
            counts[0] += 1
            if inputs is None or counts[0] != call + 1:
                return None
            if args:
                return (self.keep(inputs[0], args[0], inputs[1]), *args[1:]), kwargs
            key = "hidden_states" if "hidden_states" in kwargs else "input"
            return args, {**kwargs, key: self.keep(inputs[0], kwargs[key], inputs[1])}

        def after(_, __, result):
            counts[1] += 1
            if outputs is None or counts[1] != call + 1:
                return None
            if isinstance(result, tuple):
                return (self.keep(outputs[0], result[0], outputs[1]), *result[1:])
            return self.keep(outputs[0], result, outputs[1])

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after)

    def gradients(self, values):
        """name -> [pos, heads, width], of the objective of `values`."""
        names = list(self.kept)
        found = torch.autograd.grad(objective(values), [self.kept[name] for name in names], allow_unused=True)
        out = {}
        for name, gradient in zip(names, found):
            if gradient is None:  # of XLNet's content stream, behind the last keys that a prediction sees
                assert "blocks" in name and any(kept.startswith("query.") for kept in names), name
                continue
            turned = self.turns[name](gradient) if self.turns[name] else gradient
            out.update(turned if isinstance(turned, dict) else {name: turned})
        return out


def write(folder, gradients):
    lines = {name: digest(value) for name, value in gradients.items() if value.abs().max() > 0}
    text = ",\n".join(f' {json.dumps(name)}: [{", ".join(f"{number:.9g}" for number in numbers)}]' for name, numbers in lines.items())
    (folder / "gradients.json").write_text("{\n" + text + "\n}\n")
    print(f"{folder.name}: derivatives at {len(lines)} points")


def gain_of(module, gemma):
    return (1.0 if gemma else 0.0) + module.weight.detach()
