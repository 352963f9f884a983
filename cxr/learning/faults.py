"""How a command ends: with exit status 0, or with one sentence on what is wrong, be it the input or the machine."""

import errno
import sys
from collections.abc import Callable
from urllib.error import URLError

import torch

from cxr.errors import CxrError

LESS_MEMORY = "raise --accumulate, or lower --batch, --size or --limit"
Fault = MemoryError | OSError | RuntimeError


def end_of(command: Callable[[], None], name: str, farewell: str = "stopped.") -> int:
    """Exit status of `command`: 0; 1 after one sentence that says what is wrong; 130 when interrupted.

    `farewell` is said then, unless the interruption itself says what came of it, as training does once it has saved.
    """
    try:
        command()
    except KeyboardInterrupt as stop:
        print(f"{name}: {stop.args[0] if stop.args else farewell}", file=sys.stderr)
        return 130
    except (CxrError, MemoryError, OSError, RuntimeError) as error:
        sentence = str(error) if isinstance(error, CxrError) else fault_of_the_machine(error)
        if sentence is None:
            raise
        print(f"{name}: {sentence}", file=sys.stderr)
        return 1
    return 0


def fault_of_the_machine(error: Fault, less_memory: str = LESS_MEMORY) -> str | None:
    """A sentence on memory, disk or network; None for what is a fault of this program."""
    if isinstance(error, URLError):
        return f"torchvision's weights cannot be downloaded ({error.reason}); give a file with --init instead."
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _says_no_memory(error):
        return f"There is too little memory for this; {less_memory}."
    if isinstance(error, OSError):
        place = error.filename or "A file"
        return f"{place} cannot be read or written ({error.strerror or error}); make room, or name another place."
    return None


def _says_no_memory(error: BaseException) -> bool:
    """PyTorch has no class of its own for an allocation that fails on the CPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
