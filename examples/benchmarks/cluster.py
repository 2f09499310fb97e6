"""Fits on a Dask cluster of two workers on this machine, against a local fit and Spark ML.

    python examples/benchmarks/cluster.py [--rows 1000000] [--columns 50] [--classes 10] [--spark]

Prints the overhead of a pass over the rows: milliseconds of an evaluation of loss and gradient on
64 rows, on all rows, and locally on as many threads. Then the seconds of a fit with default
settings, with the rows in the workers' memory and the kernels compiled. --spark (needs pyspark,
Java and pyarrow) adds Spark ML's `LogisticRegression` on local[2] with cached vectors, at ever
tighter tolerances until its objective is within 1e-6 of ours: mean loss + ||W||^2 / (2 C n),
evaluated as in run.py, C = 1. Spark's matrix products are the JVM's; its reference BLAS is slower.
"""

import argparse
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from evaluations import median_seconds
from run import objective

from softmax_reg import SoftmaxRegression
from softmax_reg.dask import DaskSoftmaxRegression
from softmax_reg.estimators.partitions import check_partitions
from softmax_reg.problem.distributed import DistributedProblem
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows

GOAL = 1e-6
TOLERANCES = 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9
WORKERS = 2


def data(n, p, n_classes):
    """Normal rows, and labels drawn from a softmax model of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    logits = X @ (0.3 * rng.standard_normal((p, n_classes))) + 0.5 * rng.standard_normal(n_classes)
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def timed(fit):
    """(seconds, what it returns)."""
    started = time.perf_counter()
    model = fit()
    return time.perf_counter() - started, model


def local_evaluation(X, y, theta):
    """Seconds in this process."""
    rows, shift = MemoryRows(X), np.zeros(X.shape[1])
    sample = Sample(y.astype(np.int32), np.full(len(y), 1 / len(y)))
    return median_seconds(lambda: rows.value_grad(sample, shift, theta))


def cluster_evaluation(client, X, y, theta):
    """Seconds on the cluster."""
    data = check_partitions(DaskSoftmaxRegression(), client, X, y, None)
    of_rows = DistributedProblem(data, C=1.0, fit_intercept=True).objective
    return median_seconds(lambda: of_rows.evaluate(theta))


def of_spark(folder, X, y, goal):
    """(seconds of the first fit that gets to `goal`, or None; its tolerance)."""
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession

    names = [f"x{j}" for j in range(X.shape[1])]
    columns = {name: np.ascontiguousarray(X[:, j]) for j, name in enumerate(names)}
    path = str(Path(folder) / "rows.parquet")
    parquet.write_table(pa.table(columns | {"label": y.astype(np.float64)}), path)
    spark = (
        SparkSession.builder.master(f"local[{WORKERS}]")
        .config("spark.driver.memory", "6g").config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.files.maxPartitionBytes", str(Path(path).stat().st_size // 8 + 1))
        # A library that is not there: then the JVM's own vector instructions serve.
        .config("spark.driver.extraJavaOptions", "-Ddev.ludovic.netlib.blas.nativeLib=none.so")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    try:
        rows = VectorAssembler(inputCols=names, outputCol="features").transform(
            spark.read.parquet(path)
        ).select("features", "label").cache()
        rows.count()
        for i, tol in enumerate((TOLERANCES[0], *TOLERANCES)):
            model = LogisticRegression(
                family="multinomial", standardization=False, regParam=1 / len(y), tol=tol,
                maxIter=1000,
            )
            seconds, fitted = timed(lambda model=model: model.fit(rows))
            coef, intercept = fitted.coefficientMatrix.toArray(), fitted.interceptVector.toArray()
            value = objective(X, y, 1.0, 0.0, coef, intercept)
            print(f"  Spark at tol={tol:g}: {seconds:.2f} s, {value / goal - 1:+.1e} of the goal")
            if value <= goal and i > 0:    # the first warms up
                return seconds
    finally:
        spark.stop()
    return None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--spark", action="store_true")
    given = parser.parse_args()
    X, y = data(given.rows, given.columns, given.classes)
    theta = 0.1 * np.random.default_rng(1).standard_normal((given.classes, given.columns + 1))
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/X.npy", X)
        np.save(f"{folder}/y.npy", y)
        with LocalCluster(n_workers=WORKERS, threads_per_worker=1,
                          dashboard_address=":0") as cluster, Client(cluster) as client:
            chunk = -(-given.rows // given.partitions)
            dask_X, dask_y = client.persist([
                da.from_array(np.load(f"{folder}/{name}.npy", mmap_mode="r"), chunks=chunks)
                for name, chunks in (("X", (chunk, given.columns)), ("y", chunk))
            ])
            wait([dask_X, dask_y])
            DaskSoftmaxRegression(tol=0.5).fit(dask_X, dask_y)    # compiles
            few = slice(0, 64)
            dask_few = da.from_array(X[few], chunks=(32, given.columns))
            overhead = cluster_evaluation(client, dask_few, da.from_array(y[few], 32), theta)
            remote = cluster_evaluation(client, dask_X, dask_y, theta)
            seconds, model = timed(lambda: DaskSoftmaxRegression().fit(dask_X, dask_y))
        here = local_evaluation(X, y, theta)
        SoftmaxRegression(tol=0.5).fit(X, y)
        local_seconds, local = timed(lambda: SoftmaxRegression().fit(X, y))
        print(f"{given.rows} x {given.columns}, {given.classes} classes, {given.partitions} "
              f"partitions, {WORKERS} workers")
        print(f"evaluation: {1e3 * overhead:.1f} ms on 64 rows, {1e3 * remote:.1f} ms on all, "
              f"local {1e3 * here:.1f} ms")
        for name, taken, fitted in (("cluster", seconds, model), ("local", local_seconds, local)):
            print(f"{name}: {taken:.2f} s, {fitted.n_evaluations_} passes, {fitted.solver_}, "
                  f"objective {fitted.objective_:.12f}, gap {fitted.dual_gap_:.0e}")
        if given.spark:
            goal = min(model.objective_, local.objective_) * (1 + GOAL)
            theirs = of_spark(folder, X, y, goal)
            print("Spark: not reached" if theirs is None else
                  f"Spark: {theirs:.2f} s, {theirs / seconds:.1f}x the cluster's, "
                  f"{theirs / local_seconds:.1f}x the local fit's")


if __name__ == "__main__":
    main()
