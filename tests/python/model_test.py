"""Every activation by its hook name against what transformers computed (tests/golden), and what a loaded model says of itself."""
import unittest

import numpy as np
import vitrine
from support import GOLDEN, IDS, LLAMA, TOLERANCE, read_safetensors, relative_error


def golden_models():
    yield GOLDEN / "llama"
    for group in ("decoders", "encoder_decoders", "encoders"):
        yield from sorted((GOLDEN / group).iterdir())


def flat(name, value):
    """[1, pos, ...] or a map [1, head, query, key] as the golden files have them: [pos, heads, width]."""
    value = value[0]
    if name.endswith(("attn.hook_pattern", "attn.hook_attn_scores")):
        return value.transpose(1, 0, 2)
    return value.reshape(len(value), -1, 1) if name.endswith(("hook_normalizer", "hook_threshold")) else value


class Golden(unittest.TestCase):
    def test_every_point_of_every_model(self):
        compared = models = 0
        for folder in golden_models():
            expected = read_safetensors(folder / "expected.safetensors")
            if not {"token_types", "targets", "allowed"}.isdisjoint(expected) or not any("hook_resid" in name for name in expected):
                continue  # inputs that only the command line and C++ give; files of labels alone
            with self.subTest(folder.name):
                model = vitrine.load(folder / "model", threads=2)
                decoder = expected.get("decoder_input_ids")
                logits, cache = model.run_with_cache(expected["input_ids"], decoder_ids=decoder)
                self.assertEqual((cache.tokens if decoder is None else cache.source_tokens).tolist(), [expected["input_ids"].tolist()])
                if decoder is not None:
                    self.assertEqual(cache.tokens.tolist(), [decoder.tolist()])
                self.assertGreater(len(cache), 10)
                for name, value in cache.items():
                    if name not in expected:
                        self.assertNotIn("hook_resid", name)
                        continue
                    self.assertLessEqual(relative_error(flat(name, value).reshape(-1), expected[name].reshape(-1)), TOLERANCE, name)
                    compared += 1
                if logits is not None:
                    self.assertTrue(np.array_equal(logits, cache["logits"]))
                models += 1
        self.assertGreater(models, 40)
        self.assertGreater(compared, 1000)


class Shapes(unittest.TestCase):
    def setUp(self):
        self.model = vitrine.load(LLAMA, threads=2)

    def test_shapes_are_those_of_transformer_lens(self):
        spec, cache = self.model.spec, self.model.record(IDS, ["all", "pattern", "scores"])
        length, heads, kv_heads = len(IDS), spec.n_heads, spec.n_key_value_heads
        self.assertNotEqual(heads, kv_heads)
        for key, shape in {("resid_pre", 0): (1, length, spec.d_model), ("q", 1): (1, length, heads, spec.d_head), ("k", 1): (1, length, kv_heads, spec.d_head),
                           ("z", -1): (1, length, heads, spec.d_head), ("pattern", 0): (1, heads, length, length), ("attn_scores", 0): (1, heads, length, length),
                           ("scale", 0, "ln1"): (1, length, 1), ("pre", 0): (1, length, spec.d_mlp), ("normalizer", 0): (1, length, heads),
                           ("embed",): (1, length, spec.d_model), ("scale",): (1, length, 1), "logits": (1, length, spec.d_vocab)}.items():
            self.assertEqual(cache[key].shape, shape, key)
            self.assertEqual(cache[key].dtype, np.float32)
        self.assertIs(cache["blocks.1.attn.hook_z"], cache["z", 1])
        self.assertEqual(cache.stack("resid_post").shape, (spec.n_layers, 1, length, spec.d_model))
        self.assertEqual(cache.remove_batch_dim()["z", 0].shape, (length, heads, spec.d_head))
        self.assertTrue(np.allclose(cache["pattern", 0].sum(-1), 1, atol=1e-5))
        self.assertTrue(np.all(np.isneginf(cache["attn_scores", 0][0, 0][np.triu_indices(length, 1)])))

    def test_batches_equal_their_texts_one_by_one(self):
        texts = [IDS, IDS[::-1], IDS[1:] + [7]]
        together = self.model.record(texts, ["all", "pattern"])
        self.assertEqual(together.tokens.tolist(), texts)
        for i, text in enumerate(texts):
            alone = self.model.record(text, ["all", "pattern"])
            for name, value in alone.items():
                self.assertTrue(np.array_equal(together[name][i], value[0]), name)

    def test_batches_larger_than_a_pass(self):
        texts = np.random.default_rng(0).integers(0, self.model.spec.d_vocab, (70, 15))
        logits = self.model.logits(texts)  # 1,050 rows: three passes
        self.assertEqual(logits.shape, (70, 15, self.model.spec.d_vocab))
        for i in (0, 33, 34, 69):
            self.assertTrue(np.array_equal(logits[i], self.model.logits(texts[i])[0]))
        last = self.model.run_with_hooks(texts, logits="last")
        self.assertTrue(np.array_equal(last, logits[:, -1:]))

    def test_texts_longer_than_a_pass(self):
        model, length = vitrine.load(GOLDEN / "decoders" / "bloom" / "model", threads=2), 600  # has no limit
        ids = np.random.default_rng(1).integers(0, model.spec.d_vocab, length)
        cache = model.record(ids, ["z", "pattern", "scores", "logits", "normalizer"])
        self.assertEqual(cache["pattern", 1].shape, (1, model.spec.n_heads, length, length))
        self.assertTrue(np.allclose(cache["pattern", 1].sum(-1), 1, atol=1e-4))
        self.assertTrue(np.all(np.isneginf(cache["attn_scores", 1][0, 0][np.triu_indices(length, 1)])))
        shorter = model.record(ids[:100], ["z", "logits"])
        for key in ("logits", ("z", 1)):
            self.assertLess(relative_error(cache[key][:, :100], shorter[key]), 1e-5)

    def test_scores_are_the_logits_own(self):
        score, logits = self.model.score(IDS), self.model.logits(IDS)[0].astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        self.assertTrue(np.isnan(score.log_probabilities[0]))
        self.assertLess(np.abs(score.log_probabilities[1:] - expected[np.arange(len(IDS) - 1), IDS[1:]]).max(), 1e-5)
        self.assertAlmostEqual(score.perplexity, float(np.exp(-np.nanmean(score.log_probabilities))), places=3)
        self.assertEqual(score.tokens_scored, len(IDS) - 1)

    def test_generating_is_taking_the_largest_logit(self):
        ids, made = list(IDS), self.model.generate(IDS, max_tokens=5)
        for token in made.ids:
            self.assertEqual(token, int(self.model.logits(ids)[0, -1].argmax()))
            ids.append(token)
        self.assertEqual(len(made.ids), len(made.log_probabilities))
        self.assertIsNone(made.text)  # this model has no tokenizer

    def test_options_are_the_command_lines(self):
        drawn = [self.model.generate(IDS, 8, seed=seed, temperature=1.0, top_k=5).ids for seed in (1, 1, 2)]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])
        greedy, beams = self.model.generate(IDS, 8), self.model.generate(IDS, 8, beams=3)
        self.assertGreaterEqual(sum(beams.log_probabilities), sum(greedy.log_probabilities) - 1e-6)
        banned = str(greedy.ids[0])
        self.assertNotIn(greedy.ids[0], self.model.generate(IDS, 8, bad_ids=banned).ids)
        self.assertNotIn(greedy.ids[0], self.model.generate(IDS, 8, bad_ids=[banned, "1,2"]).ids)
        for options, line in (({"top_q": 1}, "generate: expected options of"), ({"top_k": "many"}, "top-k: expected a number"), ({"bad_ids": 3}, "bad-ids: expected a text"),
                              ({"beams": 0}, "beams: expected"), ({"grammar": 'root ::= "a"'}, "expected a tokenizer"), ({"defaults": "yes"}, "defaults: expected"),
                              ({"beams": 2, "stop": "a"}, "stop: expected a search that makes one token after another")):
            with self.assertRaisesRegex(vitrine.Error, line):
                self.model.generate(IDS, 3, **options)

    def test_xarray_names_axes(self):
        try:
            import xarray  # noqa: F401
        except ImportError:
            self.skipTest("xarray is not installed")
        data = self.model.record(IDS, ["all", "pattern"]).to_xarray()
        self.assertEqual(data["blocks.0.attn.hook_k"].dims, ("batch", "pos", "kv_head", "d_head"))
        self.assertEqual(data["blocks.0.attn.hook_pattern"].dims, ("batch", "head", "query", "key"))
        self.assertEqual(data["tokens"].values.tolist(), [IDS])
        self.assertEqual(data["blocks.0.attn.hook_row_stats"].sel(statistic="entropy").dims, ("batch", "pos", "head"))
        decoder = vitrine.load(GOLDEN / "encoder_decoders" / "t5" / "model", threads=2)
        data = decoder.record(IDS[:5], ["all", "pattern"], decoder_ids=[0, 5, 9]).to_xarray()
        self.assertEqual(data["decoder.blocks.0.cross_attn.hook_pattern"].dims, ("batch", "head", "query", "source_key"))
        self.assertEqual((data.sizes["pos"], data.sizes["source_pos"]), (3, 5))

    def test_another_kernel_and_precision(self):
        exact = self.model.record(IDS, "z")
        for options in ({"kernel": "reference"}, {"kernel": "flash"}):
            self.assertLess(relative_error(vitrine.load(LLAMA, threads=1, **options).record(IDS, "z")["z", -1], exact["z", -1]), 1e-5)
        fast = vitrine.load(LLAMA, precision="fast", kv="int8", threads=1).record(IDS, "z")["z", -1]
        self.assertTrue(0 < relative_error(fast, exact["z", -1]) < 0.1)


if __name__ == "__main__":
    unittest.main()
