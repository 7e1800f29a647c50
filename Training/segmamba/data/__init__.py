"""Data sets: reading and checking them, dealing their cases into folds, and drawing phantoms."""
