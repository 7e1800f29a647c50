"""Validation: through the inference that users run, on each case's own grid."""

import numpy as np
import SimpleITK as sitk
import torch
from boxes import REGIONS, recipe, write_dataset
from torch import nn

from segmamba.evaluation.metrics import Overlap
from segmamba.training.plan import make_metadata
from segmamba.training.validation import validate


class Bright(nn.Module):
    """Class n where the normalised intensity is above the n-th level."""

    def __init__(self, *levels, regions=False):
        super().__init__()
        self.levels, self.regions = levels, regions

    def forward(self, x):
        maps = [(x[:, :1] - level) * 100 for level in self.levels]
        return torch.cat(maps if self.regions else [torch.zeros_like(maps[0]), *maps], 1)


def test_counts_are_those_of_the_label_files_own_voxels(tmp_path):
    dataset = write_dataset(tmp_path, 2, spacing=(1.0, 1.0, 2.0))
    about = make_metadata(dataset, list(dataset.names), recipe(data={"spacing": [1, 1, 1]}))
    network = Bright(0.5).train()
    results = validate(
        network, about, dataset, list(dataset.cases), device="cpu", precision="fp32", overlap_fraction=0.5
    )
    assert len(results) == 2 and network.training
    for case, result in zip(dataset.cases, results, strict=True):
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label)))
        assert result["box"].reference == np.count_nonzero(truth)
        assert result["box"].dice > 0.9


def test_regions_are_compared_with_the_union_of_their_members(tmp_path):
    dataset = write_dataset(tmp_path, 1, labels=REGIONS)
    about = make_metadata(dataset, list(dataset.names), recipe())
    network = Bright(-1000, 1000, regions=True)  # everything is the first region, nothing the second
    (result,) = validate(
        network, about, dataset, list(dataset.cases), device="cpu", precision="fp32", overlap_fraction=0
    )
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(dataset.cases[0].label)))
    inside, core = int((truth > 0).sum()), int((truth == 2).sum())
    assert result == {"whole": Overlap(truth.size, inside, inside), "core": Overlap(0, core, 0)}
