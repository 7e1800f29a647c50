"""The selective scan of Mamba: one function, several backends, one definition.

``selective_scan`` computes it; ``available_backends``, ``chosen_backend`` and ``backend_report`` say with what.
"""

from segmamba.scan.dispatch import available_backends, backend_report, chosen_backend, selective_scan

__all__ = ["available_backends", "backend_report", "chosen_backend", "selective_scan"]
