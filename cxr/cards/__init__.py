"""Model cards: what a model is for, what was measured of it, and how it was made."""
