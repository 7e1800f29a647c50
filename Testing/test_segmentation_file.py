"""Slicer's segmentation files: names, colours, codes and overlap beside exact voxels."""

import gzip
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.images import Grid, array, from_array, read_image, write_segmentation
from segmamba.segmentation_file import layers_of, read_segmentation, terminology_entry

LIVER = {
    "context": "My list",
    "category": {"CodeValue": "123037004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical Structure"},
    "type": {"CodeValue": "10200004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"},
    "type_modifier": {"CodeValue": "7771000", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Left"},
    "anatomic_region": None,
}


@dataclass
class Segment:
    value: int
    name: str
    colour: tuple[int, int, int]
    terminology: dict | None = None


SEGMENTS = [
    Segment(1, "Whole", (255, 0, 0), LIVER),
    Segment(2, "Core, «Kern»", (0, 128, 51)),
    Segment(7, "Rim", (1, 2, 3)),
]
ANGLE = np.radians(25)
GRID = Grid(
    (8, 7, 6),
    (0.7, 1 / 3, 2.5),
    (-12.3, 45.6, 1e3 / 7),
    (np.cos(ANGLE), -np.sin(ANGLE), 0.0, 0.0, 0.0, -1.0, np.sin(ANGLE), np.cos(ANGLE), 0.0),
)


def label_map() -> np.ndarray:
    values = np.zeros((6, 7, 8), np.uint8)
    values[1:4, 2:5, 1:6], values[2, 3, 2:5], values[5, 6, 7] = 1, 2, 7
    return values


def fields(path) -> dict[str, str]:
    header = path.read_bytes().split(b"\n\n")[0].decode("utf-8")
    pairs = (line.replace(":=", ": ", 1).partition(": ") for line in header.splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def test_label_map_comes_back_exactly_with_names_colours_and_codes(tmp_path):
    path = tmp_path / "mask.seg.nrrd"
    write_segmentation(from_array(label_map(), GRID), path, SEGMENTS)
    back = read_image(path, warnings=(said := []))
    assert np.array_equal(array(back), label_map()) and back.GetPixelID() == sitk.sitkUInt8
    assert Grid.of(back).same_as(GRID, 1e-12) and said == []
    header = fields(path)
    assert [header[f"Segment{n}_Name"] for n in range(3)] == ["Whole", "Core, «Kern»", "Rim"]
    assert [header[f"Segment{n}_LabelValue"] for n in range(3)] == ["1", "2", "7"]
    assert {header[f"Segment{n}_Layer"] for n in range(3)} == {"0"}
    assert np.allclose([float(c) * 255 for c in header["Segment1_Color"].split()], (0, 128, 51), atol=1e-3)
    assert header["Segment0_Extent"] == "0 7 0 6 0 5"
    assert header["Segment0_Tags"] == (
        "TerminologyEntry:My list~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~SCT^7771000^Left"
        "~Anatomic codes - DICOM master list~^^~^^|"
    )
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert [p.name for p in tmp_path.iterdir()] == ["mask.seg.nrrd"]


def test_overlapping_segments_go_to_layers_and_nothing_is_lost(tmp_path):
    whole, core, rim = np.zeros((3, 6, 7, 8), bool)
    whole[1:5, 1:6, 1:7], core[2:4, 2:5, 2:5], rim[5, 0, 0] = True, True, True
    regions = (whole * 1 | core * 2 | rim * 4).astype(np.uint8)
    labels = np.where(core, 2, np.where(rim, 7, whole)).astype(np.uint8)
    path = tmp_path / "mask.seg.nrrd"
    write_segmentation(from_array(labels, GRID), path, SEGMENTS, regions)
    header = fields(path)
    assert header["sizes"] == "2 8 7 6" and header["kinds"] == "list domain domain domain"
    image = sitk.ReadImage(str(path))
    assert image.GetNumberOfComponentsPerPixel() == 2
    assert Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()).same_as(GRID, 1e-12)
    layers = sitk.GetArrayFromImage(image)
    for n, mask in enumerate((whole, core, rim)):
        layer = layers[..., int(header[f"Segment{n}_Layer"])]
        assert np.array_equal(layer == int(header[f"Segment{n}_LabelValue"]), mask)


def test_regions_that_do_not_overlap_are_a_plain_label_map(tmp_path):
    values = label_map()
    regions = ((values == 1) * 1 | (values == 2) * 2 | (values == 7) * 4).astype(np.uint16)
    write_segmentation(from_array(values, GRID), tmp_path / "a.seg.nrrd", SEGMENTS, regions)
    write_segmentation(from_array(values, GRID), tmp_path / "b.seg.nrrd", SEGMENTS)
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


def test_layers_are_as_few_as_the_overlaps_allow():
    assert layers_of(np.array([0, 1, 2, 4], np.uint8), 3) == [0, 0, 0]
    assert layers_of(np.array([0, 3, 4], np.uint8), 3) == [0, 1, 0]
    assert layers_of(np.array([7, 8], np.uint8), 4) == [0, 1, 2, 0]
    assert layers_of(np.array([5, 6], np.uint8), 3) == [0, 0, 1]


@pytest.mark.parametrize("value, kind", [(255, sitk.sitkUInt8), (256, sitk.sitkUInt16), (70000, sitk.sitkUInt32)])
@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz", ".nrrd", ".mha"])
def test_the_smallest_unsigned_type_that_holds_the_values_is_written(tmp_path, suffix, value, kind):
    values = label_map().astype(np.int64)
    values[0, 0, 0] = value
    write_segmentation(from_array(values, GRID), tmp_path / f"a{suffix}", [Segment(value, "a", (9, 9, 9))])
    back = read_image(tmp_path / f"a{suffix}")
    assert back.GetPixelID() == kind and np.array_equal(array(back), values)


def test_odd_names_keep_the_header_whole(tmp_path):
    segment = Segment(1, "two\nlines \\ and := colon", (0, 0, 0), {"type": {"CodeMeaning": "a~b^c|d"}})
    write_segmentation(from_array(label_map(), GRID), tmp_path / "a.seg.nrrd", [segment])
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "two\nlines \\ and := colon"
    assert "a-b-c-d" in image.GetMetaData("Segment0_Tags")


def test_no_terminology_is_no_entry():
    assert terminology_entry(None) == terminology_entry({}) == ""
    assert terminology_entry({"type": LIVER["type"]}).count("~") == 6


def test_the_same_mask_gives_the_same_bytes_and_no_file_for_a_bad_place(tmp_path):
    for name in ("a", "b"):
        write_segmentation(from_array(label_map(), GRID), tmp_path / f"{name}.seg.nrrd", SEGMENTS)
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()
    with pytest.raises(UserError, match="does not exist"):
        write_segmentation(from_array(label_map(), GRID), tmp_path / "none" / "a.seg.nrrd", SEGMENTS)
    with pytest.raises(UserError, match="format"):
        write_segmentation(from_array(label_map(), GRID), tmp_path / "a.vtk", SEGMENTS)


def test_voxels_are_gzip_after_the_header(tmp_path):
    write_segmentation(from_array(label_map(), GRID), tmp_path / "a.seg.nrrd", SEGMENTS)
    data = (tmp_path / "a.seg.nrrd").read_bytes().split(b"\n\n", 1)[1]
    assert gzip.decompress(data) == label_map().tobytes()


def test_layers_are_read_back_by_the_names_of_their_segments(tmp_path):
    whole, core, rim = np.zeros((3, 6, 7, 8), bool)
    whole[1:5, 1:6, 1:7], core[2:4, 2:5, 2:5], rim[5, 0, 0] = True, True, True
    regions = (whole * 1 | core * 2 | rim * 4).astype(np.uint8)
    write_segmentation(from_array(whole.astype(np.uint8), GRID), tmp_path / "a.seg.nrrd", SEGMENTS, regions)
    back = read_segmentation(tmp_path / "a.seg.nrrd")
    assert back.grid.same_as(GRID, 1e-12) and len(back.layers) == 2
    assert [(s.name, s.value) for s in back.segments] == [(s.name, s.value) for s in SEGMENTS]
    for segment, mask in zip(back.segments, (whole, core, rim), strict=True):
        assert np.array_equal(back.mask(segment), mask)
    write_segmentation(from_array(label_map(), GRID), tmp_path / "b.seg.nrrd", SEGMENTS)
    plain = read_segmentation(tmp_path / "b.seg.nrrd")
    assert len(plain.layers) == 1 and np.array_equal(plain.mask(plain.segments[2]), label_map() == 7)


def test_files_without_segments_or_with_a_layer_too_few_are_refused(tmp_path):
    sitk.WriteImage(from_array(label_map(), GRID), str(tmp_path / "a.seg.nrrd"))
    with pytest.raises(UserError, match=r"a\.seg\.nrrd: its header names no segments"):
        read_segmentation(tmp_path / "a.seg.nrrd")
    write_segmentation(from_array(label_map(), GRID), tmp_path / "b.seg.nrrd", SEGMENTS)
    whole = (tmp_path / "b.seg.nrrd").read_bytes()
    (tmp_path / "b.seg.nrrd").write_bytes(whole.replace(b"Segment1_Layer:=0", b"Segment1_Layer:=1"))
    with pytest.raises(UserError, match="layer 1, of 1"):
        read_segmentation(tmp_path / "b.seg.nrrd")
    (tmp_path / "b.seg.nrrd").write_bytes(whole.replace(b"Segment1_LabelValue:=2", b"Segment1_LabelValue:=x"))
    with pytest.raises(UserError, match="segment 1"):
        read_segmentation(tmp_path / "b.seg.nrrd")
