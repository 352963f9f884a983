"""The commands behind Model_Training/train.py and test.py: flags, one sentence for what goes wrong, exit status."""

import argparse
import sys
from types import ModuleType

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
    except CxrError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: {farewell}", file=sys.stderr)
        return 130
    return 0
