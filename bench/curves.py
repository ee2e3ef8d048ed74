#!/usr/bin/env python3
"""Measures how time and memory grow with the text, and writes them into docs/performance.md and docs/performance_curves.png.

    bench/curves.py MODEL [--lengths 128,512,...] [--threads 1,2] [--repetitions 3] [--peers FILE.md]
    bench/curves.py --self-test

Only what stands between the two marks of a part (<!-- curves --> ... <!-- end of curves -->) is replaced; --peers puts a table
of bench/peers/compare.py into the part `peers`. The picture needs matplotlib (bench/peers/requirements.txt)."""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def command(arguments, model, threads):
    lengths = ",".join(map(str, arguments.lengths))
    return ["vitrine-bench", model, "--threads", str(threads), f"--prefill={lengths}", f"--depths={lengths}",
            "--benchmark_filter=model/.*(prefill|decode).*/fast", f"--benchmark_repetitions={arguments.repetitions}"]


def points_of(result):
    """{("prefill" or "decode", tokens): {seconds: [...], memory}} of vitrine-bench's JSON. @raises ValueError where a row failed"""
    points = {}
    for row in result["benchmarks"]:
        if row.get("run_type") == "aggregate":
            continue
        found = re.search(r"/(prefill|decode)_(?:at_)?(\d+)/", row["name"])
        if not found:
            continue
        if row.get("error_occurred"):
            raise ValueError(f"{row['name']}: {row.get('error_message')}")
        point = points.setdefault((found[1], int(found[2])), {"seconds": [], "memory": row["memory"]})
        point["seconds"].append(row["real_time"] * SECONDS[row["time_unit"]])
    return points


def measured(arguments, threads):
    words = command(arguments, arguments.model, threads)
    done = subprocess.run([arguments.program, *words[1:], "--benchmark_format=json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"vitrine-bench: {done.stderr.strip().splitlines()[-1]}")
    result = json.loads(done.stdout)
    return points_of(result), result["context"]


def cell(seconds, scale):
    return f"{statistics.median(seconds) * scale:,.3g} [{min(seconds) * scale:,.3g}, {max(seconds) * scale:,.3g}]"


def table(curves):
    """@param curves  {threads: points}"""
    threads = sorted(curves)
    lengths = sorted({tokens for points in curves.values() for _, tokens in points})
    header = ["tokens before or in it", *(f"prefill, s, {n} thread{'s' * (n > 1)}" for n in threads),
              *(f"one more token, ms, {n} thread{'s' * (n > 1)}" for n in threads), "memory of the prefill, MB", "memory of decoding, MB"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for tokens in lengths:
        cells = [f"{tokens:,}"]
        for kind, scale in (("prefill", 1.0), ("decode", 1e3)):
            cells += [cell(curves[n][(kind, tokens)]["seconds"], scale) for n in threads]
        cells += [f"{curves[threads[-1]][(kind, tokens)]['memory'] / 1e6:,.0f}" for kind in ("prefill", "decode")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(curves, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    kinds = [("prefill", "seconds", "prefill, seconds"), ("decode", "seconds", "one more token, seconds"), ("prefill", "memory", "memory of the prefill, MB")]
    for axis, (kind, what, title) in zip(axes, kinds, strict=True):
        for threads, points in sorted(curves.items()):
            if what == "memory" and threads != max(curves):
                continue
            lengths = sorted(tokens for name, tokens in points if name == kind)
            values = [points[(kind, n)][what] for n in lengths]
            values = [v / 1e6 for v in values] if what == "memory" else values
            axis.plot(lengths, [statistics.median(v) if isinstance(v, list) else v for v in values], marker="o", label=f"{threads} thread{'s' * (threads > 1)}")
            if what == "seconds":
                axis.fill_between(lengths, [min(v) for v in values], [max(v) for v in values], alpha=0.25)
        axis.set(title=title, xlabel="tokens", xscale="log", yscale="log")
        axis.set_xticks(lengths, [f"{n:,}" for n in lengths], rotation=45)
        axis.minorticks_off()
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.grid(visible=True, alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=110)


def replaced(document, part, text):
    """The document with another text between the marks of a part. @raises ValueError where it has no such marks"""
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(begin) > document.index(end):
        raise ValueError(f"expected one '{begin}' and one '{end}' behind it")
    return document[:document.index(begin) + len(begin)] + "\n" + text.strip() + "\n" + document[document.index(end):]


def curves_part(arguments):
    curves, contexts = {}, {}
    for threads in arguments.threads:
        print(f"{threads} thread(s)", file=sys.stderr)
        curves[threads], contexts[threads] = measured(arguments, threads)
    context = contexts[max(contexts)]
    name = pathlib.Path(arguments.model).name
    plot(curves, arguments.document.with_name("performance_curves.png"))
    commands = "\n".join("    " + " ".join(f"'{w}'" if "(" in w else w for w in command(arguments, name, n)) for n in arguments.threads)
    return (f"{name}, {context['instruction_set']}, {context['date']}; peaks: f32 {context['peak_f32']}, bf16 {context.get('peak_bf16', 'none')} operations/s, "
            f"reading {context['peak_read']} bytes/s. Medians of {arguments.repetitions} [min, max].\n\n{commands}\n\n{table(curves)}\n\n"
            "![time and memory against the length of the text](performance_curves.png)")


def numbers(text):
    return [int(word) for word in text.split(",")]


def self_test():
    row = {"name": "model/m/decode_at_128/fast/real_time", "run_type": "iteration", "real_time": 2.0, "time_unit": "ms", "memory": 3e6}
    prefill = {**row, "name": "model/m/prefill_128/fast/real_time", "real_time": 500.0}
    points = points_of({"benchmarks": [row, {**row, "real_time": 4.0}, prefill, {**row, "run_type": "aggregate"}]})
    assert points == {("decode", 128): {"seconds": [2e-3, 4e-3], "memory": 3e6}, ("prefill", 128): {"seconds": [0.5], "memory": 3e6}}, points
    assert table({1: points, 2: points}).splitlines()[2] == "| 128 | 0.5 [0.5, 0.5] | 0.5 [0.5, 0.5] | 3 [2, 4] | 3 [2, 4] | 3 | 3 |"
    assert replaced("a\n<!-- x -->\nold\n<!-- end of x -->\nb", "x", "new") == "a\n<!-- x -->\nnew\n<!-- end of x -->\nb"
    for bad in (lambda: replaced("<!-- x -->", "x", ""), lambda: points_of({"benchmarks": [{**row, "error_occurred": True}]})):
        try:
            bad()
        except ValueError:
            continue
        raise AssertionError("accepted")
    return 0


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", metavar="MODEL")
    parser.add_argument("--lengths", type=numbers, default=[128, 256, 512, 1024, 2048, 4096, 8191])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peers", metavar="FILE", help="what bench/peers/compare.py -o wrote")
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "bin" / "vitrine-bench"))
    parser.add_argument("--document", type=pathlib.Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args(words)
    if arguments.self_test:
        return self_test()
    if not arguments.model and not arguments.peers:
        parser.error("expected MODEL, --peers or both")
    try:
        document = arguments.document.read_text()
        if arguments.peers:
            document = replaced(document, "peers", pathlib.Path(arguments.peers).read_text())
        if arguments.model:
            document = replaced(document, "curves", curves_part(arguments))
    except (OSError, ValueError) as error:
        parser.exit(1, f"curves.py: {error}\n")
    arguments.document.write_text(document)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
