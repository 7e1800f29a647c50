"""bf16 in kernels: loads widen exactly, stores round as torch does, tails touch nothing beyond."""

import numpy as np
import torch
from numba import njit

from segmamba.native.simd import bf16s, floats, load_bf16_lanes, load_lanes, store_bf16_lanes, store_lanes


@njit
def _there_and_back(n, source, narrow, wide):
    x, y, z = floats(source), bf16s(narrow), floats(wide)
    for i in range(0, n, 16):
        lanes = min(16, n - i)
        store_bf16_lanes(y, i, load_lanes(x, i, lanes), lanes)
        store_lanes(z, i, load_bf16_lanes(y, i, lanes), lanes)


def test_rounding_is_torchs_for_every_kind_of_float_and_tails_end_where_they_should():
    patterns = np.random.default_rng(0).integers(0, 1 << 32, 100_003, dtype=np.uint64).astype(np.uint32)
    x = torch.from_numpy(patterns.view(np.float32))
    x[:8] = torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-40, 3.3961e38, 1 + 2**-8])
    narrow, wide = torch.full((len(x) + 16,), 7.0, dtype=torch.bfloat16), torch.full((len(x) + 16,), 7.0)
    _there_and_back(len(x), x.data_ptr(), narrow.data_ptr(), wide.data_ptr())
    expected, nan = x.to(torch.bfloat16), x.isnan()
    found = narrow[: len(x)]
    assert int(nan.sum()) > 100
    assert torch.equal(found.isnan(), nan)
    # Bit for bit: zeros have signs.
    assert torch.equal(found[~nan].view(torch.int16), expected[~nan].view(torch.int16))
    assert torch.equal(wide[: len(x)][~nan], expected[~nan].float())
    assert bool((narrow[len(x) :] == 7).all()) and bool((wide[len(x) :] == 7).all())
