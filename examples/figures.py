"""What the examples share: the argument --output, and saving figures without a display."""

import argparse
from pathlib import Path


def parser(description):
    """An argument parser with --output."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--output", type=Path, metavar="FOLDER",
                      help="write figures there (needs matplotlib); without it, text only")
    return made


def new_figure(width, height, **grid):
    """(figure, axes) of this size in inches, for files only."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**grid)


def save(figure, folder, name):
    """Write a figure and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, dpi=130)
    print(f"figure: {folder / name}")
