"""What the export as DICOM SEG reads: codes that parse, the algorithm, and the source's instances."""

import pytest
from mrml_places import FRONT, SHAPE
from SegMambaSlicerLib.nodes import dicom, edited, naming
from SegMambaSlicerLib.nodes.segmentation import Result, place_result

from segmamba import models


@pytest.fixture
def exported(make_volume, brats, regions):
    volume = make_volume(name="t1 from DICOM")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4 1.2.5")
    return place_result(Result(regions.clip(0, 3), regions), brats, volume), volume


def parsed(entry):
    import slicer

    found = slicer.vtkSlicerTerminologyEntry()
    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(entry, found)
    return found


def test_every_segment_has_codes_that_slicer_parses_to_what_the_model_says(exported, brats):
    import slicer

    node, _ = exported
    for segment_id, label in zip(node.GetSegmentation().GetSegmentIDs(), brats.labels, strict=True):
        segment = node.GetSegmentation().GetSegment(segment_id)
        found = parsed(edited.tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName()))
        for key, code in (
            ("category", found.GetCategoryObject()),
            ("type", found.GetTypeObject()),
            ("type_modifier", found.GetTypeModifierObject()),
        ):
            wanted = label.terminology[key]
            assert code.GetCodingSchemeDesignator() == wanted["CodingSchemeDesignator"]
            assert code.GetCodeValue() == wanted["CodeValue"]
            assert code.GetCodeMeaning() == wanted["CodeMeaning"]


def test_the_text_is_the_one_that_slicer_writes_itself(slicer_core):
    """For every label of the models that ship."""
    logic = slicer_core.modules.terminologies.logic()
    labels = [label for entry in models.entries() for label in models.find(entry.name).metadata.labels]
    assert labels
    for label in labels:
        entry = naming.terminology(label.terminology)
        assert logic.SerializeTerminologyEntry(parsed(entry)) == entry


def test_a_label_without_codes_is_left_as_slicer_makes_segments(make_volume, metadata, labels):
    import slicer

    node = place_result(Result(labels), metadata, make_volume())
    segment = node.GetSegmentation().GetSegment("SegMamba_tiny_model_Back_part")
    found = parsed(edited.tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName()))
    assert found.GetTypeObject().GetCodeMeaning() == "Tissue"


def test_each_segment_says_that_an_algorithm_made_it_and_which(exported):
    node, _ = exported
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        segment = node.GetSegmentation().GetSegment(segment_id)
        assert edited.tag(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
        assert edited.tag(segment, "DICOM.SegmentAlgorithmName") == "SegMamba tumour 1.2.0"


def test_the_name_of_the_algorithm_fits_into_dicom(slicer_core, metadata):
    from dataclasses import replace

    segment = slicer_core.vtkSegment()
    dicom.mark_segment(segment, replace(metadata, name="x" * 90))
    assert len(edited.tag(segment, "DICOM.SegmentAlgorithmName")) == 64


def test_the_source_is_referred_to_by_its_volume_and_its_instances(scene, exported):
    import slicer

    node, volume = exported
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert tree.GetItemAttribute(tree.GetItemByDataNode(node), "DICOM.ReferencedInstanceUIDs") == "1.2.3 1.2.4 1.2.5"


def test_the_export_finds_voxels_under_the_name_that_it_asks_for(exported):
    node, _ = exported
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        image = node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Binary labelmap")
        assert image.GetPointData().GetArray("ImageScalars").GetValueRange()[1] > 0


def test_each_segment_is_exported_on_the_whole_grid_of_the_source(exported, regions):
    """As the exporter makes its label maps: one segment after the other, in the reference geometry."""
    import numpy as np
    import slicer
    import slicer.util
    import vtk

    node, _ = exported
    for bit, segment_id in enumerate(node.GetSegmentation().GetSegmentIDs()):
        image, wanted = slicer.vtkOrientedImageData(), vtk.vtkStringArray()
        wanted.InsertNextValue(segment_id)
        node.GenerateMergedLabelmapForAllSegments(image, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, None, wanted)
        from vtk.util import numpy_support

        values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
        assert values.shape == SHAPE and np.array_equal(values > 0, regions >> bit & 1 == 1)
    assert FRONT not in node.GetSegmentation().GetSegmentIDs()


def test_dicom_values_come_from_slicers_database_or_not_at_all(slicer_core, make_volume, monkeypatch):
    class Database:
        """What of ctkDICOMDatabase is called."""

        def fileForInstance(self, uid):
            return {"1.2.3": "/data/1.dcm"}.get(uid, "")

        def fileValue(self, file, tag):
            return {("/data/1.dcm", "0008,103e"): "t2_tirm_tra"}.get((file, tag), "")

    volume = make_volume()
    monkeypatch.setattr(slicer_core, "dicomDatabase", Database(), raising=False)
    assert dicom.value(volume, "0008,103e") == ""
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    assert dicom.value(volume, "0008,103e") == "t2_tirm_tra"
    volume.SetAttribute("DICOM.instanceUIDs", "9.9")
    assert dicom.value(volume, "0008,103e") == ""
