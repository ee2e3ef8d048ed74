#!/usr/bin/env python3
"""Times `vitrine tokenize` beside Hugging Face's `tokenizers` on one text, one thread each, the two in turn; prints medians and their
ratio, and first checks that both give the same tokens. Needs tokenizers: run it in an environment of your own.

    bench/tokenizer_speed.py --text FILE [--rounds 5] [--vitrine PROGRAM] FOLDER...     (folders with a tokenizer.json)
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402  (reads the environment)

root = pathlib.Path(__file__).resolve().parents[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vitrine", default=str(root / "build/release/bin/vitrine"))
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    text = options.text.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    megabytes = len(text.encode()) / 1e6

    def ours(folder, *words):
        line = [options.vitrine, "tokenize", str(folder), "--file", str(options.text), "--no-special", "--json", *words]
        return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)

    print(f"{'':24} {'tokens':>8} {'vitrine':>9} {'tokenizers':>11} {'by lines':>9}  MB/s; ratio to the faster of theirs")
    for folder in options.folders:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.encode_special_tokens = True
        theirs, by_lines, mine = [], [], []
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        same = ids == [token["id"] for token in ours(folder)["tokens"]]
        for _ in range(options.rounds):
            mine.append(megabytes / ours(folder, "--repeat", "5")["median_seconds"])
            begin = time.perf_counter()
            tokenizer.encode(text, add_special_tokens=False)
            theirs.append(megabytes / (time.perf_counter() - begin))
            begin = time.perf_counter()
            for each in lines:
                tokenizer.encode(each, add_special_tokens=False)
            by_lines.append(megabytes / (time.perf_counter() - begin))
        best = max(statistics.median(theirs), statistics.median(by_lines))
        ratio = statistics.median(mine) / best
        print(f"{folder.name:24} {len(ids):8} {statistics.median(mine):9.1f} {statistics.median(theirs):11.2f} {statistics.median(by_lines):9.2f}  "
              f"{ratio:.1f} [{min(mine) / max(theirs + by_lines):.1f}, {max(mine) / min(best, min(by_lines)):.1f}]" + ("" if same else "  TOKENS DIFFER"))


if __name__ == "__main__":
    main()
