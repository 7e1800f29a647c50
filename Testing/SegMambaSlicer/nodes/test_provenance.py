"""How a result was made: on the node, and back from a saved scene with everything else."""

import pytest
from mrml_places import BACK, FRONT, GEOMETRIES, ids_of, mask_of, placed, rotation, volume_points, world_points
from SegMambaSlicerLib.nodes import edited, naming
from SegMambaSlicerLib.nodes.provenance import Provenance
from SegMambaSlicerLib.nodes.segmentation import Result, edited_segments, place_result

MADE = Provenance(
    model="tiny-model",
    version="1.2.0",
    sha256="f0f0",
    settings={"device": "auto", "overlap": 0.5, "roi": None, 'odd;:"|<&>%': ["ü", "\n"]},
    inputs=("MR head", "a;b:c"),
    date="2026-01-02T03:04:05+00:00",
    seconds=12.5,
    device="Processor (2 cores)",
    precision="fp32",
    backend="numba",
    program="0.1.0",
)


def test_what_was_written_on_a_node_is_read_back(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "one")
    assert Provenance.read(node) is None
    MADE.write(node)
    assert Provenance.read(node) == MADE
    assert node.GetAttribute("SegMamba.Model") == "tiny-model" and node.GetAttribute("SegMamba.Sha256") == "f0f0"


def test_it_is_made_from_the_workers_message():
    done = {
        "model": {"name": "m", "version": "2", "sha256": "ab", "path": "/x", "network": "lightmunet"},
        "seconds": 3.25, "device": "cuda:0", "device_title": "NVIDIA H200", "precision": "bf16", "backend": "triton",
    }  # fmt: skip
    made = Provenance.of_job(done, {"tta": True}, ["T1"])
    assert (made.model, made.version, made.sha256, made.seconds) == ("m", "2", "ab", 3.25)
    assert (made.device, made.precision, made.backend) == ("NVIDIA H200", "bf16", "triton")
    assert (made.settings, made.inputs) == ({"tta": True}, ("T1",))
    assert made.date.endswith("+00:00") and made.program
    assert Provenance.of_job({"device": "cpu"}).device == "cpu"


def test_damaged_values_are_left_out(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "one")
    node.SetAttribute("SegMamba.Model", "m")
    node.SetAttribute("SegMamba.Settings", "{broken")
    node.SetAttribute("SegMamba.Seconds", "soon")
    node.SetAttribute("SegMamba.Inputs", '{"not": "a list"}')
    assert Provenance.read(node) == Provenance("m")


@pytest.fixture
def reopened(scene, make_volume, make_transform, metadata, labels, tmp_path):
    """The scene with a result under a transform, saved as .mrb, closed and read again."""
    import slicer.util

    volume = make_volume(
        matrix=GEOMETRIES["oblique"], transform=make_transform(placed((1, 1, 1), (1, 2, 3), rotation(40, 2)))
    )
    node = place_result(Result(labels), metadata, volume, provenance=MADE, name="result")
    node.GetSegmentation().GetSegment(BACK).SetName("Renamed")
    for saved in (volume, node):
        saved.AddDefaultStorageNode()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    return slicer.util.getNode("result"), slicer.util.getNode("volume")


def test_a_saved_scene_brings_everything_back(reopened, metadata, labels):
    import slicer

    node, volume = reopened
    assert Provenance.read(node) == MADE
    assert ids_of(node) == [FRONT, BACK]
    for segment_id, value in zip((FRONT, BACK), (1, 2), strict=True):
        assert (mask_of(node, segment_id, volume) == (labels == value)).all()
        gap = world_points(node, segment_id) - volume_points(volume, labels == value)
        assert abs(gap).max() < 1e-3 * min(volume.GetSpacing())
    front = node.GetSegmentation().GetSegment(FRONT)
    entry = edited.tag(front, slicer.vtkSegment.GetTerminologyEntryTagName())
    assert entry == naming.terminology(metadata.labels[0].terminology)
    assert node.GetSegmentation().GetSegment(BACK).GetName() == "Renamed"
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    assert node.GetParentTransformNode() is volume.GetParentTransformNode() is not None


def test_after_loading_an_unedited_segment_still_counts_as_unedited(reopened, metadata, labels):
    node, volume = reopened
    assert edited_segments(metadata, node) == []
    place_result(Result(labels), metadata, volume, node)
    assert ids_of(node) == [FRONT, BACK] and node.GetSegmentation().GetSegment(BACK).GetName() == "Renamed"
