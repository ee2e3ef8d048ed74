"""Everybody who is measured: ours and the peers, each a process that stays. A runner has a `name`, a `version` and
measure(task) -> seconds, which raises Gap where there is no number."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from worker import DECODED, Gap  # noqa: E402

# Name: precision, type of the cache, and the tasks in which it is another program than `vitrine fast`.
SIDES = {"vitrine fast": ("fast", "f16", ("prefill", "decode", "attention")), "vitrine exact": ("exact", "f32", ("prefill", "decode")),
         "vitrine int8": ("int8", "f16", ("prefill",)), "vitrine fast, int8 cache": ("fast", "int8", ("decode",))}
OURS = tuple(SIDES)
HERE = pathlib.Path(__file__).resolve().parent


class Ours:
    """vitrine-bench with --requests: one process for all sides."""

    def __init__(self, program, model, threads, tasks):
        lengths = {kind: ",".join(str(t["tokens"]) for t in tasks if t["kind"] == kind) for kind in ("prefill", "decode")}
        command = [program, "--threads", str(threads), "--requests", "--benchmark_min_time=0.3"]
        command += [model, "--kv", ",".join(sorted({kv for _, kv, _ in SIDES.values()}))] if model else []
        command += ["--prefill=" + lengths["prefill"]] if lengths["prefill"] else []
        command += ["--depths=" + lengths["decode"]] if lengths["decode"] else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.context, self.kl = {}, {}
        self.ask("^machine/multiply_add_f32/one_thread/real_time$")  # it measures the machine's peaks first: nobody else may work then

    def ask(self, filter_):
        try:
            self.process.stdin.write(filter_ + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gap("vitrine-bench ended") from None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.rstrip() in ("}", "{}"):
                return json.loads("".join(lines))
        raise Gap("vitrine-bench ended")

    def row(self, filter_):
        answer = self.ask(filter_)
        self.context = answer.get("context", self.context)
        rows = answer.get("benchmarks", [])
        if len(rows) != 1:
            raise Gap(f"vitrine-bench has {len(rows)} rows for {filter_}")
        if rows[0].get("error_occurred"):
            raise Gap(rows[0].get("error_message", "vitrine-bench failed"))
        return rows[0]

    def seconds(self, task, side):
        precision, kv, _ = SIDES[side]
        if task["kind"] == "attention":
            row = self.row(f"^attention/flash/causal_{task['tokens']}/real_time$")
        else:
            word = {"prefill": "prefill_", "decode": "decode_at_"}[task["kind"]]
            row = self.row(f"^model/[^/]*/{word}{task['tokens']}/{precision}/kv_{kv}/real_time$")
        self.kl[(task["kind"], task["tokens"], side)] = row.get("KL_to_exact")
        return row["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[row["time_unit"]]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Side:
    """One way of ours."""

    def __init__(self, ours, name):
        self.ours, self.name, self.version = ours, name, ""

    def plays(self, task):
        return task["kind"] in SIDES[self.name][2]

    def measure(self, task):
        return self.ours.seconds(task, self.name)

    def kl(self, task):
        return self.ours.kl.get((task["kind"], task["tokens"], self.name))

    def close(self):
        pass


class Worker:
    """A peer in a process of its own (worker.py says how they talk)."""

    def __init__(self, name, python, script, opening):
        self.name, self.version, self.gap = name, "", None
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  a pipe that nobody reads would fill up
        self.process = subprocess.Popen([python, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True)
        try:
            self.version = self.ask(opening)["version"]
        except Gap as gap:
            self.gap = str(gap)

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Gap(self.why_it_ended())
        answer = json.loads(line)
        if "gap" in answer:
            raise Gap(answer["gap"])
        return answer

    def why_it_ended(self):
        self.process.wait()
        self.errors.seek(0)
        last = (self.errors.read().strip().splitlines() or ["no reason given"])[-1]
        missing = re.search(r"No module named '(\w+)'", last)
        return f"{missing[1]} is not installed (compare.py --setup)" if missing else f"ended: {last[:160]}"

    def measure(self, task):
        if self.gap:
            raise Gap(self.gap)
        return self.ask(task)["seconds"]

    def plays(self, _task):
        return True

    def kl(self, _task):
        return None

    def close(self):
        self.process.stdin.close()
        self.errors.close()
        self.process.wait()


class IkLlama:
    """ik_llama.cpp by its own llama-bench, which leaves loading out of its rates; weights are repacked when loaded."""

    name = "ik_llama.cpp"

    def __init__(self, program, model, threads):
        self.program, self.model, self.threads, self.version = program, model, threads, ""

    def words(self, task):
        if task["kind"] == "prefill":
            return ["-p", str(task["tokens"]), "-n", "0"]
        return ["-p", "0", "-n", "0", "-gp", f"{task['tokens']},{DECODED}"]

    def measure(self, task):
        if not self.program:
            raise Gap("not built here: give --ik-llama PATH of its llama-bench")
        if task["kind"] == "attention":
            raise Gap("has no attention to call by itself")
        command = [self.program, "-m", self.model, "-t", str(self.threads), "-r", "1", "-fa", "1", "-rtr", "1", "-o", "json", *self.words(task)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout)[-1]
        except (OSError, subprocess.CalledProcessError, ValueError, IndexError) as error:
            raise Gap(f"{self.program} gave no result: {' '.join(str(error).split())[:120]}") from None
        self.version = "build " + str(row.get("build_commit", "?"))
        return (task["tokens"] if task["kind"] == "prefill" else 1) / row["avg_ts"]

    def plays(self, _task):
        return True

    def kl(self, _task):
        return None

    def close(self):
        pass
