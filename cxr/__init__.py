"""cxr: a chest X-ray reading desk. Research and education only; not a medical device."""

__version__ = "0.2.0"
