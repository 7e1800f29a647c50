"""The phantom as sample data, and the module's own self-test."""

import pytest


def test_sample_data_draws_the_four_volumes_here(user):
    import slicer
    from slicer_stand_in import sample_data

    sample_data.press("SegMamba", "Brain tumour phantom")
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert [v.GetName() for v in volumes] == ["Phantom T1", "Phantom T1Gd", "Phantom T2", "Phantom FLAIR"]
    assert [v.GetImageData().GetDimensions() for v in volumes] == [(80, 96, 80)] * 4
    # Its files are gone: nothing refers to them any more.
    assert not slicer.util.getNodesByClass("vtkMRMLVolumeArchetypeStorageNode")
    user.choose_model()
    assert user.ui.segmentButton.enabled and not user.ui.inputsMessage.text


def test_a_phantom_that_cannot_be_drawn_is_said_in_one_sentence(user, monkeypatch):
    from SegMambaSlicerLib import packages, phantom

    from segmamba.errors import UserError

    monkeypatch.setattr(packages, "python", lambda: ["/no/such/python"])
    with pytest.raises(UserError, match="could not be drawn"):
        phantom.load_phantom()


def test_the_modules_self_test_is_skipped_where_packages_are_missing_and_slicer_is_tested(user, monkeypatch):
    import unittest

    import slicer
    from SegMambaSlicerLib import packages

    monkeypatch.setattr(packages, "missing", lambda: ["torch>=2.6"])
    slicer.app.set_testing(True)
    with pytest.raises(unittest.SkipTest, match="packages of SegMamba are missing"):
        user.module.source.SegMambaSlicerTest().runTest()


def test_the_modules_self_test_passes_and_fails_where_it_should(user, load_phantom, monkeypatch):
    from SegMambaSlicerLib import self_test

    monkeypatch.setattr(self_test, "load_phantom", load_phantom)
    monkeypatch.setattr(self_test, "SMALLEST", 0.1)
    user.module.source.SegMambaSlicerTest().runTest()
    monkeypatch.setattr(self_test, "SMALLEST", 400.0)
    with pytest.raises(AssertionError, match="the tumour has"):
        user.module.source.SegMambaSlicerTest().runTest()
