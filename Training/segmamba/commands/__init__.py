"""The sub-commands of ``segmamba``, one a file."""
