"""Displays of progress: a bar on a terminal, by rich or tqdm, or lines through `logging`."""

import importlib
import logging
import multiprocessing
import os
import sys
import threading

_LOGGER = __name__.partition(".")[0]
# Value of `verbose` from which lines are written on a terminal, too.
_LINES = 2
# Held while a bar is drawn. A process has one terminal, and so one bar at a time.
_TERMINAL = threading.Lock()


class Lines:
    """Lines at the level INFO of the logger "softmax_reg".

    `verbose` asks for them, so they do not need the level INFO of the root logger. A level of the
    logger "softmax_reg" itself counts. Where neither it nor a logger above it has a handler, lines
    go to stderr.

    Parameters
    ----------
    name : str
        Begins every line, in brackets.
    """

    is_bar = False

    def __init__(self, name):
        self._name = name

    def line(self, text):
        """Write a line."""
        logger = logging.getLogger(_LOGGER)
        is_wanted = (logger.level or logging.INFO) <= logging.INFO > logger.manager.disable
        if logger.disabled or not is_wanted:
            return
        record = logger.makeRecord(
            _LOGGER, logging.INFO, __file__, 0, "[%s] %s", (self._name, text), None
        )
        if logger.hasHandlers():
            logger.handle(record)
        elif logger.filter(record):
            logging.StreamHandler(sys.stderr).handle(record)

    def close(self):
        """Do nothing: lines leave nothing open."""


class RichBar:
    """A bar drawn by rich on stderr.

    Parameters
    ----------
    name : str
        Stands before the bar.
    """

    is_bar = True

    def __init__(self, name):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console(stderr=True)
        self._name = name
        # No thread refreshes the bar. Lines that others print appear above it; those to a stdout
        # that is not the terminal must stay there.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console, auto_refresh=False, expand=True,
            redirect_stdout=_is_terminal(sys.stdout),
        )
        self._task = self._progress.add_task(name, total=None, text="")
        self._progress.start()

    def line(self, text):
        """Write a line above the bar."""
        self._console.print(
            f"[{self._name}] {text}", markup=False, highlight=False, soft_wrap=True
        )

    def draw(self, share, text):
        """Draw the bar.

        share : float in [0, 1], or None where it is unknown
        """
        total = None if share is None else 1.0
        self._progress.update(self._task, total=total, completed=share or 0.0, text=text)
        self._progress.refresh()

    def close(self):
        """Leave the bar as it is, and the cursor below it."""
        self._progress.stop()


class TqdmBar:
    """A bar drawn by tqdm on stderr.

    Parameters
    ----------
    name : str
        Stands before the bar.
    """

    is_bar = True

    def __init__(self, name):
        from tqdm import tqdm

        # A class of its own, without the thread that refreshes other bars of the process.
        own = type("_Bar", (tqdm,), {"monitor_interval": 0})
        self._name = name
        self._bar = own(
            total=1.0, file=sys.stderr, dynamic_ncols=True, bar_format=self._format("")
        )

    def _format(self, text):
        fixed = [part.replace("{", "{{").replace("}", "}}") for part in (self._name, text)]
        return "{} |{{bar}}| {}".format(*fixed)

    def line(self, text):
        """Write a line above the bar."""
        self._bar.write(f"[{self._name}] {text}", file=sys.stderr)

    def draw(self, share, text):
        """Draw the bar.

        share : float in [0, 1], or None where it is unknown
        """
        self._bar.n = share or 0.0
        self._bar.bar_format = self._format(text)
        self._bar.refresh()

    def close(self):
        """Leave the bar as it is, and the cursor below it."""
        self._bar.close()


def opened(name, verbose, may_draw=True):
    """Return the display that `verbose` asks for here, to be passed to `close`, or None.

    Parameters
    ----------
    name : str
        What progresses.
    verbose : int
        0 is no display; 1 a bar where stderr is a terminal of this process and rich or tqdm is
        installed, else lines; more than 1 lines.
    may_draw : bool
        False takes lines in place of a bar.

    Returns
    -------
    Lines, RichBar, TqdmBar or None
        None also in place of a bar while another one of this process is open.
    """
    if not verbose:
        return None
    # Child processes inherit the terminal, which several of them may write to at once.
    is_child = multiprocessing.parent_process() is not None
    if verbose >= _LINES or is_child or not may_draw or not _is_terminal(sys.stderr):
        return Lines(name)
    kind = _kind_of_bar()
    if kind is None:
        return Lines(name)
    if not _TERMINAL.acquire(blocking=False):
        return None
    try:
        return kind(name)
    except BaseException:    # an interrupt, too
        _TERMINAL.release()
        raise


def close(display):
    """Close a display of `opened`; another bar may be opened then."""
    try:
        display.close()
    finally:
        if display.is_bar:
            _TERMINAL.release()


def _kind_of_bar():
    """Return the class of the bars that can be drawn with what is installed, or None."""
    for module, kind in (("rich.progress", RichBar), ("tqdm", TqdmBar)):
        try:
            importlib.import_module(module)
        except ImportError:
            continue
        return kind
    return None


def _is_terminal(stream):
    """Tell whether a stream, or None, is a terminal on which lines can be drawn anew."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):    # no stream of the io module, or closed
        return False
