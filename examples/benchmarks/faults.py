"""What becomes of a fit on Dask when workers are killed or the client is closed in mid-fit.

    python examples/benchmarks/faults.py [--peers softmax_reg xgboost dask-ml] [--kills 1 3]
        [--after 4] [--between 3] [--limit 120]

Two workers on this machine, 400,000 x 50 rows from a seeded source, five classes (two for dask-ml,
which is binary). For every peer and number of kills, a fit in a process of its own: `--after`
seconds after its start a worker gets SIGKILL, and again `--between` seconds later; "close" closes
the client instead. A line tells how the fit ended and how its result differs from that of a fit
without faults on the same cluster: the largest difference of probabilities of 1,000 rows. A fit
that has not ended `--limit` seconds after its start is called a hang. xgboost and dask-ml are
left out where they are not installed; the number of rounds or iterations is such that fits take
some 15 to 30 seconds, those of softmax_reg a pass and a half second each.
"""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time

import dask.array as da
import numpy as np

PEERS = ("softmax_reg", "xgboost", "dask-ml")
MODULES = {"softmax_reg": "softmax_reg", "xgboost": "xgboost", "dask-ml": "dask_ml"}
ROWS, COLUMNS, CHUNKS = 400_000, 50, 8


def data(n_classes):
    """(X, y), computed by the graph: of a seeded source."""
    random = da.random.RandomState(0)
    chunk = ROWS // CHUNKS
    X = random.standard_normal((ROWS, COLUMNS), chunks=(chunk, COLUMNS))
    X = X * np.geomspace(1, 0.03, COLUMNS)
    weights = np.random.default_rng(1).standard_normal((COLUMNS, n_classes))
    noise = random.gumbel(size=(ROWS, n_classes), chunks=(chunk, n_classes))
    return X, da.argmax(X @ weights + noise, axis=1)


def fitted(peer, X, y, client):
    """Probabilities of the first 1,000 rows."""
    few = X[:1000]
    if peer == "softmax_reg":
        from softmax_reg.dask import DaskSoftmaxRegression
        from softmax_reg.rows.cluster import ClusterRows

        attempt = ClusterRows._attempt

        def slowly(rows, one_pass, args):
            time.sleep(0.5)    # or it would be over before the second kill
            return attempt(rows, one_pass, args)

        ClusterRows._attempt = slowly
        model = DaskSoftmaxRegression(client=client, solver="lbfgs", tol=1e-8).fit(X, y)
        return model.to_local().predict_proba(few.compute())
    if peer == "xgboost":
        from xgboost.dask import DaskXGBClassifier

        model = DaskXGBClassifier(n_estimators=100, max_depth=6, n_jobs=1)
        model.client = client
        return np.asarray(model.fit(X, y).predict_proba(few))
    from dask_ml.linear_model import LogisticRegression

    model = LogisticRegression(solver="admm", max_iter=40, tol=0)
    return np.asarray(model.fit(X.persist(), y.persist()).predict_proba(few))


def one(peer, kills, after, between, limit):
    """A fit with faults; prints its line."""
    from distributed import Client, LocalCluster

    outcome = {}
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    client = Client(cluster)
    X, y = data(2 if peer == "dask-ml" else 5)
    expected = None if kills == "close" else fitted(peer, X, y, client)

    def fit():
        try:
            outcome["proba"] = fitted(peer, X, y, client)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=fit, daemon=True)
    started = time.perf_counter()
    thread.start()
    thread.join(after)
    done = 0
    if kills == "close":
        client.close()
    for _ in range(0 if kills == "close" else int(kills)):
        nanny = next(iter(cluster.workers.values()))
        if not thread.is_alive() or nanny.process is None:
            break
        os.kill(nanny.process.pid, signal.SIGKILL)
        done += 1
        thread.join(between)
    thread.join(max(0.0, limit - (time.perf_counter() - started)))
    seconds = time.perf_counter() - started
    if thread.is_alive():
        how = "hangs"
    elif "error" in outcome:
        message = str(outcome["error"]).strip().splitlines()[:1]
        how = f"{type(outcome['error']).__name__}: {' '.join(message)[:150]}"
    elif expected is None:
        how = "completes"
    else:
        how = f"completes, differs by {np.abs(outcome['proba'] - expected).max():.0e}"
    event = "client closed" if kills == "close" else f"{done} killed"
    print(f"| {peer} | {event} | {seconds:.1f} s | {how} |", flush=True)
    os._exit(0)    # whatever still hangs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--kills", nargs="+", default=["1", "3", "close"], metavar="N|close")
    parser.add_argument("--after", type=float, default=4.0)
    parser.add_argument("--between", type=float, default=3.0)
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.peers[0], given.kills[0], given.after, given.between, given.limit)
    print("| peer | event | fit | outcome |\n|---|---|---|---|", flush=True)
    for peer in given.peers:
        if importlib.util.find_spec(MODULES[peer]) is None:
            print(f"| {peer} | | | not installed |")
            continue
        for kills in given.kills:
            command = [sys.executable, __file__, "--one", "--peers", peer, "--kills", kills,
                       "--after", str(given.after), "--between", str(given.between),
                       "--limit", str(given.limit)]
            # The reference fit comes first.
            subprocess.run(command, stderr=subprocess.DEVNULL, timeout=4 * given.limit)


if __name__ == "__main__":
    main()
