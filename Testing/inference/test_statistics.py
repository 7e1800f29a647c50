"""The table of volumes."""

import csv
import sys
from pathlib import Path

import pytest

from segmamba.errors import UserError
from segmamba.inference.case import segment_case
from segmamba.inference.statistics import table, write_statistics

sys.path.insert(0, str(Path(__file__).parent))
from small import Nested, Threshold, blob, image, metadata


def test_every_label_has_a_row_with_its_voxels_and_millilitres(tmp_path):
    picture = image(blob(), (2.0, 2.0, 5.0))
    meta = metadata(("shell, outer", "core"), values=[7, 4])
    result = segment_case(Threshold(0.5, 2.0), meta, [picture], device="cpu")
    voxels = int((blob() > 0.5).sum())
    shell, core = table(result)
    assert (shell.name, shell.value, shell.voxels) == ("shell, outer", 7, voxels)
    assert shell.millilitres == pytest.approx(voxels * 0.02)
    assert shell.percent == pytest.approx(100 * voxels / blob().size)
    assert (core.value, core.voxels, core.millilitres) == (4, 0, 0)
    write_statistics(result, tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open(newline="")))
    assert [row["name"] for row in rows] == ["shell, outer", "core"]
    assert rows[0]["voxels"] == str(voxels) and float(rows[0]["millilitres"]) == pytest.approx(voxels * 0.02, abs=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_region_counts_whole_with_what_is_painted_over_it():
    meta = metadata(("WT", "TC", "ET"), regions=True, values=[2, 1, 3])
    rows = table(segment_case(Nested(), meta, [image(blob())], device="cpu"))
    assert [row.voxels for row in rows] == [int((blob() > level).sum()) for level in (0.2, 0.5, 0.8)]


def test_a_folder_that_is_missing_is_named(tmp_path):
    result = segment_case(Threshold(), metadata(), [image(blob())], device="cpu")
    with pytest.raises(UserError, match=r"t\.csv cannot be written"):
        write_statistics(result, tmp_path / "none" / "t.csv")
