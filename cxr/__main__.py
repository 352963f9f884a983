"""`python -m cxr`."""

import sys

from cxr.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
