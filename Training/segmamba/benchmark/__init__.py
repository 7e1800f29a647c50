"""Side-by-side measurements: ``segmamba bench scan`` and ``segmamba bench networks``."""
