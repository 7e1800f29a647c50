"""Numbers that the kernels of the norms and their callers agree on."""

# The output of a norm n of x with a second map r: act(n); act(n + r), where r may be normalised, too; act(n) + r.
PLAIN, BEFORE, AFTER = 0, 1, 2
LANES = 16  # channels to a vector
TILE = 64  # tokens whose sums are taken in float32
SHORT = 16  # tokens to a tile where nothing is summed
# Tokens from a read to its prefetch: processors do not foresee the same sixteen channels of one token after another.
AHEAD = 64
