"""One line on stderr while kernels are compiled, so that a first fit does not seem to hang.

The line is a warning of the logger "softmax_reg", so that programs can handle or silence it.
"""

import logging
import time

from numba.core import event

# Seconds of compiling in a process before the line is written.
PATIENCE = 1.0
_PACKAGE = __name__.partition(".")[0]


class _Notice(event.Listener):
    """Listener of Numba's compiler that writes the line once, while it compiles this package.

    Events come from one thread at a time, because the compiler has a lock.
    """

    def __init__(self):
        self._depth = 0    # kernels compile the functions that they call
        self._started = 0.0
        self._spent = 0.0
        self._is_written = False

    def on_start(self, event):
        if self._is_written:
            return
        if _is_ours(event):
            if self._depth == 0:
                self._started = time.perf_counter()
            self._depth += 1
        if self._depth > 0:
            self._write_if_late()

    def on_end(self, event):
        if self._depth > 0 and _is_ours(event):
            self._depth -= 1
            if self._depth == 0:
                self._spent += time.perf_counter() - self._started

    def _write_if_late(self):
        if self._spent + time.perf_counter() - self._started > PATIENCE:
            self._is_written = True
            logging.getLogger(_PACKAGE).warning(
                "%s: compiling kernels, once per installation (all of them beforehand: "
                "python -m %s.compile)", _PACKAGE, _PACKAGE,
            )


def _is_ours(event):
    """Return whether an event is the start or end of compiling a function of this package."""
    if event.kind != "numba:compile":
        return False
    # Functions made by `exec`, those of Numba's jitclass too, have no module.
    module = event.data["dispatcher"].py_func.__module__ or ""
    return module.partition(".")[0] == _PACKAGE


def announce():
    """Write the line, in this process, if kernels take longer than `PATIENCE` to compile."""
    notice = _Notice()
    event.register("numba:compile", notice)
    event.register("numba:run_pass", notice)    # many for each kernel, which takes seconds
