"""Models are trained, measured and exported. The only wing that knows torch."""
