"""What cannot travel between processes, and the way out: the one list for both ways.

An object that cannot arrive as it is, is refused, and never arrives as something else. Most kinds
say so themselves when they are pickled; those that cloudpickle would send as something else are
refused in `faithful`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from seqloader.executors.process.wire.culprit import Culprit, type_name
from seqloader.executors.process.wire.definitions.modules import is_installed

__all__ = ["KINDS", "Kind", "explain_batch", "explain_sent", "is_known_kind", "text_of"]


class Kind(NamedTuple):
    """One kind of object that cannot travel."""

    title: str
    names: frozenset[str]
    """Of its types."""
    in_sequence: str
    """The way out for a Sequence that holds one."""
    in_batch: str
    """And for a batch."""
    is_value: bool = False
    """Whether the way out is the same wherever it lies, globals and closures included."""


def _kind(
    title: str, names: str, in_sequence: str, in_batch: str = "", *, is_value: bool = False
) -> Kind:
    return Kind(title, frozenset(names.split()), in_sequence, in_batch or in_sequence, is_value)


_LAZILY: Final = "in __getitem__ when it is first used, and leave it out in __getstate__"

KINDS: Final = (
    _kind(
        "open files",
        "_io.BufferedReader _io.BufferedWriter _io.BufferedRandom _io.FileIO _io.TextIOWrapper "
        "_io.BufferedRWPair tempfile._TemporaryFileWrapper tempfile.SpooledTemporaryFile "
        "gzip.GzipFile bz2.BZ2File lzma.LZMAFile zipfile.ZipFile tarfile.TarFile "
        "h5py._hl.files.File h5py._hl.dataset.Dataset h5py._hl.group.Group",
        f"keep its path, open it {_LAZILY}",
        "return the file's name or its contents instead",
    ),
    _kind(
        "memory-mapped files",
        "mmap.mmap",
        f"hold a numpy.memmap, which travels as the file's name; or keep the path, map it "
        f"{_LAZILY}",
        "return the file's name or its contents instead",
    ),
    _kind(
        "directory entries",
        "posix.DirEntry nt.DirEntry posix.ScandirIterator nt.ScandirIterator",
        "keep its .path instead",
        is_value=True,
    ),
    _kind(
        "locks, and what waits",
        "_thread.lock _thread.RLock threading.Condition threading.Event threading.Semaphore "
        "threading.BoundedSemaphore threading.Barrier queue.Queue queue.LifoQueue "
        "queue.PriorityQueue _queue.SimpleQueue",
        "a worker computes one batch at a time, and has nobody to wait for: leave it out in "
        "__getstate__, and make a new one in __setstate__, or pass start_method='fork'",
        "leave it out, and make one where it is needed",
    ),
    _kind(
        "locks, queues and values of multiprocessing, made for forked children",
        "multiprocessing.synchronize.SemLock multiprocessing.synchronize.Condition "
        "multiprocessing.synchronize.Event multiprocessing.synchronize.Barrier "
        "multiprocessing.queues.Queue multiprocessing.queues.SimpleQueue "
        "multiprocessing.sharedctypes.SynchronizedBase",
        'make it by the same method of multiprocessing.get_context("spawn"), or pass '
        "start_method='fork', where workers inherit the Sequence as it is",
        "give it to the Sequence before the start, and return plain data",
        is_value=True,
    ),
    _kind(
        "threads, processes and pools",
        "threading.Thread threading.Timer subprocess.Popen concurrent.futures._base.Future "
        "concurrent.futures.thread.ThreadPoolExecutor "
        "concurrent.futures.process.ProcessPoolExecutor multiprocessing.pool.Pool "
        "multiprocessing.pool.ThreadPool multiprocessing.context.Process asyncio.events.Handle",
        f"start it {_LAZILY}",
        "return its result instead",
    ),
    _kind(
        "connections",
        "sqlite3.Connection sqlite3.Cursor socket.socket ssl.SSLSocket "
        "multiprocessing.connection.Connection http.client.HTTPConnection",
        f"connect {_LAZILY}; or once in each worker, in worker_init",
        "return what was read from it instead",
    ),
    _kind(
        "handlers of loggers",
        "logging.Handler",
        "hold the logger, which travels by its name, and give it its handlers in worker_init",
        "return the text instead",
    ),
    _kind(
        "generators",
        "generator coroutine async_generator",
        "make it a list or an array first",
        is_value=True,
    ),
    _kind("memoryviews", "memoryview", "make it bytes or an array first", is_value=True),
    _kind(
        "weak proxies",
        "weakref.ProxyType weakref.CallableProxyType",
        "hold the object itself, or a weakref.ref",
        "return the object itself",
    ),
    _kind(
        "what belongs to one thread or context",
        "_thread._local _contextvars.Context _contextvars.Token",
        "leave it out in __getstate__, and make a new one in __setstate__",
        "return the values themselves",
    ),
    _kind(
        "running digests and compressors",
        "_hashlib.HASH _hashlib.HMAC _hashlib.HASHXOF _blake2.blake2b _blake2.blake2s "
        "_sha3.sha3_256 zlib.Compress zlib.Decompress _bz2.BZ2Compressor _bz2.BZ2Decompressor "
        "_lzma.LZMACompressor _lzma.LZMADecompressor",
        "make it in __getitem__, or keep the digest",
        "return the digest or the bytes instead",
    ),
    _kind(
        "pointers of ctypes",
        "_ctypes._Pointer _ctypes.CFuncPtr ctypes.c_void_p ctypes.c_char_p ctypes.c_wchar_p "
        "ctypes.CDLL PyCapsule _cffi_backend._CDataBase _cffi_backend.Lib",
        "an address means nothing in another process: load the library in __getitem__ when it is "
        "first used, and keep data in arrays",
        "an address means nothing in another process: return an array",
    ),
    _kind(
        "frames",
        "frame traceback",
        "keep its text (traceback.format_exc())",
        is_value=True,
    ),
    _kind(
        "tensors of a device",
        "torch.Tensor torch.nn.parameter.Parameter",
        "hold it with .cpu(), and move batches to their device in the consumer",
        "return it with .cpu(), and move it to its device in the consumer",
        is_value=True,
    ),
    _kind(
        "streams and events of CUDA",
        "torch.cuda.streams.Stream torch.cuda.streams.Event",
        "make it in the consumer, where the device is",
        is_value=True,
    ),
    _kind(
        "enqueuers",
        "seqloader.enqueuer.OrderedEnqueuer",
        "give the inner enqueuer's Sequence to this one, and start one enqueuer in the consumer",
        "return batches, not what computes them",
        is_value=True,
    ),
)

_BY_NAME: Final = {name: kind for kind in KINDS for name in kind.names}
_OTHER_IN_SEQUENCE: Final = (
    "leave it out in __getstate__ and make it anew in __setstate__, or pass start_method='fork', "
    "where workers inherit the Sequence as it is"
)
_HELD_BY_LIBRARY: Final = (
    "{} is a class of a library, and says nothing of how it is pickled without it: pass "
    "start_method='fork', where workers inherit the Sequence as it is, or executor='thread'"
)
_OTHER_IN_BATCH: Final = "leave it out, or give its class a __reduce__ that can rebuild it"


def _kind_of(cls: type) -> Kind | None:
    for base in type.__dict__["__mro__"].__get__(cls):
        kind = _BY_NAME.get(type_name(base))
        if kind is not None:
            return kind
    return None


def is_known_kind(cls: type) -> bool:
    """Whether objects of the class, or of one that it derives from, are in the list."""
    return _kind_of(cls) is not None


def explain_sent(culprit: Culprit, error: BaseException, what: str) -> str:
    """Why a Sequence or function cannot travel to workers, and what to do. `what`: its name."""
    reason = text_of(culprit.error or error)
    return (
        f"{culprit}, cannot be pickled ({reason}). Workers get a pickle of {what}: "
        f"{_way_out(culprit)}."
    )


def explain_batch(culprit: Culprit, error: BaseException) -> str:
    """Why a batch cannot travel to the consumer, and what to do."""
    failed = culprit.error or error
    kind = _kind_of(type(culprit.part))
    way_out = kind.in_batch if kind else _OTHER_IN_BATCH
    return f"{culprit}, cannot be pickled ({type(failed).__name__}: {text_of(failed)}): {way_out}"


def _way_out(culprit: Culprit) -> str:
    kind = _kind_of(type(culprit.part))
    location = culprit.location
    if kind is not None and kind.is_value:
        return kind.in_sequence
    if location.kind == "global":
        return (
            f"what a script defines travels with the globals that it uses. Make it inside "
            f"{location.user} when it is first used, or move both into a module that workers can "
            "import: then each has its own"
        )
    if location.inside:
        return f"make it inside {location.user} when it is first used"
    if location.kind in ("class", "itself"):
        return (
            "a class of a script travels with its attributes. Make it in __getitem__ when it is "
            "first used, or move the class into a module that workers can import"
        )
    holder = culprit.holder
    if holder is not None and is_installed(holder.__module__):
        return _HELD_BY_LIBRARY.format(holder.__qualname__)
    return kind.in_sequence if kind else _OTHER_IN_SEQUENCE


def text_of(error: BaseException) -> str:
    """The beginning of what an exception says."""
    try:
        return str(error)[:500]
    except Exception:
        return type(error).__name__
