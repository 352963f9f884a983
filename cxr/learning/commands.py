"""The commands behind Model_Training/train.py and test.py: flags, one sentence for what goes wrong, exit status."""

import argparse
import errno
import sys
from types import ModuleType
from urllib.error import URLError

import torch

from cxr.errors import CxrError
from cxr.learning import testing_command, training_command


def run_train(arguments: list[str]) -> int:
    """Exit status of train.py."""
    return _run("train.py", training_command, arguments, "stopped and saved; the same command goes on from here.")


def run_test(arguments: list[str]) -> int:
    """Exit status of test.py."""
    return _run("test.py", testing_command, arguments, "stopped.")


def _run(name: str, command: ModuleType, arguments: list[str], farewell: str) -> int:
    """0; 1 after one sentence that says what is wrong; 130 when interrupted."""
    parser = argparse.ArgumentParser(prog=name, description=command.__doc__)
    command.add_flags(parser)
    try:
        command.run(parser.parse_args(arguments))
    except KeyboardInterrupt:
        print(f"{name}: {farewell}", file=sys.stderr)
        return 130
    except (CxrError, MemoryError, OSError, RuntimeError) as error:
        sentence = str(error) if isinstance(error, CxrError) else _fault_of_the_machine(error)
        if sentence is None:
            raise
        print(f"{name}: {sentence}", file=sys.stderr)
        return 1
    return 0


def _fault_of_the_machine(error: MemoryError | OSError | RuntimeError) -> str | None:
    """A sentence on memory, disk or network; None for what is a fault of this program."""
    if isinstance(error, URLError):
        return f"torchvision's weights cannot be downloaded ({error.reason}); give a file with --init instead."
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _says_no_memory(error):
        return "There is too little memory for this; raise --accumulate, or lower --batch, --size or --limit."
    if isinstance(error, OSError):
        place = error.filename or "A file"
        return f"{place} cannot be read or written ({error.strerror or error}); make room, or name another place."
    return None


def _says_no_memory(error: BaseException) -> bool:
    """PyTorch has no class of its own for an allocation that fails on the CPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
