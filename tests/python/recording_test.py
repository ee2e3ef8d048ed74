"""Recordings that the module or the command wrote, read back lazily: the numbers of the run itself."""
import os
import pathlib
import subprocess
import unittest

import numpy as np
import vitrine
from support import GOLDEN, IDS, LLAMA, folder, relative_error


class Recordings(unittest.TestCase):
    def setUp(self):
        self.folder = folder()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name) / "run.h5"
        self.model = vitrine.load(LLAMA, threads=2)

    def test_it_holds_what_a_run_gives(self):
        self.assertEqual(self.model.record_to(self.path, IDS, "all"), len(IDS))
        run, cache = vitrine.open(self.path), self.model.record(IDS, ["all", "pattern", "scores"])
        self.assertTrue(run.finished)
        self.assertEqual((len(run), run.info["provenance"]["precision"]), (1, "exact"))
        self.assertEqual(run.sequence(0).tokens.tolist(), [IDS])
        for name, value in cache.items():
            self.assertIn(name, run)
            if vitrine.points.is_map(name):  # rebuilt from its factors
                self.assertLess(relative_error(run[name], value), 1e-5, name)
            else:
                self.assertTrue(np.array_equal(run[name], value), name)
        self.assertTrue(np.array_equal(run["z", -1], cache["z", -1]))
        score = self.model.score(IDS).log_probabilities
        self.assertTrue(np.allclose(run.sequence(0).log_probabilities(), score, atol=1e-5, equal_nan=True))

    def test_tiles_are_parts_of_maps(self):
        self.model.record_to(self.path, IDS)
        run = vitrine.open(self.path)
        for head in range(self.model.spec.n_heads):
            whole = run.pattern(1, head)
            self.assertTrue(np.array_equal(run["pattern", 1][0, head], whole))
            self.assertTrue(np.array_equal(run.pattern(1, head, rows=(4, 9), keys=(2, 7)), whole[4:9, 2:7]))
            self.assertTrue(np.array_equal(run.scores(1, head), run["attn_scores", 1][0, head]))
        self.assertEqual(run.pattern(0, 0, rows=(3, 3)).shape, (0, len(IDS)))

    def test_the_command_reads_and_writes_the_same(self):
        program = os.environ.get("VITRINE_PROGRAM")
        if not program:
            self.skipTest("VITRINE_PROGRAM names no program")
        ids = ",".join(map(str, IDS))
        subprocess.run([program, "record", str(LLAMA), "--ids", ids, "--precision", "exact", "--threads", "2", "--points", "all", "-o", str(self.path)],
                       check=True, capture_output=True)
        run, cache = vitrine.open(self.path), self.model.record(IDS)
        for name, value in cache.items():
            self.assertTrue(np.array_equal(run[name], value), name)
        other = self.path.with_name("other.h5")
        self.model.record_to(other, IDS)
        printed = subprocess.run([program, "heads", str(other), "--json"], check=True, capture_output=True, text=True).stdout
        import json
        for printed_row, row in zip(json.loads(printed), vitrine.open(other).head_rows(), strict=True):
            self.assertEqual({name: printed_row[name] for name in row}, row)

    def test_head_table(self):
        self.model.record_to(self.path, IDS)
        run = vitrine.open(self.path)
        rows = run.head_rows()
        self.assertEqual(len(rows), self.model.spec.n_layers * self.model.spec.n_heads)
        pattern = run["pattern", 1][0, 2].astype(np.float64)
        row = next(row for row in rows if (row["layer"], row["head"]) == (1, 2))
        self.assertAlmostEqual(row["entropy"], float(-(pattern * np.log(np.where(pattern > 0, pattern, 1))).sum(1).mean()), places=5)
        try:
            import pandas  # noqa: F401
        except ImportError:
            return
        table = run.head_table()
        self.assertEqual(len(table), len(rows))
        self.assertAlmostEqual(table.set_index(["layer", "head"]).loc[(1, 2), "entropy"], row["entropy"])
        self.assertEqual(table["entropy"].dtype, np.float64)

    def test_texts_of_many_lengths(self):
        texts = [IDS, IDS[:4], IDS[2:9], [7]]
        self.assertEqual(self.model.record_to(self.path, texts, ["z", "logits", "pattern"]), sum(map(len, texts)))
        run = vitrine.open(self.path)
        self.assertEqual(len(run), 4)
        for i, ids in enumerate(texts):
            sequence, cache = run.sequence(i), self.model.record(ids, ["z", "logits", "pattern"])
            self.assertEqual(sequence.tokens.tolist(), [ids])
            for name, value in cache.items():
                self.assertEqual(sequence[name].shape, value.shape)
                self.assertLess(relative_error(sequence[name], value), 1e-5, name)
        with self.assertRaisesRegex(vitrine.Error, r"expected one sequence, found 4; use sequence\(i\)"):
            run["z", 0]

    def test_a_changed_run_is_recorded_as_it_was(self):
        def zero(z, point):
            z[:, :, 1] = 0
        self.model.record_to(self.path, [IDS, IDS[:6]], "z", hooks=[("blocks.0.attn.hook_z", zero)])
        cache = self.model.record(IDS, "z", hooks=[("blocks.0.attn.hook_z", zero)])
        self.assertTrue(np.array_equal(vitrine.open(self.path).sequence(0)["z", 1], cache["z", 1]))
        half = ("blocks.0.attn.hook_pattern", lambda pattern, point: pattern / 2)
        with self.assertRaisesRegex(vitrine.Error, "attention: expected none where a hook changes maps"):
            self.model.record_to(self.path, IDS, hooks=[half])
        self.model.record_to(self.path, IDS, "pattern", attention="none", hooks=[half])
        self.assertTrue(np.allclose(vitrine.open(self.path)["pattern", 0].sum(-1), 0.5, atol=1e-5))

    def test_encoder_decoders(self):
        model = vitrine.load(GOLDEN / "encoder_decoders" / "bart" / "model", threads=2)
        model.record_to(self.path, IDS[:5], "all", decoder_ids=[2, 5, 9])
        run, cache = vitrine.open(self.path), model.record(IDS[:5], ["all", "pattern"], decoder_ids=[2, 5, 9])
        for name, value in cache.items():
            self.assertLess(relative_error(run[name], value), 1e-5, name)
        self.assertEqual(run.pattern("decoder.blocks.1.cross_attn", 0).shape, (3, 5))
        self.assertEqual(run.pattern(1, 0).shape, (3, 3))

    def test_what_is_no_recording(self):
        self.path.write_bytes(b"nothing")
        for path, found in ((self.path, "run.h5"), (self.path.with_name("none.h5"), "none.h5")):
            with self.assertRaisesRegex(vitrine.Error, found):
                vitrine.open(path)
        self.model.record_to(self.path.with_name("ok.h5"), IDS)
        run = vitrine.open(self.path.with_name("ok.h5"))
        for ask, line in ((lambda: run.pattern(9, 0), "layer: expected 0 to"), (lambda: run.pattern(0, 99), "head: expected one below"),
                          (lambda: run.pattern(0, -1), "head: expected a whole number from 0, found -1"), (lambda: run.pattern(0, 0, 3), "expected a sequence below 1, found 3"),
                          (lambda: run.pattern(0, 0, rows=(3, 99)), "rows: expected a part of 0 to 15, found 3 to 99"), (lambda: run["pre", 0], "expected one that was recorded"),
                          (lambda: run["z", 17], "layer: expected"), (lambda: run["nothing", 0], "point 'nothing'"), (lambda: run.sequence(-1), "sequence: expected")):
            with self.assertRaisesRegex(vitrine.Error, line):
                ask()
        with self.assertRaises(KeyError):
            run["pre", 0]
        self.assertNotIn(("pre", 0), run)


class Errors(unittest.TestCase):
    def test_one_clear_line(self):
        model = vitrine.load(LLAMA, threads=1)
        vocabulary = model.spec.d_vocab
        for ask, line in ((lambda: vitrine.load("/nothing/there.gguf"), "/nothing/there.gguf"), (lambda: vitrine.load(LLAMA, precision="best"), "precision: expected fast, exact or int8, found 'best'"),
                          (lambda: vitrine.load(LLAMA, kernel="none"), "kernel"), (lambda: vitrine.load(LLAMA, threads=0), "threads: expected a whole number from 1, found 0"),
                          (lambda: vitrine.load(LLAMA, kv="int8"), "kv: expected f32 under --precision exact"), (lambda: model.logits("words"), "expected a tokenizer, found none"),
                          (lambda: model.logits([3, vocabulary]), f"expected token ids from 0 to {vocabulary - 1}, found {vocabulary}"), (lambda: model.logits([3, -1]), "tokens: expected ids from 0, found -1"),
                          (lambda: model.logits([2.5]), "tokens: expected whole numbers"), (lambda: model.logits([[1, 2], [3]]), "text 1 .counted from 0.: expected 2 tokens, as the first has, found 1"),
                          (lambda: model.logits([]), "expected at least one token"), (lambda: model.record(IDS, "resid"), "points: expected a hook name"),
                          (lambda: model.record(IDS, lambda name: False), "points: expected a function"), (lambda: model.run_with_hooks(IDS, logits="some"), "logits: expected all, last or none"),
                          (lambda: model.generate(IDS, -1), "max_tokens: expected a whole number from 0, found -1"), (lambda: model.generate(IDS, 3, temperature=-1.0), "temperature: expected 0 or more"),
                          (lambda: model.score([IDS, IDS]), "text: expected one, found 2"),
                          (lambda: model.logits(IDS, decoder_ids=[1]), "decoder_ids: expected an encoder-decoder"), (lambda: model.record_to("/nothing/there.h5", IDS), "/nothing/there.h5"),
                          (lambda: model.record_to("x.h5", IDS, store="f8"), "store: expected .*found 'f8'"), (lambda: model.record(IDS)["z"], "expected a layer beside it")):
            with self.assertRaises(vitrine.Error, msg=line) as caught:
                ask()
            self.assertRegex(str(caught.exception), line)
            self.assertNotIn("\n", str(caught.exception))
        encoder = vitrine.load(GOLDEN / "encoders" / "bert_labels" / "model", threads=1)
        with self.assertRaisesRegex(vitrine.Error, "expected a model with a language-model head"):
            encoder.logits(IDS[:5])
        self.assertIsNone(encoder.run_with_cache(IDS[:5])[0])


if __name__ == "__main__":
    unittest.main()
