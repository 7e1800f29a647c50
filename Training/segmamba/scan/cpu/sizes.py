"""Sizes that the kernels of the scan and those who call them agree on; here, where numba is not imported."""

LANES = 16  # channels of a block: floats of a vector
CHUNK = 32  # tokens between two checkpoints
FORWARD_SCRATCH = 3 * CHUNK * LANES
BACKWARD_SCRATCH = (9 + 3 * 4) * CHUNK * LANES
TAPS = 4  # of the causal convolution
TILE = 64  # tokens that the convolution handles at a time, in the first-level cache
CONV_SCRATCH = (TILE + TAPS - 1) * LANES
PLACES = TILE + 2 * (TAPS - 1)  # int64
