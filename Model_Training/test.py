"""Test a trained model: python Model_Training/test.py RUN_OR_CHECKPOINT --data NIH_FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxr.learning.commands import run_test

if __name__ == "__main__":
    sys.exit(run_test(sys.argv[1:]))
