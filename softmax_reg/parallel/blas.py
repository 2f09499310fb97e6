"""The number of BLAS's own threads: held to one during a fit, then restored.

BLAS's threads would go on spinning between two calls and take the cores from the kernels: an
evaluation took twice the time, as measured. BLAS's results also depend on the number of threads.
"""

import contextlib
import os
import threading

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = set()    # a token for each user: removing one twice, or one never added, is harmless
_limited = []    # (library, its number of threads before)
_controller = None


def libraries():
    """Return threadpoolctl's handles on the loaded BLAS libraries; the caller holds `_lock`."""
    global _controller
    if _controller is None:
        _controller = ThreadpoolController().select(user_api="blas")
    return _controller.lib_controllers


def n_blas_threads():
    """Return how many threads BLAS may use outside of `one_blas_thread`; None if unknown.

    The result is the largest number of all BLAS libraries: a limit lowers them all, but packages
    may bring a library of their own that never has more than one thread.
    """
    with _lock:
        held = {id(library): before for library, before in _limited}
        return max(
            (held.get(id(library)) or library.get_num_threads() for library in libraries()),
            default=None,
        )


@contextlib.contextmanager
def one_blas_thread():
    """Hold BLAS to one thread until the last user of this context has left.

    The limit is the process's; counting its users keeps two fits in two threads from
    restoring each other's limit. A KeyboardInterrupt may come between any two lines.
    """
    token = object()
    try:
        with _lock:
            is_first = not _users
            _users.add(token)
            if is_first:
                _limit()
        yield
    finally:
        with _lock:
            _users.discard(token)
            if not _users:
                _restore()


def _limit():
    for library in libraries():
        before = library.get_num_threads()
        if before != 1:
            _limited.append((library, before))
            library.set_num_threads(1)
            # This has no effect where another thread of the user holds a limit.
            if library.get_num_threads() != 1:
                _limited.pop()


def _restore():
    while _limited:
        library, n_threads = _limited.pop()
        # threadpoolctl >= 3.8 lets only the thread that set a limit change it; here the
        # last user to leave may be on another thread than the first that came.
        clear = getattr(library, "clear_controlling_thread", None)
        if clear is not None:
            clear(force=True)
        library.set_num_threads(n_threads)
        if clear is not None:
            clear()


def _forget_users():
    """Reset the limit and the lock in a forked child, which lacks the threads that hold them."""
    global _lock
    _lock = threading.Lock()
    _users.clear()
    _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_users)
