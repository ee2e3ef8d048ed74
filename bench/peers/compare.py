#!/usr/bin/env python3
"""Runs other runtimes beside vitrine-bench, interleaved in one run, and writes one table with ratios and spreads.

    bench/peers/compare.py --setup                       an environment of its own with the peers (half an hour of building)
    bench/peers/compare.py MODEL.gguf [MODEL...] [--rounds 7] [--threads 2] [--json out.json] [--ik-llama LLAMA-BENCH]
    bench/peers/compare.py --self-test

In every round each runner does each task once, in an order that turns; a first round is not counted. Rates are medians over
the rounds with [min, max]; a ratio is the median of the rounds' own ratios. All have the same file, threads and tokens. What
is not installed is a named gap in the table."""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import runners  # noqa: E402
import table  # noqa: E402

ROOT = HERE.parents[1]
ENVIRONMENT = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "vitrine" / "peers"
PEERS = [("llama.cpp", "worker_llama_cpp.py"), ("PyTorch", "worker_pytorch.py"), ("CTranslate2", "worker_ctranslate2.py")]


def set_up():
    """llama.cpp is built here, for this CPU."""
    if subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=False).returncode != 0:
        print(f"compare.py: {ENVIRONMENT}: expected an environment, found none; on Debian install python3-venv", file=sys.stderr)
        return 1
    words = [str(ENVIRONMENT / "bin" / "pip"), "install", "-r", str(HERE / "requirements.txt")]
    return subprocess.run(words, env={**os.environ, "CMAKE_ARGS": "-DGGML_NATIVE=ON"}, check=False).returncode


def model_tasks(arguments):
    return ([{"kind": "prefill", "tokens": n} for n in arguments.prefill]
            + [{"kind": "decode", "tokens": n} for n in arguments.depths])


def attention_tasks(arguments):
    return [{"kind": "attention", "heads": 9, "head_dim": 64, "tokens": n} for n in arguments.attention]


def measure(players, tasks, rounds, tell):
    """Seconds of every task of every runner, {(task index, runner name): [...] or Gap}. Runners take turns."""
    found = {(t, player.name): [] for t, task in enumerate(tasks) for player in players if player.plays(task)}
    for number in range(rounds + 1):
        turned = players[number % len(players):] + players[:number % len(players)]
        for t, task in enumerate(tasks):
            for player in turned:
                key = (t, player.name)
                if key not in found or isinstance(found[key], runners.Gap):
                    continue
                try:
                    seconds = player.measure(task)
                    if number > 0:
                        found[key].append(seconds)
                except runners.Gap as gap:
                    found[key] = gap
            tell(f"round {number} of {rounds}: {table.name_of(task)}")
    return found


def results_of(label, players, tasks, found):
    results = []
    for t, task in enumerate(tasks):
        for player in players:
            if (t, player.name) not in found:
                continue
            numbers = found[(t, player.name)]
            result = {"model": label, "task": task, "runner": player.name, "version": player.version, "kl": player.kl(task)}
            result.update({"gap": str(numbers)} if isinstance(numbers, runners.Gap) else {"seconds": numbers})
            results.append(result)
    return results


def players_of(model, arguments, tasks):
    ours = runners.Ours(arguments.program, model, arguments.threads, tasks)
    sides = [runners.Side(ours, name) for name in runners.OURS]
    peers = [runners.Worker(name, arguments.python, script, {"model": model or "", "threads": arguments.threads})
             for name, script in PEERS if model or name == "PyTorch"]
    if model:
        peers.append(runners.IkLlama(arguments.ik_llama, model, arguments.threads))
    return ours, (sides if model else sides[:1]) + peers


def compare(arguments):
    def tell(text):
        if not arguments.quiet:
            print(text, file=sys.stderr)

    results, context = [], {}
    for model in [*arguments.models, None]:
        tasks = model_tasks(arguments) if model else attention_tasks(arguments)
        if not tasks:
            continue
        label = pathlib.Path(model).name if model else "-"
        tell(f"opening {label}")
        ours, players = players_of(model, arguments, tasks)
        try:
            results += results_of(label, players, tasks, measure(players, tasks, arguments.rounds, tell))
            context = ours.context or context
        finally:
            for player in [*players, ours]:
                player.close()
    return results, context


def cpu_name():
    found = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else "unknown CPU"


def report(results, context, arguments):
    versions = dict.fromkeys(f"{r['runner']}: {r['version']}" for r in results if r["version"])
    words = [pathlib.Path(word).name if "/" in word else word for word in arguments.words]  # no folders of this machine
    head = [f"`bench/peers/compare.py {shlex.join(words)}`", "",
            f"{context.get('date', '')}; {cpu_name()}, {context.get('instruction_set', '')}, {arguments.threads} threads; "
            f"peak f32 {context.get('peak_f32', '?')}, bf16 {context.get('peak_bf16', 'none')}, int8 {context.get('peak_int8', 'none')} operations/s, "
            f"reading {context.get('peak_read', '?')} bytes/s; {arguments.rounds} interleaved rounds.", *(["; ".join(versions) + "."] if versions else []), "", ""]
    return "\n".join(head) + table.markdown(table.rows_of(results, runners.OURS), runners.OURS) + "\n"


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--setup", action="store_true", help=f"make the environment in {ENVIRONMENT}")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=numbers, default=[512])
    parser.add_argument("--depths", type=numbers, default=[512, 4096])
    parser.add_argument("--attention", type=numbers, default=[512, 2048, 4096], help="lengths; an empty string for none")
    parser.add_argument("--python", default=str(ENVIRONMENT / "bin" / "python"), help="of the environment with the peers")
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "bin" / "vitrine-bench"))
    parser.add_argument("--ik-llama", metavar="LLAMA-BENCH", help="a built llama-bench of ik_llama.cpp")
    parser.add_argument("--json", metavar="FILE", help="every sample")
    parser.add_argument("-o", "--output", metavar="FILE", help="the table; standard output otherwise")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args(words)
    arguments.words = words
    return parser, arguments


def main(words):
    parser, arguments = parse(words)
    if arguments.self_test:
        import self_test
        return self_test.run()
    if arguments.setup:
        return set_up()
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    for path in [*arguments.models, arguments.program]:
        if not pathlib.Path(path).exists():
            parser.error(f"{path}: expected a file, found none" + (" (scripts/build makes it)" if path == arguments.program else ""))
    if not pathlib.Path(arguments.python).exists():
        print(f"compare.py: no environment with peers at {arguments.python}; every peer will be a gap (--setup makes one)", file=sys.stderr)
        arguments.python = sys.executable
    results, context = compare(arguments)
    text = report(results, context, arguments)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({"context": context, "arguments": words, "results": results}, indent=1))
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
