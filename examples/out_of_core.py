"""A fit of rows that stay on disk: seconds for every pass, and the memory of the process.

Writes an array of synthetic embeddings to a .npy file (or takes yours), maps it and fits
`SoftmaxRegression`, which reads it in blocks. Prints the seconds of a pass beside those of reading
the file, and the process's own memory (on Linux; without the pages of the file that the system
caches). A mapped file of 1 GiB and more is read in blocks without being told; `RowBlocks` makes it
so here for smaller ones, as it does for h5py's datasets and zarr's arrays.

    python examples/out_of_core.py [--gib 0.1] [--columns 256] [--classes 10] [--folder FOLDER]
    python examples/out_of_core.py --data FILE.npy --labels FILE.npy
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from softmax_reg import RowBlocks, SoftmaxRegression

ROWS = 65_536    # written or read at a time


def write(folder, n_bytes, n_columns, n_classes):
    """Paths of X.npy, float32, and y.npy: unit vectors around a centre for every class."""
    rng = np.random.default_rng(0)
    n_rows = max(20 * n_classes, int(n_bytes / (4 * n_columns)))
    y = rng.integers(0, n_classes, n_rows)
    centres = rng.standard_normal((n_classes, n_columns), dtype=np.float32)
    paths = folder / "X.npy", folder / "y.npy"
    X = np.lib.format.open_memmap(paths[0], "w+", np.float32, (n_rows, n_columns))
    for start in range(0, n_rows, ROWS):
        part = y[start:start + ROWS]
        rows = 0.2 * centres[part] + rng.standard_normal((len(part), n_columns), np.float32)
        X[start:start + ROWS] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    X.flush()
    np.save(paths[1], y)
    return paths


def reading_seconds(path):
    """Seconds to read a file from its start to its end."""
    buffer = bytearray(2**26)
    started = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - started


def own_memory():
    """MiB of this process without the pages of files, or None where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status
                        if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        return None


class Watch(threading.Thread):
    """Looks at the process's own memory 20 times a second; `most` is the largest seen."""

    def __init__(self):
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.most = own_memory()

    def run(self):
        while not self._over.wait(0.05):
            self.most = max(self.most, own_memory())

    def __enter__(self):
        if self.most is not None:
            self.start()
        return self

    def __exit__(self, *exception):
        self._over.set()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=float, default=0.1, help="size of the file to write")
    parser.add_argument("--columns", type=int, default=256)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="for the file; default: a temporary one")
    parser.add_argument("--data", type=Path, metavar="FILE.npy", help="yours, with --labels")
    parser.add_argument("--labels", type=Path, metavar="FILE.npy")
    parser.add_argument("--tol", type=float, default=1e-4)
    given = parser.parse_args()
    if (given.data is None) != (given.labels is None):
        parser.error("--data and --labels need each other")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        paths = given.data, given.labels
        if given.data is None:
            paths = write(Path(folder), given.gib * 2**30, given.columns, given.classes)
        X, y = np.load(paths[0], mmap_mode="r"), np.load(paths[1])
        warm_up = slice(0, 2000)
        SoftmaxRegression(max_iter=2, tol=0.9).fit(np.array(X[warm_up]), y[warm_up])
        before, read = own_memory(), reading_seconds(paths[0])
        print(f"{X.shape[0]} x {X.shape[1]} {X.dtype}, {X.nbytes / 2**30:.2f} GiB on disk, "
              f"read once in {read:.2f} s")
        with Watch() as memory:
            started = time.perf_counter()
            model = SoftmaxRegression(tol=given.tol).fit(RowBlocks(X), y)
            seconds = time.perf_counter() - started
        print(f"fit: {seconds:.2f} s, {model.n_evaluations_} passes over the rows, "
              f"{seconds / model.n_evaluations_:.3f} s each; solver {model.solver_}")
        print(f"objective {model.objective_:.9f} nats, at most {model.dual_gap_:.0e} above the "
              "optimum")
        if before is not None:
            print(f"own memory: {before:.0f} MiB before the fit, {memory.most:.0f} at most in it")


if __name__ == "__main__":
    main()
