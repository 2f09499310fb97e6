"""Render results.csv as the Markdown tables of the guide.

    python examples/benchmarks/report.py [--results FOLDER]
"""

import argparse
import csv
import math
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = "softmax_reg"
# Fits of a peer that take longer than this are worth an average of their own.
LONG = 0.05


def load(folder):
    """Rows of results.csv with numbers as numbers."""
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in ("seconds", "first_seconds", "suboptimality", "objective"):
            row[name] = float(row[name])
    return rows


def fastest(rows, peer, level, solver=None):
    """The row of the least seconds that reaches `level`, or None."""
    reached = [
        row for row in rows
        if row["peer"] == peer and row["suboptimality"] <= level
        and solver in (None, row["solver"])
    ]
    return min(reached, key=lambda row: row["seconds"], default=None)


def default(rows, peer, solver):
    """The row of a solver's default settings, or None."""
    found = [
        row for row in rows
        if (row["peer"], row["solver"], row["tol"]) == (peer, solver, "default")
    ]
    return found[0] if found else None


def seconds(row):
    """A cell of seconds."""
    return "-" if row is None else f"{row['seconds']:.3g}"


def ratio(ours, theirs):
    """How many times faster, or None."""
    return None if ours is None or theirs is None else theirs["seconds"] / ours["seconds"]


def mean(ratios):
    """Geometric mean of those there are."""
    known = [value for value in ratios if value is not None]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else math.nan


def cell(value):
    """A cell of a ratio."""
    return "-" if value is None else f"{value:.1f}x"


def time_table(by_workload, level):
    """Seconds to a relative suboptimality: ours by default solver, the best of each peer."""
    peers = sorted({row["peer"] for rows in by_workload.values() for row in rows} - {OURS})
    peers.sort(key=lambda peer: peer != "scikit-learn")
    yield f"| to {level:.0e} | softmax_reg | " + " | ".join(
        f"{peer} | ratio" for peer in peers
    ) + " |"
    yield "|---" * (2 + 2 * len(peers)) + "|"
    ratios = {peer: [] for peer in peers}
    long_ratios = {peer: [] for peer in peers}
    for name, rows in by_workload.items():
        ours = fastest(rows, OURS, level, "auto")
        cells = [name, seconds(ours)]
        for peer in peers:
            theirs = fastest(rows, peer, level)
            ratios[peer].append(ratio(ours, theirs))
            shown = "-" if theirs is None else f"{seconds(theirs)} ({theirs['solver']})"
            cells += [shown, cell(ratios[peer][-1])]
            if theirs is not None and theirs["seconds"] > LONG:
                long_ratios[peer].append(ratios[peer][-1])
        yield "| " + " | ".join(cells) + " |"
    for title, known in (
        ("geometric mean", ratios), (f"where the peer takes over {LONG:g} s", long_ratios)
    ):
        means = " | ".join(f" | **{mean(known[peer]):.1f}x**" for peer in peers)
        yield f"| {title} | | {means} |"


def default_table(by_workload):
    """Default settings of both: seconds and relative suboptimality."""
    yield ("| defaults | softmax_reg | gap | first fit | LogisticRegression() | gap | ratio |")
    yield "|---|---|---|---|---|---|---|"
    ratios = []
    for name, rows in by_workload.items():
        ours = default(rows, OURS, "auto")
        theirs = default(rows, "scikit-learn", "lbfgs")
        ratios.append(ratio(ours, theirs))
        cells = [
            name, seconds(ours), f"{ours['suboptimality']:.0e}", f"{ours['first_seconds']:.2f}",
            seconds(theirs), "-" if theirs is None else f"{theirs['suboptimality']:.0e}",
            cell(ratios[-1]),
        ]
        yield "| " + " | ".join(cells) + " |"
    yield f"| geometric mean | | | | | | **{mean(ratios):.1f}x** |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE)
    rows = load(parser.parse_args().results)
    smooth, sparse = {}, {}
    for row in rows:
        group = sparse if float(row.get("l1_ratio", 0)) else smooth
        group.setdefault(row["workload"], []).append(row)
    for by_workload in (smooth, sparse):
        for level in (1e-3, 1e-6, 1e-9) if by_workload else ():
            print("\n".join(time_table(by_workload, level)), end="\n\n")
    print("\n".join(default_table(smooth)))


if __name__ == "__main__":
    main()
