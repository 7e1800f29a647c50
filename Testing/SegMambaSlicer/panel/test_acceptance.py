"""What the panel is for: load, choose, click, get a segmentation; and what happens when that is disturbed."""

import os
import signal
import time
from pathlib import Path

import numpy as np


def values(node, name, volume):
    """The voxels of a segment on the volume's grid."""
    import slicer

    segmentation = node.GetSegmentation()
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentation.GetSegmentIdBySegmentName(name), volume) > 0


def worker_pids():
    """Numbers of the worker processes that this process has started."""
    found = []
    for folder in os.listdir("/proc"):
        try:
            command = Path(f"/proc/{folder}/cmdline").read_bytes()
            parent = int(Path(f"/proc/{folder}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if folder.isdigit() and parent == os.getpid() and b"segmamba.worker" in command:
            found.append(int(folder))
    return found


def load_small(user, load_phantom):
    """Another case, in place of the one that takes long."""
    import slicer

    for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        slicer.mrmlScene.RemoveNode(volume)
    load_phantom(name="Small")
    user.panel.inputs.pick(anew=True)
    user.parameters.overlap = 0.5


def test_a_click_gives_what_the_command_line_gives_and_the_next_click_reuses_it(
    ready, phantom_files, tmp_path, command
):
    import slicer

    user = ready
    user.press()
    run = user.logic.segmenting.runs[0]
    phases = []
    run.progressed.connect(lambda fraction, eta, phase: phases.append((fraction, phase, user.ui.progressBar.value)))
    assert user.ui.segmentButton.text == "Cancel" and user.ui.progressBar.isVisibleTo(user.ui.runSection)
    user.wait()
    node = user.parameters.output
    assert run.state == "done" and node is run.segmentation, user.log
    assert "Segmenting" in [phase for _, phase, _ in phases]
    assert [f for f, _, _ in phases] == sorted(f for f, _, _ in phases)
    assert user.ui.segmentButton.text == "Segment" and not user.ui.progressBar.isVisibleTo(user.ui.runSection)
    assert "done in" in user.status

    out = tmp_path / "mask.seg.nrrd"
    arguments = ["segment", *phantom_files, "-o", out, "--model", "phantom-lightmunet", "--progress", "none"]
    assert command(*arguments).status == 0
    expected = slicer.util.loadSegmentation(str(out))
    volume = user.parameters.input1
    for name in ("WT", "TC", "ET"):
        assert values(node, name, volume).sum() > 20
        assert np.array_equal(values(node, name, volume), values(expected, name, volume)), name

    # The table shows the same numbers.
    table = user.ui.resultsTable
    assert [table.item(row, 0).text() for row in range(3)] == ["WT", "TC", "ET"]
    assert int(table.item(0, 1).text()) == values(expected, "WT", volume).sum()
    for name in ("show3DButton", "openEditorButton", "showTableButton", "undoButton"):
        assert getattr(user.ui, name).enabled, name

    # Again: the same node, replaced; and back.
    user.segment()
    assert user.parameters.output is node and node.GetSegmentation().GetNumberOfSegments() == 3
    assert np.array_equal(values(node, "WT", volume), values(expected, "WT", volume))
    user.press("undoButton")
    assert node.GetSegmentation().GetNumberOfSegments() == 3


def test_cancelling_in_the_middle_takes_less_than_a_second_and_the_next_click_works(busy, load_phantom):
    user = busy
    user.press()
    assert user.wait() < 1.5
    assert "cancelled" in user.status and user.parameters.output is None
    load_small(user, load_phantom)
    user.segment()
    assert user.parameters.output is not None, user.log


def test_a_killed_worker_is_reported_and_the_next_click_works(busy, load_phantom):
    user = busy
    for pid in worker_pids():
        os.kill(pid, signal.SIGKILL)
    user.wait()
    assert "worker" in user.status and user.parameters.output is None
    assert user.ui.segmentButton.text == "Segment" and user.ui.segmentButton.enabled
    load_small(user, load_phantom)
    user.segment()
    assert user.parameters.output is not None, user.log


def test_closing_the_scene_in_the_middle_leaves_no_process_and_no_file(busy):
    import slicer

    user = busy
    folder = user.logic.segmenting.runs[0].job.folder
    assert worker_pids() and folder.is_dir()
    slicer.mrmlScene.Clear(0)
    end = time.monotonic() + 2
    while worker_pids() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)
    assert not worker_pids() and not folder.exists()
    assert not user.busy and user.parameters.model == ""
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert not user.ui.segmentButton.enabled and "model" in user.ui.segmentButton.toolTip
