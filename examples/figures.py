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
    """Write a figure, as its name says PNG or SVG, and say where."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    # SVG: text stays text, and the same figure is the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "font.sans-serif": [
            "DejaVu Sans", "Verdana", "Helvetica", "Arial"]}):
        options = {"metadata": {"Date": None}} if name.endswith(".svg") else {}
        figure.savefig(folder / name, dpi=130, **options)
    print(f"figure: {folder / name}")
