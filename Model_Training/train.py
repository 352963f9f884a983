"""Train a model of a task: python Model_Training/train.py --task chestxray14 --data NIH_FOLDER --out RUN."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxr.memory import keep_memory

if __name__ == "__main__":
    keep_memory()  # before torch is imported

    from cxr.learning.commands import run_train

    sys.exit(run_train(sys.argv[1:]))
