#!/usr/bin/env python3
"""What transformers' searches make of the tiny models of this folder, for random settings.

    tests/golden/searches/beam.json, guided.json                                      by transformers 5
    tests/golden/searches/{diverse_beam,constrained_beam,contrastive,dola}.json       by transformers 4 (made with 4.49), which still has them

Each is a list of cases: model (folder), family, prompt or source ids, the settings by the names of vitrine's options, and the texts with
their scores. The version that runs writes the files that are its own: run the script with both. Needs torch, transformers, safetensors.

Random models have near-ties. A case stands only if the same texts come out in float64 (of 5) and for weights that are changed by one part in
100,000, and if padding does not matter: transformers 4 pads groups that are done, and its diversity penalty counts the padding.
"""
import argparse
import copy
import json
import pathlib
import random

import torch
import transformers
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
FAMILIES = {
    "t5": ["encoder_decoders/t5", "encoder_decoders/t5_gated", "encoder_decoders/mt5", "encoder_decoders/t5_far"],
    "bart": ["encoder_decoders/bart", "encoder_decoders/bart_scaled", "encoder_decoders/mbart", "encoder_decoders/marian"],
    "decoder": ["gpt2", "llama", "decoders/gpt_neox", "decoders/opt_bare", "decoders/mistral", "decoders/gpt_neo", "decoders/bloom"],
}
IS_5 = int(transformers.__version__.split(".")[0]) >= 5  # whose caches have as many blocks as a T5 encoder, not as its decoder
CASES = {"beam": 24, "guided": 20} if IS_5 else {"diverse_beam": 20, "constrained_beam": 20, "contrastive": 20, "dola": 20}
FEWER_FAMILIES = {"guided": ["decoder"], "dola": ["decoder"]}
# Settings of transformers by the names of vitrine's options.
OURS = {"num_beams": "beams", "length_penalty": "length-penalty", "early_stopping": "early-stopping", "min_new_tokens": "min-tokens",
        "no_repeat_ngram_size": "no-repeat-ngram", "repetition_penalty": "repetition-penalty", "forced_bos_token_id": "forced-first",
        "forced_eos_token_id": "forced-last", "num_beam_groups": "beam-groups", "diversity_penalty": "diversity-penalty",
        "penalty_alpha": "penalty-alpha", "top_k": "contrastive-candidates", "guidance_scale": "guidance-scale"}


class Model:
    def __init__(self, folder):
        config = transformers.AutoConfig.from_pretrained(HERE / folder / "model")
        if not IS_5 and hasattr(config, "rope_parameters"):
            config.rope_theta = config.rope_parameters["rope_theta"]
        kind = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        self.model = kind.from_pretrained(HERE / folder / "model", config=config, torch_dtype=torch.float32).eval()
        self.encodes, self.vocabulary = config.is_encoder_decoder, config.vocab_size
        self.start = config.decoder_start_token_id if self.encodes else None
        self.layers = None if self.encodes else config.num_hidden_layers
        self.folder = folder
        self.others = []
        for seed in range(2):
            other = copy.deepcopy(self.model)
            generator = torch.Generator().manual_seed(seed)
            for value in {id(p): p for p in other.parameters()}.values():
                value.data *= 1 + 1e-5 * torch.randn(value.shape, generator=generator)
            self.others.append(other)
        if IS_5:  # 4 has scores of float32 in places
            self.others.append(copy.deepcopy(self.model).double())

    def as_recorded(self):
        """Whether this version computes what the goldens hold."""
        expected = load_file(HERE / self.folder / "expected.safetensors")
        inputs = {name: expected[name][None].long() for name in ("input_ids", "decoder_input_ids") if name in expected}
        logits = self.model(**inputs).logits[0]
        return bool((logits - expected["logits"].reshape(logits.shape)).abs().max() < 1e-4)


def generate(model, case, settings, pad):
    config = transformers.GenerationConfig(
        max_new_tokens=case["max_tokens"], eos_token_id=case["ends"] or None, pad_token_id=pad, decoder_start_token_id=case.get("start"),
        num_return_sequences=case["texts"], return_dict_in_generate=True, output_scores=True, use_cache=not IS_5, **{k: v for k, v in settings.items() if k != "negative_prompt_ids"})
    extra = {"negative_prompt_ids": torch.tensor([settings["negative_prompt_ids"]])} if "negative_prompt_ids" in settings else {}
    ids = torch.tensor([case["source"] if "source" in case else case["prompt"]])
    # A model's own configuration must not add to what is asked for.
    model.generation_config = transformers.GenerationConfig()
    with torch.no_grad():
        result = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, **extra)
    scores = getattr(result, "sequences_scores", None)
    texts = []
    for i, sequence in enumerate(result.sequences.tolist()):
        made = sequence[1 if "source" in case else len(case["prompt"]):]
        end = next((place for place, token in enumerate(made) if token in case["ends"]), None)
        text = {"ids": made if end is None else made[:end], "ended": end is not None}
        if scores is not None:
            text["score"] = float(scores[i])
        texts.append(text)
    return texts


def same(a, b):
    return all(x["ids"] == y["ids"] and x["ended"] == y["ended"] and abs(x.get("score", 0) - y.get("score", 0)) < 2e-4 for x, y in zip(a, b))


def ends_of(model, case, rng):
    """Tokens that the model says, so that texts end."""
    greedy = generate(model.model, {**case, "ends": [], "texts": 1}, {}, 0)[0]["ids"]
    return sorted({rng.choice(greedy[1:]) for _ in range(rng.choice([0, 1, 1, 2]))})


def holds(ids, wanted):
    phrases = wanted if isinstance(wanted[0], list) else [wanted]
    return any(ids[i:i + len(p)] == p for p in phrases for i in range(len(ids)))


def settings_of(search, model, case, rng):
    beams = rng.choice([2, 3, 4, 5])
    settings = {"num_beams": beams, "length_penalty": rng.choice([1.0, 1.0, 0.0, 0.6, 2.0, -0.5]), "early_stopping": rng.choice([True, False, "never"])}
    free = [t for t in range(2, model.vocabulary) if t not in case["ends"] and t not in case.get("prompt", []) and t != case.get("start")]
    case["texts"] = rng.randint(1, beams)
    if search == "beam":
        for name, value in (("no_repeat_ngram_size", rng.choice([1, 2, 3])), ("repetition_penalty", rng.choice([1.3, 0.8, 2.0])),
                            ("min_new_tokens", rng.choice([2, 4])), ("forced_eos_token_id", case["ends"][0] if case["ends"] else None),
                            ("forced_bos_token_id", rng.choice(free) if model.encodes else None)):
            if value is not None and rng.random() < 0.25 and not (name == "min_new_tokens" and not case["ends"]):
                settings[name] = value
    if search == "diverse_beam":
        groups = rng.choice([2, 3])
        settings.update(num_beams=groups * rng.choice([1, 2, 3]), num_beam_groups=groups, diversity_penalty=rng.choice([0.3, 1.0, 5.0]))
        case["texts"] = rng.randint(1, settings["num_beams"])
    if search == "constrained_beam":
        phrase = lambda: rng.sample(free, rng.choice([1, 1, 2, 3]))
        settings["force_words_ids"] = [[phrase(), phrase()] if rng.random() < 0.3 else phrase() for _ in range(rng.choice([1, 2]))]
        case["max_tokens"] = max(case["max_tokens"], 8)
    if search in ("contrastive", "dola", "guided"):
        case["texts"] = 1
        settings = {"contrastive": lambda: {"penalty_alpha": rng.choice([0.2, 0.6, 0.9]), "top_k": rng.choice([2, 4, 7])},
                    "dola": lambda: {"dola_layers": rng.choice(["high", [0], [1], list(range(model.layers)), "low"]), "repetition_penalty": rng.choice([1.2, 1.0])},
                    "guided": lambda: {"guidance_scale": rng.choice([1.5, 3.0, 0.5]),
                                       "negative_prompt_ids": [rng.randrange(model.vocabulary) for _ in range(rng.choice([1, 4, 9]))]}}[search]()
        if search == "guided" and rng.random() < 0.3:
            del settings["negative_prompt_ids"]
    return settings


def spelled(settings):
    """As vitrine's options."""
    words = {}
    for name, value in settings.items():
        if name == "early_stopping":
            value = {True: "yes", False: "no"}.get(value, value)
        if name == "force_words_ids":
            words["force-ids"] = ["|".join(",".join(map(str, p)) for p in (w if isinstance(w[0], list) else [w])) for w in value]
        elif name == "negative_prompt_ids":
            words["negative-ids"] = ",".join(map(str, value))
        elif name == "dola_layers":
            words["dola-layers"] = value if isinstance(value, str) else ",".join(map(str, value))
        else:
            words[OURS[name]] = str(value)
    return words


def random_case(search, model, rng):
    if search == "contrastive" and "opt" in model.folder:
        return None  # what transformers calls OPT's last hidden state lies behind a projection
    case = {"model": model.folder, "max_tokens": rng.choice([5, 8, 12]), "texts": 1, "ends": []}
    ids = [rng.randrange(2, model.vocabulary) for _ in range(rng.choice([1, 3, 6, 11]))]
    if model.encodes:
        case.update(source=ids, prompt=[model.start], start=model.start)
    else:
        case["prompt"] = ids
    case["ends"] = ends_of(model, case, rng)
    settings = settings_of(search, model, case, rng)
    try:
        texts = generate(model.model, case, settings, 0)
    except (ValueError, IndexError, KeyError, RuntimeError):  # transformers cannot: too few blocks for "low", texts of which some end and some do not
        return None
    try:
        again = [generate(other, case, settings, 0) for other in model.others] + [generate(model.model, case, settings, 1)]
    except (ValueError, RuntimeError):
        return None
    if any(not same(texts, other) for other in again):
        return None
    if search == "constrained_beam" and not all(holds(t["ids"], w) for t in texts for w in settings["force_words_ids"]):
        return None
    case.pop("start", None)
    return {**case, "settings": spelled(settings), "expected": texts}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one search")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    models = {family: [m for m in map(Model, folders) if m.as_recorded()] for family, folders in FAMILIES.items()}
    for family, kept in models.items():
        print(family, [m.folder for m in kept])
    for search, wanted in CASES.items():
        if options.only not in (None, search):
            continue
        cases = []
        for family in FEWER_FAMILIES.get(search, FAMILIES):
            rng, tries, found = random.Random(f"{search} {family}"), 0, 0
            while found < wanted and tries < 40 * wanted:
                case = random_case(search, models[family][tries % len(models[family])], rng)
                tries += 1
                if case:
                    cases.append({"family": family, **case})
                    found += 1
            print(search, family, found, "of", tries)
        path = HERE / "searches" / f"{search}.json"
        path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
