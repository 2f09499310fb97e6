"""A softmax regression on a Dask cluster: the same optimum as on one machine, certified.

Starts two workers on this machine, cuts the bundled digits into partitions (or reads your Parquet
files, which may be larger than memory), fits `DaskSoftmaxRegression`, and compares with a local
fit: objective, certificate, labels. With your cluster, give the address of its scheduler.

    python -m pip install '.[dask]' && python examples/dask_cluster.py [--partitions 7]
    python examples/dask_cluster.py --parquet FOLDER --target COLUMN [--scheduler ADDRESS]
"""

import argparse
import time
from contextlib import ExitStack

import dask.array as da
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits

from softmax_reg import SoftmaxRegression
from softmax_reg.dask import DaskSoftmaxRegression


def digits(n_partitions):
    """The bundled digits in partitions."""
    X, y = load_digits(return_X_y=True)
    rows = -(-len(X) // n_partitions)
    return da.from_array(X, chunks=(rows, X.shape[1])), da.from_array(y, chunks=rows)


def parquet(path, target):
    """All columns of Parquet files, and the one to predict."""
    import dask.dataframe as dd

    table = dd.read_parquet(path)
    return table.drop(columns=target), table[target]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--partitions", type=int, default=7, help="of the digits")
    parser.add_argument("--parquet", metavar="FOLDER")
    parser.add_argument("--target", metavar="COLUMN", help="of the Parquet files")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="instead of two local workers")
    parser.add_argument("--C", type=float, default=0.01)
    given = parser.parse_args()
    if (given.parquet is None) != (given.target is None):
        parser.error("--parquet and --target need each other")
    with ExitStack() as stack:
        cluster = given.scheduler or stack.enter_context(
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
        )
        client = stack.enter_context(Client(cluster))
        X, y = parquet(given.parquet, given.target) if given.parquet else digits(given.partitions)
        print(f"{len(client.nthreads())} workers, {X.npartitions} partitions")
        started = time.perf_counter()
        model = DaskSoftmaxRegression(C=given.C, client=client).fit(X, y)
        print(f"cluster: objective {model.objective_:.12f} nats, at most {model.dual_gap_:.0e} "
              f"above the optimum\n  {model.n_evaluations_} passes over the rows, "
              f"{time.perf_counter() - started:.2f} s with compiling")
        print(f"accuracy on these rows: {model.score(X, y):.4f}")
        labels = model.predict(X)    # lazy: computed block by block where it is needed
        print(f"first labels: {labels.blocks[0].compute()[:8].tolist()}")
        if given.parquet is None:
            local = SoftmaxRegression(C=given.C).fit(X.compute(), y.compute())
            print(f"local:   objective {local.objective_:.12f} nats, at most "
                  f"{local.dual_gap_:.0e} above the optimum")


if __name__ == "__main__":
    main()
