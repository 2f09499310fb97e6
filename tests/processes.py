"""Programs in processes of their own: new interpreters, or forks of one that has imported.

Importing this package and what it needs takes two seconds of a processor. So most programs run
in a fork of an interpreter that has done so before anything else, and fitted nothing.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Seconds after which a program is killed.
TIMEOUT = 600
# Environment and options -> the interpreter whose forks have them.
_parents = {}


def environment(changes):
    """The present environment with `changes`; the package is imported from this tree."""
    paths = changes.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    paths = os.pathsep.join(filter(None, [paths, str(ROOT)]))
    return {**os.environ, **changes, "PYTHONPATH": paths}


def run_new(*arguments, folder=None, **changes):
    """The finished process of a new interpreter.

    arguments : options of the interpreter, "-c" and code or a file, and arguments of these
    folder : working directory
    changes : environment variables
    """
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT,
        cwd=folder, env=environment(changes),
    )


def run(*arguments, options=(), **changes):
    """As `run_new`, in a fork where there are forks; `options` are the interpreter's."""
    if not hasattr(os, "fork"):
        return run_new(*options, *arguments, **changes)
    key = (options, *sorted(changes.items()))
    if key not in _parents:
        _parents[key] = subprocess.Popen(
            [sys.executable, *options, "-c", "from tests.processes import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(changes),
        )
    parent = _parents[key]
    with tempfile.TemporaryDirectory() as folder:
        request = {"arguments": [str(argument) for argument in arguments], "folder": folder}
        print(json.dumps(request), file=parent.stdin, flush=True)
        returncode = int(parent.stdout.readline())
        outputs = [Path(folder, name).read_text() for name in ("stdout", "stderr")]
    return subprocess.CompletedProcess(request["arguments"], returncode, *outputs)


def serve():
    """Import, then fork a child for every request on standard input; print its exit status."""
    import matplotlib
    import sklearn.model_selection  # noqa: F401

    import softmax_reg  # noqa: F401

    matplotlib.use("agg")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request["arguments"], Path(request["folder"]))
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(arguments, folder):
    """Run code or a file as __main__, with output to files and a time limit."""
    signal.alarm(TIMEOUT)
    for stream, name in ((sys.stdin, os.devnull), (sys.stdout, folder / "stdout"),
                         (sys.stderr, folder / "stderr")):
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(arguments[1], vars(sys.modules["__main__"]))
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")
