"""compare.py --self-test: arithmetic, the table, the protocol of workers and the gaps, without any peer."""
import math
import pathlib
import stat
import sys
import tempfile
import unittest

import compare
import runners
import table

ANSWERING = """
import sys
sys.path.insert(0, {here!r})
from worker import Gap, serve
class Peer:
    def __init__(self, model, threads):
        print("a library that prints")
        print("x" * 200000, file=sys.stderr)
        self.version = f"{{model}} {{threads}}"
    def measure(self, task):
        if task["kind"] == "attention":
            raise Gap("not this one")
        if task["kind"] == "decode":
            raise RuntimeError("two\\nlines")
        return 0.25
serve(Peer)
"""
PREFILL, DECODE = {"kind": "prefill", "tokens": 512}, {"kind": "decode", "tokens": 4096}
ATTENTION = {"kind": "attention", "heads": 9, "head_dim": 64, "tokens": 512}


class Fixed:
    """A runner whose measurements are given."""

    def __init__(self, name, seconds):
        self.name, self.version, self.seconds, self.asked = name, "", list(seconds), []

    def plays(self, task):
        return task["kind"] != "attention"

    def measure(self, task):
        self.asked.append(task["tokens"])
        if not self.seconds:
            raise runners.Gap("nothing left")
        return self.seconds.pop(0)

    def kl(self, _task):
        return 1e-3 if self.name == "ours" else None


class Test(unittest.TestCase):
    def script(self, text):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "script.py"
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def worker(self, text):
        worker = runners.Worker("peer", sys.executable, self.script(text), {"model": "m", "threads": 2})
        self.addCleanup(worker.close)
        return worker

    def test_operations_are_those_of_visible_keys(self):
        visible = sum(1 for i in range(512) for j in range(512) if j <= i)
        self.assertEqual(table.useful_attention_operations(9, 64, 512), 4 * 9 * 64 * visible)

    def test_a_ratio_is_the_median_of_the_rounds_own(self):
        found = table.ratio([1.0, 2.0, 4.0], [2.0, 2.0, 16.0])
        self.assertEqual(found, {"median": 2.0, "low": 1.0, "high": 4.0})

    def test_rates(self):
        self.assertEqual(table.amount_of(PREFILL), (512, "tokens/s"))
        self.assertEqual(table.amount_of(DECODE), (1, "tokens/s"))
        self.assertTrue(math.isclose(table.amount_of(ATTENTION)[0], 0.302579712))

    def test_the_first_round_is_not_counted_and_turns_change(self):
        ours, peer = Fixed("ours", [9, 1, 2, 4]), Fixed("peer", [9, 2, 8, 8])
        found = compare.measure([ours, peer], [PREFILL], 3, lambda _text: None)
        self.assertEqual(found, {(0, "ours"): [1, 2, 4], (0, "peer"): [2, 8, 8]})
        rows = table.rows_of(compare.results_of("m", [ours, peer], [PREFILL], found), ["ours"])
        self.assertEqual(rows[1]["ours_is"], {"ours": {"median": 2.0, "low": 2.0, "high": 4.0}})
        self.assertEqual(rows[0]["ours_is"], {})
        self.assertEqual(rows[0]["kl"], 1e-3)
        text = table.markdown(rows, ["ours"])
        self.assertIn("| m | prefill of 512 | ours | 256 [128, 512] tokens/s |  | 1.0e-03 |", text)
        self.assertIn("| peer | 64 [64, 256] tokens/s | 2.00 [2.00, 4.00] |  |", text)

    def test_a_peer_that_fails_is_a_gap_and_is_not_asked_again(self):
        ours, peer = Fixed("ours", [1] * 4), Fixed("peer", [1])
        found = compare.measure([ours, peer], [PREFILL], 3, lambda _text: None)
        self.assertEqual(str(found[(0, "peer")]), "nothing left")
        self.assertEqual(len(peer.asked), 2)
        rows = table.rows_of(compare.results_of("m", [ours, peer], [PREFILL], found), ["ours"])
        self.assertIn("none: nothing left", table.markdown(rows, ["ours"]))

    def test_workers_talk(self):
        worker = self.worker(ANSWERING.format(here=str(runners.HERE)))
        self.assertEqual(worker.version, "m 2")
        self.assertEqual(worker.measure(PREFILL), 0.25)
        with self.assertRaisesRegex(runners.Gap, "not this one"):
            worker.measure(ATTENTION)
        with self.assertRaisesRegex(runners.Gap, "RuntimeError: two lines"):
            worker.measure(DECODE)
        self.assertEqual(worker.measure(PREFILL), 0.25)

    def test_a_library_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(runners.Gap, "no_such_library is not installed"):
            self.worker("import no_such_library").measure(PREFILL)
        with self.assertRaisesRegex(runners.Gap, "ended: .*Killed|ended: no reason"):
            self.worker("import os; os._exit(1)").measure(PREFILL)

    def test_the_llama_bench_of_a_fork(self):
        program = self.script("#!" + sys.executable + "\nimport sys\nassert sys.argv[sys.argv.index('-t') + 1] == '2'\n"
                              "print('[{\"build_commit\": \"abc\", \"avg_ts\": %d}]' % (100 if '-gp' in sys.argv else 1024))\n")
        fork = runners.IkLlama(program, "m.gguf", 2)
        self.assertEqual(fork.measure(PREFILL), 0.5)
        self.assertEqual(fork.measure(DECODE), 0.01)
        self.assertEqual(fork.version, "build abc")
        for broken in (self.script("#!" + sys.executable + "\nprint('no JSON')\n"), "/no/such/program"):
            with self.assertRaisesRegex(runners.Gap, "gave no result"):
                runners.IkLlama(broken, "m.gguf", 2).measure(PREFILL)
        with self.assertRaisesRegex(runners.Gap, "--ik-llama"):
            runners.IkLlama(None, "m.gguf", 2).measure(PREFILL)

    def test_ours_is_asked_by_row(self):
        row = '{"name": "r", "real_time": 250.0, "time_unit": "ms", "KL_to_exact": 0.5}'
        program = self.script("#!" + sys.executable + "\nimport sys\nfor line in sys.stdin:\n"
                              "  none = 'prefill' not in line\n"
                              "  print('{}' if none else '{\\n\"context\": {\"date\": \"d\"},\\n\"benchmarks\": [" + row.replace('"', '\\"') + "]\\n}', flush=True)\n")
        ours = runners.Ours(program, "m.gguf", 2, [PREFILL, DECODE])
        self.addCleanup(ours.close)
        self.addCleanup(ours.process.stdout.close)
        side = runners.Side(ours, "vitrine fast")
        self.assertEqual(side.measure(PREFILL), 0.25)
        self.assertEqual(side.kl(PREFILL), 0.5)
        self.assertFalse(runners.Side(ours, "vitrine int8").plays(DECODE))
        with self.assertRaisesRegex(runners.Gap, "0 rows for .*decode_at_4096/fast/kv_f16"):
            side.measure(DECODE)
        self.assertEqual(ours.context, {"date": "d"})


def run():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Test)
    return 0 if unittest.TextTestRunner(stream=sys.stderr).run(suite).wasSuccessful() else 1
