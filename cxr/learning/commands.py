"""The commands behind Model_Training/train.py and test.py: flags, one sentence for what goes wrong, exit status."""

import argparse
from types import ModuleType

from cxr.learning import testing_command, training_command
from cxr.learning.faults import end_of


def run_train(arguments: list[str]) -> int:
    """Exit status of train.py."""
    return _run("train.py", training_command, arguments)


def run_test(arguments: list[str]) -> int:
    """Exit status of test.py."""
    return _run("test.py", testing_command, arguments)


def _run(name: str, command: ModuleType, arguments: list[str]) -> int:
    """0; 1 after one sentence that says what is wrong; 130 when interrupted."""
    parser = argparse.ArgumentParser(prog=name, description=command.__doc__)
    command.add_flags(parser)
    options = parser.parse_args(arguments)
    return end_of(lambda: command.run(options), name)
