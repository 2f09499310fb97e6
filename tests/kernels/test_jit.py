"""The cache of machine code: never stale, never for another processor, never required."""

import contextlib
import importlib.util
import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from numba.core import caching

from softmax_reg.kernels import code_cache
from softmax_reg.kernels.jit import kernel
from softmax_reg.kernels.registers import register_file

from ..processes import run_new

pytestmark = pytest.mark.compiled
PACKAGE = Path(__file__).resolve().parents[2] / "softmax_reg"
BITS_OF_EVERY_KERNEL = """
import sys
import numpy as np
from softmax_reg.rows.base import Sample
from softmax_reg.rows.memory import MemoryRows
rng = np.random.default_rng(0)
X, theta = rng.standard_normal((300, 19)), rng.standard_normal((5, 20))
y, weight, shift = np.arange(300, dtype=np.int32) % 5, np.full(300, 1 / 300), np.zeros(19)
rows, sample = MemoryRows(X), Sample(y, weight)
kernels = [
    lambda: rows.value_grad(sample, shift, theta)[1],
    lambda: rows.hess_prod(sample, shift, theta, theta),
    lambda: rows.curvature(sample, shift, theta, True)[1],
    lambda: rows.value_grad_hessian(sample, shift, theta)[3],
    lambda: rows.hessian(sample, shift, theta, np.arange(0, 100, 3)),
]
order = [int(k) for k in sys.argv[1]]
bits = {k: hash(kernels[k]().tobytes()) for k in order}
print(sum(value * (k + 1) for k, value in bits.items()) % 2**50)
"""
# Kernels that compile in a second.
SMALL = """
import sys
import numpy as np
if "wide" in sys.argv:    # as on a processor with AVX-512
    from llvmlite import binding
    features = binding.get_host_cpu_features()
    features.update(avx=True, avx512f=True)
    binding.get_host_cpu_features = lambda: features
from softmax_reg.kernels.exp_log import exp
from softmax_reg.kernels.jit import kernel
from softmax_reg.kernels.tiles import add_product, padded

@kernel
def exponential(x):
    return exp(x)

@kernel
def add(left, right, out):
    add_product(left, right, out, left.ctypes.data, 0)

def product():
    n = padded(3, 8)
    left, right = np.arange(21.0).reshape(7, 3) - 10, np.arange(3.0 * n).reshape(3, n)
    out = np.zeros((7, n))
    add(left, right, out)
    np.testing.assert_array_equal(out, left @ right)    # integers, so exact
    return sum(add.stats.cache_hits.values())
"""


def _run(*arguments, code, folder=None, **environment):
    """The number that `code` prints in a process of its own; imports are from `folder` first."""
    if folder is not None:
        environment["PYTHONPATH"] = str(folder)
    result = run_new("-c", code, *arguments, folder=folder, **environment)
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


@pytest.mark.slow
def test_a_line_tells_that_kernels_compile(tmp_path):
    """Once a process, only where something compiles for longer; programs can silence it."""
    code = """
import logging, sys
from softmax_reg.kernels import cold_start
from softmax_reg.kernels.exp_log import exp64, log1p
cold_start.PATIENCE = float(sys.argv[1])
logging.getLogger("softmax_reg").disabled = "silent" in sys.argv
# As in a class of Numba's jitclass, the module of such a function is None.
exec("import numba\\n@numba.njit\\ndef theirs(x):\\n    return x", scope := {})
print(exp64(0.0) + scope["theirs"](log1p(0.0)))
"""

    def lines(*arguments, cache):
        result = run_new("-c", code, *arguments, NUMBA_CACHE_DIR=str(tmp_path / cache))
        assert (result.returncode, result.stdout) == (0, "1.0\n"), result.stderr
        return result.stderr.splitlines()

    (line,) = lines("0", cache="first")
    assert "python -m softmax_reg.compile" in line
    assert lines("0", cache="first") == []    # from the cache
    assert lines("0", "silent", cache="second") == []
    assert lines("600", cache="third") == []


def test_cached_code_follows_a_change_in_an_inlined_file(tmp_path):
    """Editing exp_log.py changes what another file's kernel computes, cache or not."""
    copy = tmp_path / "softmax_reg"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.nbi", "*.nbc"))
    (tmp_path / "small.py").write_text(SMALL)
    code = "import small; print(small.exponential(0.0))"
    options = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "folder": tmp_path, "code": code}
    assert _run(**options) == 1.0
    assert any((tmp_path / "cache").rglob("*.nbc"))
    assert _run(**options) == 1.0
    exp_log = copy / "kernels" / "exp_log.py"
    source = exp_log.read_text()
    last = "1.0 + (r + r2 * (_C2 + p * r))"
    assert source.count(f"p = {last}") == 1
    exp_log.write_text(source.replace(f"p = {last}", f"p = 2.0 * ({last})"))
    assert _run(**options) == 2.0


def test_a_cache_outlives_a_reinstallation(tmp_path):
    """Files of another time with the same content: nothing is compiled anew."""
    copy = tmp_path / "softmax_reg"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    (copy / "kernels" / "probe.py").write_text(
        "from .jit import kernel\n"
        "@kernel\n"
        "def double(x):\n"
        "    return 2 * x\n"
    )
    code = (
        "from softmax_reg.kernels.probe import double\n"
        "double(1.5)\n"
        "print(sum(double.stats.cache_hits.values()))"
    )
    options = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "folder": tmp_path, "code": code}
    assert _run(**options) == 0
    for path in copy.rglob("*.py"):
        os.utime(path, (1e9, 1e9))
    assert _run(**options) == 1


@pytest.mark.parametrize(
    "machine, features, expected",
    [
        ("x86_64", "+64bit,+avx,-avx10.1,+avx2,-avx512bw,-avx512f,+fma", (32, 16)),
        ("x86_64", "+avx,+avx2,+avx512bw,+avx512f,-avx512fp16", (64, 32)),
        ("AMD64", "+avx2,+avx512vl,-avx512f", (32, 16)),
        ("x86_64", "+avx,+avx2,+avx512f,-avx,-avx2,-avx512f,+sse4.2", (16, 16)),
        ("x86_64", "+avx2, -avx512f", (32, 16)),
        ("x86_64", "", (16, 16)),
        ("arm64", "", (16, 32)),
        ("aarch64", "+neon,+sve", (16, 32)),
        ("ARM64", "", (16, 32)),
        ("ppc64le", "+altivec", (16, 16)),
    ],
)
def test_registers_follow_the_features(machine, features, expected):
    """Bytes and number: AVX-512's, AVX's, SSE's, NEON's; the least where nothing is known."""
    assert register_file(machine, features) == expected


@pytest.mark.slow
def test_a_cache_serves_processors_of_other_registers(tmp_path):
    """Filled under default flags or generic ones, on a wider processor: each finds its own."""
    (tmp_path / "small.py").write_text(SMALL)
    code = "import small; print(small.product())"
    options = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "folder": tmp_path, "code": code}
    generic = {"NUMBA_CPU_NAME": "generic"}
    assert _run("wide", **options, **generic) == 0    # compiles
    assert _run(**options, **generic) == 1            # the same flags: what the other compiled
    assert _run(**options) == 0
    assert _run(**options, **generic) == 1


@pytest.fixture
def load(tmp_path, monkeypatch):
    """As another process: loads kernel `double` of a file of its own, and its cache, anew."""
    monkeypatch.setattr(caching.config, "CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "doubles.py"
    path.write_text(
        "from softmax_reg.kernels.jit import kernel\n"
        "@kernel\n"
        "def double(x):\n"
        "    return 2 * x\n"
    )

    def load():
        spec = importlib.util.spec_from_file_location("doubles", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.double

    return load


def test_two_processes_that_found_no_code_keep_theirs(load, monkeypatch):
    """While one writes the code of a signature, the other writes that of another."""
    first, second = load(), load()
    write = caching.IndexDataCacheFile._open_for_write
    raced = []

    @contextlib.contextmanager
    def write_in_a_race(self, path):
        if path.endswith(".nbc") and not raced:
            raced.append(path)
            assert second(1.5) == 3.0
        with write(self, path) as file:
            yield file

    with monkeypatch.context() as race:
        race.setattr(caching.IndexDataCacheFile, "_load_index", lambda self: {})
        race.setattr(caching.IndexDataCacheFile, "_open_for_write", write_in_a_race)
        np.testing.assert_array_equal(first(np.ones(2)), [2.0, 2.0])
    assert raced
    for argument in (1.5, np.ones(2)):
        other = load()
        np.testing.assert_array_equal(other(argument), 2 * argument)
        assert sum(other.stats.cache_hits.values()) == 1


def test_registers_are_part_of_the_key(load, monkeypatch):
    """Code for other registers is another entry, not a stale one."""
    for width, hits in ((16, 0), (32, 0), (16, 1), (32, 1)):
        monkeypatch.setattr(code_cache, "REGISTER_BYTES", width)
        double = load()
        assert double(1.5) == 3.0
        assert sum(double.stats.cache_hits.values()) == hits


@pytest.mark.parametrize(
    "damage", ["cut", "zeros", "a bit", "another's", "not of this package", "a folder", "empty"]
)
def test_damaged_code_is_compiled_anew(load, tmp_path, damage):
    """And replaced where it can be, so that the next process need not compile."""
    double = load()
    assert double(1.5) == 3.0
    (path,) = tmp_path.rglob("*double*.nbc")
    content = path.read_bytes()
    np.testing.assert_array_equal(double(np.ones(2)), [2.0, 2.0])
    (other,) = {*tmp_path.rglob("*double*.nbc")} - {path}
    damaged = {
        "cut": content[: len(content) // 2],
        "zeros": b"\x00" * len(content),
        "a bit": bytes([*content[:-1000], content[-1000] ^ 1, *content[-999:]]),
        "another's": other.read_bytes(),
        "not of this package": b"\x80\x05K\x01.",    # a pickled 1
        "empty": b"",
    }
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damaged[damage])
    again = load()
    assert again(1.5) == 3.0
    assert not again.stats.cache_hits
    if damage != "a folder":
        after = load()
        assert after(1.5) == 3.0
        assert sum(after.stats.cache_hits.values()) == 1


def test_recompiling_forgets_the_files(load, tmp_path):
    """Numba's recompile() empties this function's cache, as with Numba's own files."""
    double = load()
    assert double(1.5) == 3.0
    double.recompile()
    assert double.stats.cache_hits == {} and double(1.5) == 3.0
    assert len([*tmp_path.rglob("*double*.nbc")]) == 1


@pytest.mark.slow
def test_bits_do_not_depend_on_what_was_compiled_or_loaded_first(tmp_path):
    """The process that compiles, one that loads the cache, and any order agree."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONHASHSEED": "0"}
    first = _run("01234", code=BITS_OF_EVERY_KERNEL, **environment)
    for order in ("43210", "20431"):
        assert _run(order, code=BITS_OF_EVERY_KERNEL, **environment) == first


def test_kernels_compile_without_a_writable_cache_folder():
    """Nowhere to write machine code: compiled anew in each process, same result."""

    def nowhere(*args, **kwargs):
        raise RuntimeError("cannot cache function: no locator available")

    with mock.patch.object(caching.FunctionCache, "__init__", nowhere):
        double = kernel(lambda x: 2 * x)
    assert double(3.0) == 6.0


def test_kernels_compile_where_numba_has_another_cache():
    """A later Numba may keep its code otherwise: compiled anew in each process, same result."""
    with mock.patch.object(caching.FunctionCache, "_index_key", property(lambda self: None.x)):
        double = kernel(lambda x: 2 * x)
    assert double(3.0) == 6.0
