"""Train on a rented GPU machine without a network: pack, unpack, train, split, join. See docs/gpu.md."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    began = time.monotonic()  # before the imports, which take seconds of the budget
    from cxr.memory import keep_memory

    keep_memory()
    from cxr.learning.remote_command import run

    return run(sys.argv[1:], began)


if __name__ == "__main__":
    sys.exit(main())
