"""Bytes become a film that a model may read."""
