"""The panel without a segmentation: what it shows, greys out with a reason, picks and asks."""

import shutil

import pytest

GREYABLE = (
    "segmentButton", "removeModelButton", "showModelFolderButton", "show3DButton", "openEditorButton", "undoButton",
    "showTableButton", "queueButton", "mirroringCheckBox", "freeMemoryButton", "installPackagesButton",
    "installFromFolderButton", "doctorButton",
)  # fmt: skip


def reasons(user):
    """Why each greyed-out widget is so; every widget that can be disabled is looked at."""
    import qt

    found = {}
    for widget in user.ui.segmentButton.window().findChildren(qt.QWidget):
        own = widget.objectName and hasattr(user.ui, widget.objectName)
        if own and not widget.isEnabledTo(widget.parentWidget()):
            assert widget.toolTip and widget.toolTip != widget.property("usualToolTip"), widget.objectName
            assert widget.objectName in GREYABLE
            found[widget.objectName] = widget.toolTip
    return found


def test_everything_greyed_out_says_why(user, load_phantom):
    found = reasons(user)
    assert found["segmentButton"] == found["removeModelButton"] == "Choose a model first."
    assert "no result yet" in found["show3DButton"] and "nothing to free" in found["freeMemoryButton"]
    assert found["installPackagesButton"] == "All packages are installed."
    user.choose_model()
    found = reasons(user)
    assert found["segmentButton"] == "Choose a volume for channel T1."
    assert "comes with SegMamba" in found["removeModelButton"]
    assert "showModelFolderButton" not in found and "mirroringCheckBox" not in found
    load_phantom()
    user.wait(lambda: user.parameters.input4 is not None, seconds=5)
    assert "segmentButton" not in reasons(user)
    assert user.ui.segmentButton.toolTip == "Segment with phantom-lightmunet."


def test_the_packages_that_are_missing_are_named_and_can_be_installed(user, monkeypatch):
    from SegMambaSlicerLib import packages

    calls = []
    monkeypatch.setattr(packages, "missing", lambda: [] if calls else ["numba>=0.60"])
    monkeypatch.setattr(packages, "ensure", lambda ask=True: calls.append(ask))
    user.panel.enter()
    assert "numba" in user.ui.packagesLabel.text and "numba" in user.status
    user.press("installPackagesButton")
    assert calls == [True] and user.status == "All packages are installed."
    assert reasons(user)["installPackagesButton"] == "All packages are installed."


def test_a_declined_installation_is_one_sentence_and_the_panel_goes_on(ready, monkeypatch):
    from SegMambaSlicerLib import packages

    from segmamba.errors import UserError

    def decline(ask=True):
        raise UserError("SegMamba cannot run without the Python packages numba")

    with monkeypatch.context() as patched:
        patched.setattr(packages, "ensure", decline)
        ready.press()
    assert "cannot run without" in ready.status and not ready.busy
    assert ready.ui.segmentButton.enabled and ready.ui.segmentButton.text == "Segment"


def test_doctors_report_comes_into_the_log(user, monkeypatch):
    from SegMambaSlicerLib import packages

    waiting = []
    monkeypatch.setattr(packages, "doctor", waiting.append)
    user.press("doctorButton")
    assert reasons(user)["doctorButton"] == "The check is running."
    waiting[0]("cpu: numba\ncuda: none")
    assert "cpu: numba\ncuda: none" in user.log and user.ui.doctorButton.enabled
    assert not user.ui.packagesSection.collapsed


def test_as_many_selectors_as_channels_each_with_its_name_and_volume(ready):
    ui = ready.ui
    rows = [n for n in range(1, 9) if not getattr(ui, f"inputSelector{n}").isHidden()]
    assert rows == [1, 2, 3, 4]
    assert [getattr(ui, f"inputLabel{n}").text for n in rows] == ["T1 (MR):", "T1Gd (MR):", "T2 (MR):", "FLAIR (MR):"]
    names = [getattr(ready.parameters, f"input{n}").GetName() for n in rows]
    assert names == ["Phantom T1", "Phantom T1Gd", "Phantom T2", "Phantom FLAIR"]
    ready.choose_model("hippocampus-lightmunet")
    assert not ui.inputSelector1.isHidden() and ui.inputSelector2.isHidden()
    assert ready.parameters.input1.GetName() == "Phantom T1" and ready.parameters.input2 is None


def test_what_the_user_has_chosen_is_not_picked_over(ready, load_phantom):
    import slicer

    ready.parameters.input2 = slicer.util.getNode("Phantom T2")
    ready.parameters.input3 = None
    load_phantom(name="Second")
    ready.wait(lambda: ready.parameters.input3 is not None, seconds=5)
    assert ready.parameters.input2.GetName() == "Phantom T2"
    assert ready.parameters.input3.GetName() == "Second T2"


def test_what_looks_wrong_with_the_inputs_stands_in_the_panel(ready):
    import numpy as np
    import slicer

    ui, parameters = ready.ui, ready.parameters
    parameters.input2 = parameters.input1
    assert "chosen twice" in ui.inputsMessage.text and "chosen twice" in ui.segmentButton.toolTip
    matrix = np.diag([7.0, 7.0, 7.0, 1.0])
    other = slicer.util.addVolumeFromArray(np.random.default_rng(0).normal(100, 9, (9, 9, 9)), matrix, "T1 gd coarse")
    parameters.input2 = other
    assert "another grid" in ui.inputsMessage.text and ui.segmentButton.enabled
    slicer.util.updateVolumeFromArray(other, np.full((9, 9, 9), -900.0) + np.arange(9))
    ready.panel.refresh()
    assert "as CT does" in ui.inputsMessage.text
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Mask")
    parameters.input2 = label
    assert "label map" in ui.inputsMessage.text and not ui.segmentButton.enabled


def test_searching_narrows_the_list_and_keeps_the_choice(user):
    user.ui.modelSearch.setText("hippo mr")
    assert user.panel.models.shown() == ["", "hippocampus-lightmunet"]
    user.choose_model("hippocampus-lightmunet")
    user.ui.modelSearch.setText("brain")
    assert user.panel.models.shown() == ["", "phantom-lightmunet", "hippocampus-lightmunet"]
    assert user.parameters.model == "hippocampus-lightmunet"
    card = user.ui.modelCard.toPlainText()
    for words in (
        "hippocampus-lightmunet 1.1.0",
        "Anterior 0.89",
        "T1 (MR)",
        "1 x 1 x 1 mm",
        "157 cases",
        "CC-BY-SA",
        "0.88",
    ):
        assert words in card, words


def test_a_model_is_installed_from_a_file_chosen_and_removed(user, tiny_model):
    from slicer_stand_in import dialogs

    dialogs.answer("Install a model package", str(tiny_model / "configs" / "metadata.json"))
    user.press("installModelButton")
    assert user.parameters.model == "tiny" and "is installed" in user.status
    folder = user.panel.models.entry.path
    assert user.ui.removeModelButton.enabled
    dialogs.answer("Delete the model tiny", "No")
    user.press("removeModelButton")
    assert folder.is_dir() and user.parameters.model == "tiny"
    dialogs.answer("Delete the model tiny", "Yes")
    user.press("removeModelButton")
    assert not folder.exists() and user.parameters.model == "" and "tiny" not in user.panel.models.shown()
    dialogs.answer("Install a model package", str(tiny_model / "LICENSE"))
    user.press("installModelButton")
    assert "LICENSE" in user.status and user.parameters.model == ""


def test_a_model_that_is_gone_is_said_and_the_choice_is_kept(user, tiny_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    user.parameters.model = str(copy)
    assert user.panel.models.name == "tiny" and "tiny" in user.ui.modelCard.toPlainText()
    user.parameters.model = "from-another-hospital"
    assert user.ui.modelSelector.currentText == "from-another-hospital (not installed)"
    assert "not installed here" in user.ui.modelCard.toPlainText()
    assert "not installed" in reasons(user)["segmentButton"]


def test_a_region_that_cannot_be_used_is_the_buttons_reason(ready):
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    ready.parameters.roi = roi
    assert "Region is empty" in ready.ui.segmentButton.toolTip
    bounds = [0.0] * 6
    ready.parameters.input1.GetRASBounds(bounds)
    roi.SetCenter([(bounds[axis] + bounds[axis + 1]) / 2 for axis in (0, 2, 4)])
    roi.SetSize([20.0, 20.0, 20.0])
    ready.panel.refresh()
    assert ready.ui.segmentButton.enabled


def test_a_new_region_begins_as_a_box_around_the_first_volume(ready):
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Being placed elsewhere")
    roi = ready.ui.roiSelector.addNode()
    ready.wait(lambda: any(roi.GetSize()), seconds=5)
    assert ready.parameters.roi is roi and ready.ui.segmentButton.enabled
    bounds, volume = [0.0] * 6, [0.0] * 6
    roi.GetRASBounds(bounds)
    ready.parameters.input1.GetRASBounds(volume)
    assert bounds == pytest.approx(volume, abs=0.1)
    assert other.GetNumberOfControlPoints() == 0 and ready.ui.roiSelector.editEnabled


def test_volumes_are_not_picked_in_a_batch_nor_while_another_module_is_shown(user, load_phantom):
    import slicer

    user.choose_model()
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    load_phantom()
    user.panel._on_scene_settled()
    assert user.parameters.input1 is None
    slicer.util.selectModule("Data")
    slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    user.wait(lambda: not user.panel._later.isActive(), seconds=5)
    assert user.parameters.input1 is None
    slicer.util.selectModule("SegMambaSlicer")
    assert user.parameters.input1.GetName() == "Phantom T1"


def test_while_something_runs_the_chosen_volumes_can_be_queued(busy):
    user = busy
    assert not user.ui.queueButton.isHidden()
    user.parameters.input2 = user.parameters.input1
    assert not user.ui.queueButton.enabled and "chosen twice" in user.ui.queueButton.toolTip
    user.parameters.input2 = None
    user.panel.inputs.pick(anew=False)
    user.press("queueButton")
    first, second = user.logic.segmenting.runs
    assert (first.state, second.state) == ("running", "queued") and user.ui.segmentButton.text == "Cancel"
    user.press()
    user.wait()
    assert (first.state, second.state) == ("cancelled", "cancelled") and user.ui.queueButton.isHidden()


def test_a_panel_whose_setup_failed_can_be_entered_and_left(user, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(user.module.widget, "panel", None)
        user.module.widget.enter()
        user.module.widget.exit()


def test_devices_are_listed_by_the_names_of_the_cards(user):
    user.logic.segmenting._devices = {"cuda:1": "NVIDIA Test", "cpu": "Processor (2 cores)"}
    user.panel.refresh()
    box = user.ui.deviceSelector
    assert [box.itemText(n) for n in range(box.count)] == ["Automatic", "Processor (2 cores)", "NVIDIA Test"]
    user.parameters.device = "cuda:7"
    assert box.currentText == "cuda:7 (not on this computer)"


def test_the_panel_survives_its_scene_being_closed_again_and_again(ready):
    import slicer

    for _ in range(2):
        slicer.mrmlScene.Clear(0)
        assert ready.parameters.model == "" and not ready.ui.segmentButton.enabled
        ready.choose_model()
        assert ready.parameters.model == "phantom-lightmunet"


@pytest.mark.parametrize("seconds, text", [(0.3, "almost done"), (12.4, "about 12 s left"), (130, "about 2 min left")])
def test_the_time_left_is_no_more_exact_than_it_is_known(user, seconds, text):
    from SegMambaSlicerLib.panel.run_part import time_left

    assert time_left(seconds) == text
