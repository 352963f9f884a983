"""How a process keeps or returns memory: settings of the whole process, so a program decides on them, and no library.

They are glibc's; with other C libraries, and other systems, nothing is done.
"""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8  # of malloc.h
_MIB = 2**20


def keep_memory() -> None:
    """For a process that only trains: what a step frees is kept for the next, in huge pages. Before torch is imported.

    Otherwise each large tensor is handed back to Linux and faulted in again page by page: a quarter of the time of a
    step on two cores.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it once, at its first allocation
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1})


def return_memory() -> None:
    """For a process that serves from many threads: what a film took goes back to Linux. Before the first thread.

    Otherwise each thread keeps a heap of its own, and in it the largest film that it has seen: a fifth of a worker.
    """
    _set({_M_ARENA_MAX: 2, _M_MMAP_THRESHOLD: _MIB})


def _set(options: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        for option, value in options.items():
            mallopt(option, value)
