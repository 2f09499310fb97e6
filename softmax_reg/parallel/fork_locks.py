"""Forks wait for Numba's compiler lock.

A child forked while another thread compiles (or loads compiled code) would wait for ever: that
thread holds Numba's lock and does not exist in the child. Numba itself may be imported later
than this module, or never.
"""

import os
import sys
import threading

_local = threading.local()


def _acquire():
    """Take Numba's lock, if Numba is imported."""
    module = sys.modules.get("numba.core.compiler_lock")
    _local.lock = getattr(module, "global_compiler_lock", None)
    if _local.lock is not None:
        _local.lock.acquire()


def _release():
    """Release the lock if `_acquire` has taken it in this thread."""
    lock, _local.lock = _local.lock, None
    if lock is not None:
        lock.release()


def guard_forks():
    """Make every later fork of this process wait for the lock; called once, at import."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
