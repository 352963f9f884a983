"""Train the film check: python Model_Training/film_check.py --data NIH KERMANY COVID --pictures DIR --out FILE.onnx."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxr.memory import keep_memory

if __name__ == "__main__":
    keep_memory()  # before torch is imported

    from cxr.learning.check_command import run

    sys.exit(run(sys.argv[1:]))
