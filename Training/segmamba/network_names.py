"""Names of the networks; apart from them, so that the command line knows the names without importing torch."""

NAMES = ("segmamba", "segmamba_v1", "segresmamba", "lightmunet")
