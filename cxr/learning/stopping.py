"""Ctrl-C while training: the step that is being done is finished first, so that what is saved is whole."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Stopped(KeyboardInterrupt):
    """The run was stopped by Ctrl-C, and saved."""

    def __init__(self) -> None:
        super().__init__("stopped and saved; the same command goes on from here.")


@dataclass
class StopSign:
    """Whether Ctrl-C was pressed."""

    asked: bool = False


@contextmanager
def ctrl_c_asks() -> Iterator[StopSign]:
    """While this lasts, Ctrl-C only sets the sign; pressed once more it raises KeyboardInterrupt at once.

    Signals come to the main thread alone: in any other one, and where Ctrl-C is ignored, nothing changes.
    """
    sign = StopSign()

    def ask(*_: object) -> None:
        if sign.asked:
            raise KeyboardInterrupt
        sign.asked = True
        os.write(2, b"\nStopping after this step; Ctrl-C once more stops at once and saves nothing.\n")

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield sign
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield sign
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
