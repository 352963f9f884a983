"""Models are trained, measured and exported. The only wing that knows torch."""

import os

# torch reads it once, at its first allocation: large tensors lie in huge pages, of which Linux has few to fault in.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
