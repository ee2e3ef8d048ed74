"""Values changed by Python functions: against what torch makes of the same changes, and what a hook may and may not do."""
import os
import pathlib
import signal
import threading
import time
import unittest

import numpy as np
import vitrine
from support import GOLDEN, IDS, LLAMA, TOLERANCE, read_safetensors, relative_error

EXPECTED = read_safetensors(pathlib.Path(__file__).with_name("interventions.safetensors"))


def zero_head(z, point):
    z[:, :, 2] = 0


def steer(resid, point):
    resid[..., ::2] += 0.5


def silence_mlp(out, point):
    out[:, 4:7] = 0


def scale_queries(q, point):
    return q * 1.5


def shift_keys(k, point):
    return np.concatenate([k[:, :1], k[:, :-1]], axis=1)


def uniform_pattern(pattern, point):
    length = pattern.shape[-1]
    pattern[:, 3] = np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


HOOKS = {"zero_head": ("blocks.0.attn.hook_z", zero_head), "steer": ("blocks.1.hook_resid_pre", steer), "silence_mlp": ("blocks.0.hook_mlp_out", silence_mlp),
         "scale_queries": ("blocks.1.attn.hook_q", scale_queries), "shift_keys": ("blocks.1.attn.hook_k", shift_keys),
         "uniform_pattern": ("blocks.1.attn.hook_pattern", uniform_pattern)}


class AgainstTorch(unittest.TestCase):
    def test_interventions(self):
        self.assertEqual({"none", *HOOKS}, set(EXPECTED))
        for kernel in ("reference", "flash", "auto"):
            model = vitrine.load(LLAMA, kernel=kernel, threads=2)
            self.assertLess(relative_error(model.logits(IDS)[0], EXPECTED["none"]), TOLERANCE)
            for name, hook in HOOKS.items():
                self.assertLess(relative_error(model.run_with_hooks(IDS, [hook])[0], EXPECTED[name]), TOLERANCE, (kernel, name))

    def test_interventions_in_a_batch(self):
        model = vitrine.load(LLAMA, threads=2)
        for name, hook in HOOKS.items():
            together = model.run_with_hooks([IDS, IDS[::-1], IDS], [hook])
            self.assertLess(relative_error(together[0], EXPECTED[name]), TOLERANCE, name)
            self.assertTrue(np.array_equal(together[0], together[2]))


class Hooks(unittest.TestCase):
    def setUp(self):
        self.model = vitrine.load(LLAMA, threads=2)

    def test_a_hook_that_changes_nothing_changes_nothing(self):
        plain = self.model.logits(IDS)
        for name in self.model.points():
            try:
                found = self.model.run_with_hooks(IDS, [(name, lambda value, point: None)])
            except vitrine.Error as error:
                self.assertRegex(str(error), "expected a point that may be written, found a derived point")
                continue
            self.assertLess(relative_error(found, plain), TOLERANCE, name)

    def test_observers_look_and_do_not_touch(self):
        seen, plain = {}, self.model.logits(IDS)

        def keep(value, point):
            seen[point.name] = value
            with self.assertRaises(ValueError):
                value[0] = 1

        found = self.model.run_with_hooks(IDS, observers=[(lambda name: True, keep)])
        self.assertTrue(np.array_equal(found, plain))
        cache = self.model.record(IDS, lambda name: True)
        self.assertEqual(set(seen), set(cache))
        for name, value in seen.items():  # kept arrays outlive the run
            self.assertTrue(np.array_equal(value, cache[name]), name)

    def test_observers_and_hooks_at_one_point(self):
        seen = []
        self.model.run_with_hooks(IDS, [("blocks.0.attn.hook_z", zero_head)], observers=[("blocks.0.attn.hook_z", lambda z, point: seen.append(z))])
        self.assertTrue(np.all(seen[0][:, :, 2] == 0) and np.any(seen[0][:, :, 1] != 0))
        cache = self.model.record(IDS, "z", hooks=[("blocks.0.attn.hook_z", zero_head)])
        self.assertTrue(np.array_equal(cache["z", 0], seen[0]))

    def test_what_a_hook_is_told(self):
        told = []
        names = ["blocks.0.attn.hook_z", "blocks.1.attn.hook_pattern", "hook_embed"]
        self.model.run_with_hooks([IDS, IDS], [(names, lambda value, point: told.append((point.name, point.layer(), point.batch, point.positions, value.shape)))])
        length, spec = len(IDS), self.model.spec
        whole = slice(0, length, 1)
        maps = [("blocks.1.attn.hook_pattern", 1, slice(i, i + 1, 1), whole, (1, spec.n_heads, length, length)) for i in (0, 1)]
        self.assertEqual(told, [("hook_embed", -1, slice(0, 2, 1), whole, (2, length, spec.d_model)),
                                ("blocks.0.attn.hook_z", 0, slice(0, 2, 1), whole, (2, length, spec.n_heads, spec.d_head))] + maps)

    def test_patching_the_whole_stream_gives_the_other_text(self):
        clean, corrupt = IDS, IDS[:-4] + [20, 21, 22, 23]
        cache = self.model.record(clean, "resid_pre")
        found = self.model.run_with_hooks(corrupt, [("blocks.1.hook_resid_pre", lambda value, point: cache[point.name])])
        self.assertLess(relative_error(found, self.model.logits(clean)), TOLERANCE)

    def test_generation_under_a_hook(self):
        positions = []

        def push(resid, point):
            positions.append((point.positions.start, point.positions.stop))
            resid[..., ::2] += 0.5

        made = self.model.generate(IDS, 3, hooks=[("blocks.1.hook_resid_pre", push)])
        self.assertEqual(positions, [(0, 15), (15, 16), (16, 17)])
        self.assertEqual(made.ids[0], int(EXPECTED["steer"][-1].argmax()))

    def test_encoder_decoder(self):
        model = vitrine.load(GOLDEN / "encoder_decoders" / "t5" / "model", threads=2)
        shapes = {}
        model.run_with_hooks(IDS[:5], [(["encoder.blocks.0.attn.hook_z", "decoder.blocks.0.cross_attn.hook_k", "decoder.blocks.0.cross_attn.hook_pattern"],
                                        lambda value, point: shapes.update({point.name: value.shape[:3]}))], decoder_ids=[0, 5, 9])
        self.assertEqual(shapes["encoder.blocks.0.attn.hook_z"][:2], (1, 5))
        self.assertEqual(shapes["decoder.blocks.0.cross_attn.hook_k"][:2], (1, 5))
        self.assertEqual(shapes["decoder.blocks.0.cross_attn.hook_pattern"][2], 3)


class Trouble(unittest.TestCase):
    def setUp(self):
        self.model = vitrine.load(LLAMA, threads=2)

    def test_exceptions_come_out_as_themselves(self):
        class Mine(Exception):
            pass

        def fail(value, point):
            raise Mine("at " + point.name)

        plain = self.model.logits(IDS)
        for name in ("blocks.1.attn.hook_z", "blocks.0.attn.hook_pattern", "logits", "hook_embed"):
            with self.assertRaisesRegex(Mine, "at " + name):
                self.model.run_with_hooks(IDS, [(name, fail)])
            self.assertTrue(np.array_equal(self.model.logits(IDS), plain))  # and the model is as it was

    def test_wrong_shapes_and_values(self):
        for result, found in ((np.zeros((2, 3)), r"found \(2, 3\)"), ("words", "found <class 'str'>"), (object(), "found <class 'object'>")):
            with self.assertRaisesRegex(vitrine.Error, "hook on blocks.0.attn.hook_z: expected an array of (shape|numbers).*" + found):
                self.model.run_with_hooks(IDS, [("blocks.0.attn.hook_z", lambda value, point, result=result: result)])
        with self.assertRaisesRegex(vitrine.Error, "expected nothing returned by an observer"):
            self.model.run_with_hooks(IDS, observers=[("blocks.0.attn.hook_z", lambda value, point: value)])
        for hooks in ([("blocks.0.attn.hook_z",)], ["blocks.0.attn.hook_z"], [("z", None)]):
            with self.assertRaisesRegex(vitrine.Error, "hooks: expected pairs"):
                self.model.run_with_hooks(IDS, hooks)

    def test_a_model_is_not_called_from_its_own_hook_but_another_is(self):
        with self.assertRaisesRegex(vitrine.Error, "from inside its own hooks"):
            self.model.run_with_hooks(IDS, [("hook_embed", lambda value, point: self.model.logits(IDS))])
        other = vitrine.load(LLAMA, threads=1)
        replace = lambda value, point: other.record(IDS, point.name)[point.name]
        found = self.model.run_with_hooks(IDS[::-1], [("blocks.1.hook_resid_pre", replace)])
        self.assertLess(relative_error(found, self.model.logits(IDS)), TOLERANCE)

    def test_threads_take_turns(self):
        plain, results = self.model.logits(IDS), [None] * 8

        def work(i):
            results[i] = self.model.run_with_hooks(IDS, [("blocks.0.attn.hook_z", lambda value, point: time.sleep(0.001))])
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            self.assertLess(relative_error(result, plain), TOLERANCE)

    def test_ctrl_c_ends_a_run(self):
        plain = self.model.logits(IDS)
        for busy in (lambda: self.model.generate(IDS, 10**7, hooks=[("logits", lambda value, point: value * 0)]),  # in C++ most of the time
                     lambda: self.model.run_with_hooks(IDS, [("hook_embed", lambda value, point: time.sleep(60))])):  # in Python
            timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
            timer.start()
            begin = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                for _ in range(10**6):  # a short context ends a text
                    busy()
            self.assertLess(time.monotonic() - begin, 20)
            timer.join()
            self.assertTrue(np.array_equal(self.model.logits(IDS), plain))
        self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)


if __name__ == "__main__":
    unittest.main()
