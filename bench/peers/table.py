"""Samples of interleaved rounds, and the table made of them."""
import statistics


def useful_attention_operations(heads, head_dim, tokens):
    """Multiplications and additions of causal attention: 4 for each number of each visible key; nothing behind the mask."""
    return 4 * heads * head_dim * tokens * (tokens + 1) // 2


def amount_of(task):
    """What the seconds of one measurement divide, and the unit of the quotient."""
    if task["kind"] == "attention":
        return useful_attention_operations(task["heads"], task["head_dim"], task["tokens"]) / 1e9, "GFLOP/s"
    return (task["tokens"] if task["kind"] == "prefill" else 1), "tokens/s"


def name_of(task):
    if task["kind"] == "attention":
        return f"causal attention f32, {task['heads']} heads x {task['head_dim']}, {task['tokens']:,} tokens"
    if task["kind"] == "prefill":
        return f"prefill of {task['tokens']:,}"
    return f"decoding at depth {task['tokens']:,}"


def summary(samples):
    """{median, low, high} of numbers."""
    return {"median": statistics.median(samples), "low": min(samples), "high": max(samples)}


def ratio(ours, theirs):
    """How many times as fast `ours` is, from seconds of the same rounds: the median of the rounds' ratios, [min, max]."""
    return summary([b / a for a, b in zip(ours, theirs, strict=True)])


def digits(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def spread(numbers, form):
    return f"{form(numbers['median'])} [{form(numbers['low'])}, {form(numbers['high'])}]"


def rows_of(results, ours):
    """One row a model, task and runner, with how many times as fast each of `ours` (names) is.
    @param results  [{model, task, runner, kl, seconds: [...] or gap}]"""
    rows = []
    for result in results:
        row = {"model": result["model"], "task": name_of(result["task"]), "runner": result["runner"], "kl": result.get("kl"), "ours_is": {}}
        if "gap" in result:
            row["gap"] = result["gap"]
        else:
            amount, row["unit"] = amount_of(result["task"])
            row["rate"] = summary([amount / seconds for seconds in result["seconds"]])
            for other in results:
                same = other["model"] == result["model"] and other["task"] == result["task"]
                if same and other["runner"] in ours and result["runner"] not in ours and "seconds" in other:
                    row["ours_is"][other["runner"]] = ratio(other["seconds"], result["seconds"])
        rows.append(row)
    return rows


def markdown(rows, ours):
    header = ["model", "task", "runner", "rate, median [min, max]", *(f"{name} is so many times as fast" for name in ours), "KL to exact, nats"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        rate = f"none: {row['gap']}" if "gap" in row else f"{spread(row['rate'], digits)} {row['unit']}"
        times = [spread(row["ours_is"][name], lambda x: f"{x:.2f}") if name in row["ours_is"] else "" for name in ours]
        kl = "" if row["kl"] is None else f"{row['kl']:.1e}"
        cells = (row["model"], row["task"], row["runner"], rate, *times, kl)
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)
