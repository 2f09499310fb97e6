"""The first fit in a new installation: whole processes, with and without compiled kernels.

    python examples/benchmarks/cold_start.py [--cases iris digits ...] [--repeats 5]

Each case is a script that imports, fits and calls predict_proba, run by a new Python process:
with `LogisticRegression`, with `SoftmaxRegression` and an empty cache of kernels (cold), and with
the cache that this left (warm). Seconds are medians over the repeats, interleaved. The last
columns are the processor seconds by which a cold process takes longer than a warm one, which is
the time to compile, and the ratio of a warm process to that of `LogisticRegression`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES = {
    "iris": "from sklearn.datasets import load_iris; X, y = load_iris(return_X_y=True)",
    "digits": "from sklearn.datasets import load_digits; X, y = load_digits(return_X_y=True)",
    "digits, L1": "from sklearn.datasets import load_digits; X, y = load_digits(return_X_y=True)",
    "tall": "import workloads; X, y = workloads.tall()",
    "CSR": (
        "from scipy import sparse; import numpy as np; rng = np.random.default_rng(0); "
        "X = sparse.random_array((5000, 2000), density=0.01, format='csr', rng=rng); "
        "y = (X @ rng.standard_normal((2000, 5))).argmax(axis=1)"
    ),
    "embeddings": "import workloads; X, y = workloads.embeddings(n=20_000)",
}
FIT = """
import sys, warnings
warnings.simplefilter("ignore")
{data}
if sys.argv[1] == "ours":
    from softmax_reg import SoftmaxRegression as Model
    options = {options!r}
else:
    from sklearn.linear_model import LogisticRegression as Model
    options = {peers!r}
Model(**options).fit(X, y).predict_proba(X)
"""


def measured(case, who, cache):
    """(seconds, seconds of processor time) of a process."""
    has_l1 = "L1" in case
    script = FIT.format(
        data=CASES[case], options={"l1_ratio": 1.0} if has_l1 else {},
        peers={"l1_ratio": 1.0, "solver": "saga"} if has_l1 else {},
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", script, who], env=environment, check=True,
                   stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parsed = parser.parse_args(arguments)
    print(f"{'':12}{'LogisticRegression':>20}{'cold':>8}{'warm':>8}{'compiling':>11}"
          f"{'cold / LR':>11}{'warm / LR':>11}")
    for case in parsed.cases:
        times = []
        measured(case, "peer", tempfile.gettempdir())    # reads the files of both once
        for _ in range(parsed.repeats):
            with tempfile.TemporaryDirectory() as cache:
                times.append([measured(case, who, cache) for who in ("peer", "ours", "ours")])
        peer, cold, warm = np.median(times, axis=0)
        print(f"{case:12}{peer[0]:>18.2f} s{cold[0]:>6.2f} s{warm[0]:>6.2f} s"
              f"{cold[1] - warm[1]:>9.2f} s{cold[0] / peer[0]:>11.2f}{warm[0] / peer[0]:>11.2f}",
              flush=True)


if __name__ == "__main__":
    main()
