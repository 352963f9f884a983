"""A film is read by an exported model. Knows no torch."""
