"""Displays of progress: which one is taken, what it writes, and that it is closed."""

import contextlib
import io
import logging
import multiprocessing
import sys
import types

import pytest

from softmax_reg.estimators import bars


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


def on_terminal(monkeypatch):
    """Put a terminal in the place of stderr, and return it.

    No fixture, because pytest sets sys.stderr after it has set them up.
    """
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return stream


def _fakes(calls):
    """Modules in place of rich's and tqdm's, which record the calls of their bars."""

    class Recorder:
        def __init__(self, *columns, **options):
            calls.append(("made", type(self).__name__, options))

        def add_task(self, name, total, text):
            return 7

        def update(self, task, *, total, completed, text):
            calls.append(("draw", completed if total else None, text))

        def start(self):
            calls.append(("start",))

        def print(self, text, **options):
            calls.append(("line", text))

        def refresh(self):
            calls.append(("refresh",))

        def stop(self):
            calls.append(("close",))

    class Tqdm(Recorder):
        monitor_interval = 10

        def write(self, text, file):
            calls.append(("line", text))

        def refresh(self):
            calls.append(("draw", self.n, self.bar_format))

        def close(self):
            calls.append(("close",))

    def module(**names):
        made = types.ModuleType("fake")
        vars(made).update(names)
        return made

    column = module(Column=lambda *arguments, **options: None).Column
    return {
        "rich": module(), "rich.console": module(Console=type("Console", (Recorder,), {})),
        "rich.progress": module(
            Progress=type("Progress", (Recorder,), {}), BarColumn=column, TextColumn=column
        ),
        "tqdm": module(tqdm=Tqdm),
    }


@pytest.fixture
def fakes(monkeypatch):
    """Function of the names of the libraries that shall be installed, on a terminal.

    Returns the calls of the libraries.
    """

    def install(*names):
        calls = []
        on_terminal(monkeypatch)
        for name, module in _fakes(calls).items():
            is_there = name.partition(".")[0] in names
            monkeypatch.setitem(sys.modules, name, module if is_there else None)
        return calls

    return install


def _used(verbose=1, **options):
    """Open, use and close the display; return its type."""
    display = bars.opened("Model", verbose, **options)
    display.line("a line with [brackets] {and} 100%")
    if display.is_bar:
        display.draw(None, "at first")
        display.draw(0.25, " 25% gap {1}")
    bars.close(display)
    return type(display)


def test_rich_draws_the_bar_where_it_is_installed(fakes):
    """Also with tqdm; by refreshes of this thread alone, and nothing of stdout is taken away."""
    calls = fakes("rich", "tqdm")
    assert _used() is bars.RichBar
    (options,) = (call[2] for call in calls if call[:2] == ("made", "Progress"))
    assert options["auto_refresh"] is False and options["redirect_stdout"] is False
    assert calls[2:] == [
        ("start",), ("line", "[Model] a line with [brackets] {and} 100%"),
        ("draw", None, "at first"), ("refresh",), ("draw", 0.25, " 25% gap {1}"), ("refresh",),
        ("close",),
    ]


def test_tqdm_draws_the_bar_without_rich(fakes):
    """Braces are text, and the bar has no thread that watches it."""
    calls = fakes("tqdm")
    assert _used() is bars.TqdmBar
    _, own, options = calls[0]
    assert own == "_Bar" and options["file"] is sys.stderr and options["total"] == 1
    assert calls[1:] == [
        ("line", "[Model] a line with [brackets] {and} 100%"),
        ("draw", 0.0, "Model |{bar}| at first"), ("draw", 0.25, "Model |{bar}|  25% gap {{1}}"),
        ("close",),
    ]


def test_lines_without_either_or_without_a_terminal(fakes, monkeypatch):
    """And where a bar could garble the terminal, or `verbose` asks for lines."""
    fakes()
    assert _used() is bars.Lines
    fakes("rich", "tqdm")
    assert _used(verbose=2) is _used(may_draw=False) is bars.Lines
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing, "parent_process", lambda: object())
        assert _used() is bars.Lines
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "dumb")
        assert _used() is bars.Lines
    closed = Terminal()
    closed.close()
    for stream in (None, object(), io.StringIO(), io.TextIOWrapper(io.BytesIO())):
        monkeypatch.setattr(sys, "stderr", stream)
        assert _used() is bars.Lines
    assert bars.opened("Model", 0) is None


def test_one_bar_at_a_time(fakes):
    """A second one shows nothing; lines and later bars are as ever."""
    fakes("tqdm")
    first = bars.opened("Model", 1)
    assert bars.opened("Other", 1) is None
    assert _used(verbose=2) is bars.Lines
    bars.close(first)
    assert _used() is bars.TqdmBar


def test_a_bar_that_cannot_be_made_leaves_the_terminal_free(fakes, monkeypatch):
    """An interrupt in the constructor, for example, or at the end."""
    fakes("tqdm")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bars.TqdmBar, "__init__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bars.opened("Model", 1)
    display = bars.opened("Model", 1)
    with monkeypatch.context() as patch:
        patch.setattr(bars.TqdmBar, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bars.close(display)
    assert _used() is bars.TqdmBar


@pytest.mark.parametrize("library", ["rich", "tqdm"])
def test_the_bars_of_the_libraries(library, monkeypatch):
    """On the terminal: the name, the line above, the share and the text; stderr is given back."""
    pytest.importorskip(library)
    if library == "tqdm":
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    terminal = on_terminal(monkeypatch)
    assert _used() is {"rich": bars.RichBar, "tqdm": bars.TqdmBar}[library]
    assert sys.stderr is terminal
    text = terminal.getvalue()
    assert "[Model] a line with [brackets] {and} 100%\n" in text
    assert "Model" in text and "at first" in text and " 25% gap {1}" in text
    assert text.endswith("\n") or text.endswith("\x1b[?25h")    # shows the cursor


@contextlib.contextmanager
def unconfigured():
    """The package's logger, without handlers of its own or above, as before `basicConfig`."""
    logger = logging.getLogger("softmax_reg")
    before = logger.propagate, logger.level, logger.handlers[:]
    logger.propagate = False
    try:
        yield logger
    finally:
        logger.propagate, logger.handlers[:] = before[0], before[2]
        logger.setLevel(before[1])
        logger.disabled = False
        logging.disable(logging.NOTSET)


def test_lines_go_to_stderr_where_logging_is_not_configured(capsys):
    """Once, and no handler stays."""
    with unconfigured() as logger:
        bars.Lines("Model").line("100% of it")
        assert not logger.handlers and logger.level == logging.NOTSET
    assert capsys.readouterr() == ("", "[Model] 100% of it\n")


def test_lines_go_to_handlers_where_there_are_any(capsys):
    """There alone, whatever the root's level; formatted as the handler does."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    with unconfigured() as logger:
        logger.addHandler(handler)
        bars.Lines("Model").line("one")
        assert stream.getvalue() == "INFO:softmax_reg:[Model] one\n"
        handler.setLevel(logging.WARNING)
        bars.Lines("Model").line("two")
    assert "two" not in stream.getvalue() and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("silence", [
    lambda logger: logger.setLevel(logging.WARNING),
    lambda logger: setattr(logger, "disabled", True),
    lambda logger: logging.disable(logging.INFO),
    lambda logger: logger.addHandler(logging.NullHandler()),
], ids=["level", "disabled", "disable", "handler"])
def test_programs_can_silence_lines(capsys, silence):
    """By the usual means of `logging`."""
    with unconfigured() as logger:
        silence(logger)
        bars.Lines("Model").line("one")
    assert capsys.readouterr() == ("", "")
