"""Worker threads that an interrupt of the threads they work for cannot break.

A KeyboardInterrupt may come between any two bytecodes. The standard library's executors,
futures and conditions take and release locks in Python code: an interrupt there leaves a lock
that nobody releases, and the next call waits for ever. Here all state that threads share changes
in single calls of C code: a SimpleQueue of jobs, a deque whose one entry gives the job to the
thread that pops it, and a lock that the end of the job releases.
"""

import threading
from collections import deque
from queue import SimpleQueue


class Job:
    """A function without arguments that one worker calls once, or nobody calls.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function):
        self._function = function
        self._error = None
        self._unclaimed = deque([True])
        self._running = threading.Lock()
        self._running.acquire()

    def _claim(self):
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def run(self):
        """Call the function, in a worker, unless the job was finished before it began."""
        if self._claim():
            try:
                self._function()
            except BaseException as error:
                self._error = error
            finally:
                # Drop the function and its arrays first: after the release, the waiting thread
                # goes on at once, and this one may have to wait for its turn.
                self._function = None
                self._running.release()

    def finish(self):
        """Cancel the job if it has not begun; else wait for its end and raise its exception."""
        if self._claim():
            # Drop the function and its arrays: the job stays in the queue until a worker wakes up.
            self._function = None
            return
        self._running.acquire()
        if self._error is not None:
            raise self._error


class Workers:
    """A number of daemon threads that run jobs in the order they come.

    Parameters
    ----------
    size : int

    Raises
    ------
    RuntimeError
        If threads cannot be started any more, because the interpreter is shutting down.
    """

    def __init__(self, size):
        self.size = size
        self._jobs = SimpleQueue()
        try:
            for i in range(size):
                threading.Thread(
                    target=_work, args=(self._jobs,), name=f"softmax_reg_{i}", daemon=True
                ).start()
        except BaseException:
            self.close()
            raise

    def submit(self, job):
        """Queue a job, to run as soon as a worker is free."""
        self._jobs.put(job)

    def close(self):
        """End the threads after the waiting jobs. Later jobs never begin."""
        for _ in range(self.size):
            self._jobs.put(None)


def _work(jobs):
    while True:
        job = jobs.get()
        if job is None:
            return
        job.run()
        del job    # and the arrays that it holds, while waiting for the next
