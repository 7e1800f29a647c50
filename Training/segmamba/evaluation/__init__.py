"""Evaluation: metrics of a mask against its reference, and the report over many cases."""
