"""Files of compiled code: never stale, never another function's, never required."""

import glob
import hashlib
import pickle
from pathlib import Path

from numba.core.caching import IndexDataCacheFile

from .registers import N_REGISTERS, REGISTER_BYTES

_FOLDER = Path(__file__).resolve().parent


def _digest_of_sources():
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCES = _digest_of_sources()


class CodeFiles(IndexDataCacheFile):
    """Files of one function's code, each named by a hash of its key, without an index.

    Numba numbers the files and keeps the numbers in an index. Two processes that both find the
    index empty give the code of different keys the same file name, and the last to write the
    index removes the other's entries. Here the key is in the name and the header of its file.

    Parameters
    ----------
    cache_path, filename_base : str
    source_stamp : object
        Numba's stamp of the function's own file, its modification time and size; `guard` passes
        None for a file of the kernels' folder. Headers also hold the digest of all sources in
        this folder, because compiled code holds inlined functions from other files. The digest
        covers the function's own file by content, so the stamp would add only the time, which a
        reinstallation changes: without the stamp, cached code remains valid.
    """

    def __init__(self, cache_path, filename_base, source_stamp):
        super().__init__(cache_path, filename_base, (source_stamp, _SOURCES))
        self._filename_base = filename_base

    def _path(self, key):
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._data_path(f"{self._filename_base}.{name}.nbc")

    def _header(self, key, code):
        return self._version, self._source_stamp, key, hashlib.sha256(code).hexdigest()

    def save(self, key, data):
        """Write the code of a key, in place of code compiled from older sources."""
        code = self._dump(data)
        with self._open_for_write(self._path(key)) as file:
            file.write(self._dump(self._header(key, code)))
            file.write(code)

    def load(self, key):
        """Return the code of a key, or None if there is none for this key and source."""
        try:
            with open(self._path(key), "rb") as file:
                header = pickle.load(file)
                code = file.read()
        except FileNotFoundError:
            return None
        return pickle.loads(code) if header == self._header(key, code) else None

    def flush(self):
        """Delete the files of this function."""
        pattern = f"{glob.escape(self._filename_base)}.*.nbc"
        for path in Path(self._cache_path).glob(pattern):
            path.unlink(missing_ok=True)


def guard(cache, function):
    """Make a function's cache use `CodeFiles`, and compile where Numba would raise.

    A problem with the cache must not prevent a fit: files may be damaged, or impossible to
    write.

    Parameters
    ----------
    cache : numba.core.caching.FunctionCache
    function : callable
        Python function that the cache belongs to.
    """
    index, key_of = cache._cache_file, cache._index_key
    base = cache._impl.filename_base
    is_covered = Path(function.__code__.co_filename).resolve().parent == _FOLDER
    stamp = None if is_covered else index._source_stamp
    cache._cache_file = CodeFiles(cache.cache_path, base, stamp)
    cache._index_key = lambda *args: (*key_of(*args), REGISTER_BYTES, N_REGISTERS)
    load, save = cache.load_overload, cache.save_overload

    def load_or_none(signature, context):
        try:
            return load(signature, context)
        except Exception:
            return None

    def save_or_not(signature, data):
        try:
            save(signature, data)
        except Exception:
            return

    cache.load_overload, cache.save_overload = load_or_none, save_or_not
