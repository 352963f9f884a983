"""How a process that only trains keeps its memory. Imported before torch, which it does not need."""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep for the next step what this step frees, in huge pages. Other C libraries stay as they are.

    Otherwise each large tensor is handed back to Linux and faulted in again page by page: a quarter of the time of a
    step on two cores. It is a setting of the whole process, so a program decides on it, and no library.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it once, at its first allocation
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
