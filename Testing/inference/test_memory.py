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
classes, size, spacing, dtype, patch = {classes}, {size}, {spacing}, {dtype!r}, {patch}


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
meta = metadata(names, regions={regions}, patch=(patch,) * 3, spacing=spacing,
                normalisation=Normalisation("percentile", "nonzero", percentiles=(0.5, 99.5)))
network = Cheap()
array = np.random.default_rng(0).integers(1, 1000, (size, size, size)).astype(dtype)
picture = sitk.GetImageFromArray(array)
edge = patch * 3 // 2  # two windows along each axis, blended: what a batch of windows takes is in its peak, too
small = sitk.GetImageFromArray(array[:edge, :edge, :edge].copy())
del array
segment_case(network, meta, [small], device="cpu")
reset()
segment_case(network, meta, [small], device="cpu")
base = resident("VmHWM")
reset()
result = segment_case(network, meta, [picture], device="cpu")
peak = resident("VmHWM")
voxels = size**3
scale = 1 if spacing is None else float(np.prod(spacing))
prepared = 4 * (voxels - edge**3) / scale
print((peak - base - prepared) / (4 * voxels))
"""


def growth(**settings):
    """How much higher the peak of a large image is than a small one's, beyond the prepared image, in float32 maps.

    Both peaks hold the network and a batch of its windows, so what is left is what grows with the image.
    """
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
        {"classes": 2, "size": 160, "patch": 32, "spacing": None, "dtype": "int16", "regions": False},
        {"classes": 40, "size": 128, "patch": 32, "spacing": None, "dtype": "float32", "regions": False},
        {"classes": 3, "size": 160, "patch": 32, "spacing": (1.3, 1.3, 1.3), "dtype": "int16", "regions": True},
    ],
    ids=["two classes", "forty classes", "regions at another spacing"],
)
def test_memory_grows_by_at_most_one_and_a_half_maps(settings):
    assert growth(**settings) < 1.5
