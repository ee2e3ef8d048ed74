"""Makes samplers.json: what transformers' logits processors make of random scores, histories and options.

python tests/golden/make_samplers.py   (needs torch and transformers)
"""
import json
import pathlib
import random

import torch
import transformers
from transformers.generation import logits_process as processors

CASES = 24
VOCABULARY = 23


def numbers(generator, count, spread):
    return [round(generator.gauss(0.0, spread), 4) for _ in range(count)]


def ids(generator, low, high, most=VOCABULARY):
    return [generator.randrange(most) for _ in range(generator.randint(low, high))]


def case(generator, index):
    """Scores, a prompt, what was made behind it and the source of an encoder."""
    spread = generator.choice([0.5, 2.0, 6.0])
    few = generator.choice([3, 6, VOCABULARY])  # tokens that repeat
    scores = numbers(generator, VOCABULARY, spread)
    if index % 4 == 3:
        scores[generator.randrange(VOCABULARY)] = None  # -inf
    return {"scores": scores, "prompt": ids(generator, 1, 8, few), "made": ids(generator, 0, 12, few), "source": ids(generator, 1, 8, few)}


def sequences(generator):
    return [ids(generator, 1, 3, 5) for _ in range(generator.randint(1, 5))]


def unique(lists):
    return [list(one) for one in dict.fromkeys(tuple(one) for one in lists)]


def word(number):
    return f"{number:.4g}"


def share(generator):
    return float(word(generator.uniform(0.03, 0.97)))


def made_by(name, generator, given):
    """The processor of one option, and the option as our command line says it."""
    said = len(given["prompt"])
    source = torch.tensor([given["source"]])
    if name == "temperature":
        value = float(word(generator.uniform(0.2, 4.0)))
        return processors.TemperatureLogitsWarper(value), [f"temperature={value}"]
    if name == "top-k":
        value = generator.randint(1, VOCABULARY - 1)
        return processors.TopKLogitsWarper(value), [f"top-k={value}"]
    if name in ("top-p", "min-p", "top-h", "typical-p"):
        value = share(generator)
        kind = {"top-p": processors.TopPLogitsWarper, "min-p": processors.MinPLogitsWarper, "top-h": processors.TopHLogitsWarper, "typical-p": processors.TypicalLogitsWarper}[name]
        return kind(value), [f"{name}={value}"]
    if name in ("epsilon-cutoff", "eta-cutoff"):
        value = float(word(share(generator) ** 2 * 0.3))
        kind = processors.EpsilonLogitsWarper if name == "epsilon-cutoff" else processors.EtaLogitsWarper
        return kind(value), [f"{name}={value}"]
    if name == "repetition-penalty":
        value = float(word(generator.uniform(0.5, 2.5)))
        if generator.random() < 0.5:
            return processors.RepetitionPenaltyLogitsProcessor(value, prompt_ignore_length=said), [f"{name}={value}", "penalty-scope=made"]
        return processors.RepetitionPenaltyLogitsProcessor(value), [f"{name}={value}"]
    if name == "encoder-repetition-penalty":
        value = float(word(generator.uniform(0.5, 2.5)))
        return processors.EncoderRepetitionPenaltyLogitsProcessor(value, source), [f"{name}={value}"]
    if name == "no-repeat-ngram":
        value = generator.randint(1, 4)
        return processors.NoRepeatNGramLogitsProcessor(value), [f"{name}={value}"]
    if name == "encoder-no-repeat-ngram":
        value = generator.randint(1, 4)
        return processors.EncoderNoRepeatNGramLogitsProcessor(value, source), [f"{name}={value}"]
    if name == "bad-ids":
        lists = unique(sequences(generator))
        return processors.NoBadWordsLogitsProcessor(lists, eos_token_id=torch.tensor([VOCABULARY - 1])), [f"{name}=" + ",".join(map(str, one)) for one in lists]
    if name == "logit-bias":
        biases = {token: float(word(generator.uniform(-5, 5))) for token in dict.fromkeys(ids(generator, 1, 6))}
        return processors.SequenceBiasLogitsProcessor([[[token], value] for token, value in biases.items()]), [f"{name}={token}={value}" for token, value in biases.items()]
    if name == "min-tokens":
        value = generator.randint(1, 10)
        return processors.MinNewTokensLengthLogitsProcessor(said, value, [0, 2]), [f"{name}={value}"]
    if name == "length-decay":
        factor, start = float(word(generator.uniform(1.01, 1.5))), generator.randint(0, 6)
        return processors.ExponentialDecayLengthPenalty((start, factor), [0, 2], said), [f"{name}={factor}", f"length-decay-start={start}"]
    if name == "suppress-tokens":
        value = sorted(set(ids(generator, 1, 5)))
        return processors.SuppressTokensLogitsProcessor(value), [f"{name}=" + ",".join(map(str, value))]
    if name == "suppress-first":
        value = sorted(set(ids(generator, 1, 5)))
        return processors.SuppressTokensAtBeginLogitsProcessor(value, said), [f"{name}=" + ",".join(map(str, value))]
    raise ValueError(name)


NAMES = ["temperature", "top-k", "top-p", "min-p", "top-h", "typical-p", "epsilon-cutoff", "eta-cutoff", "repetition-penalty", "encoder-repetition-penalty", "no-repeat-ngram",
         "encoder-no-repeat-ngram", "bad-ids", "logit-bias", "min-tokens", "length-decay", "suppress-tokens", "suppress-first"]


def plain(row):
    return [None if value == float("-inf") else round(value, 5) for value in row.tolist()]


def main():
    cases = []
    for name in NAMES:
        generator = random.Random(name)
        for index in range(CASES):
            given = case(generator, index)
            if name == "suppress-first" and index % 2:
                given["made"] = []
            if name == "encoder-no-repeat-ngram":
                given["source"] = [token % 3 for token in given["source"] + given["made"]] + [1, 2, 0]
                given["made"] = [token % 3 for token in given["made"]] + [1]
            scores = torch.tensor([[float("-inf") if value is None else value for value in given["scores"]]])
            processor, words = made_by(name, generator, given)
            said = torch.tensor([given["prompt"] + given["made"]])
            cases.append({**given, "options": words, "ends": [0, 2], "expected": plain(processor(said, scores.clone())[0])})
    path = pathlib.Path(__file__).parent.parent / "core" / "decode" / "samplers.json"
    with open(path, "w") as file:
        file.write('{"transformers": ' + json.dumps(transformers.__version__) + ', "cases": [\n')
        file.write(",\n".join(json.dumps(one, separators=(",", ":")) for one in cases) + "\n]}\n")
    print(path, len(cases), "cases")


if __name__ == "__main__":
    main()
