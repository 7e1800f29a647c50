"""Memory: however many classes, one and a half float32 maps beyond the input and one batch of windows."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, threading, time
import numpy as np, SimpleITK as sitk, torch
from pathlib import Path
sys.path.insert(0, {folder!r})
from small import metadata
from segmamba.inference.case import segment_case
from segmamba.metadata import Normalisation

torch.set_num_threads(1)
classes, size, spacing, dtype = {classes}, {size}, {spacing}, {dtype!r}


class Cheap(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(1, classes, 1)

    def forward(self, x):
        return self.conv(x)


def resident(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024


def reset():
    open("/proc/self/clear_refs", "w").write("5")


names = ["s%d" % n for n in range(classes - (0 if {regions} else 1))]
meta = metadata(names, regions={regions}, patch=(32, 32, 32), spacing=spacing,
                normalisation=Normalisation("percentile", "nonzero", percentiles=(0.5, 99.5)))
network = Cheap()
array = np.random.default_rng(0).integers(1, 1000, (size, size, size)).astype(dtype)
picture = sitk.GetImageFromArray(array)
small = sitk.GetImageFromArray(array[:48, :48, :48].copy())
del array
segment_case(network, meta, [small], device="cpu")
reset()
base = resident("VmRSS")
result = segment_case(network, meta, [picture], device="cpu")
peak = resident("VmHWM")
voxels = size**3
prepared = 4 * voxels if spacing is None else 4 * int(np.prod([round(size / s) for s in spacing]))
windows = 2 * 4 * classes * 32**3  # what the network gives for one batch, and its probabilities
print((peak - base - prepared - windows) / (4 * voxels))
"""


def growth(**settings):
    """Peak resident memory beyond the warm process, the prepared image and a batch of windows, in float32 maps."""
    script = SCRIPT.format(folder=str(Path(__file__).parent), **settings)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of resident memory is read from Linux's /proc"
)


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": 2, "size": 160, "spacing": None, "dtype": "int16", "regions": False},
        {"classes": 40, "size": 128, "spacing": None, "dtype": "float32", "regions": False},
        {"classes": 3, "size": 160, "spacing": (1.3, 1.3, 1.3), "dtype": "int16", "regions": True},
    ],
    ids=["two classes", "forty classes", "regions at another spacing"],
)
def test_memory_grows_by_at_most_one_and_a_half_maps(settings):
    assert growth(**settings) < 1.5
