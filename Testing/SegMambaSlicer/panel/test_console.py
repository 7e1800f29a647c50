"""The console call: the documented examples run, and give what they say."""

import re
from pathlib import Path

import pytest

CONSOLE = Path(__file__).resolve().parents[3] / "SegMambaSlicer" / "Resources" / "CONSOLE.md"


def test_the_documented_examples_run(user, load_phantom, monkeypatch, capsys):
    import slicer
    from SegMambaSlicerLib import phantom

    # The same phantom on fewer voxels; that the whole one is drawn is tested beside.
    monkeypatch.setattr(phantom, "load_phantom", load_phantom)
    names = {"slicer": slicer}
    for block in re.findall(r"```python\n(.*?)```", CONSOLE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(CONSOLE), "exec"), names)
        if "wait=False" in block:
            user.wait()
    printed = capsys.readouterr().out
    assert "Phantom T1 segmentation\n" in printed
    assert re.search(r"[1-9]\d* voxels", printed)
    assert "phantom-lightmunet Processor" in printed
    assert "needs 4 volumes, in this order: T1, T1Gd, T2, FLAIR; 2 were given" in printed
    assert "Starting: 0%" in printed and "Phantom T1 cancelled" in printed
    assert "['hippocampus-lightmunet', 'phantom-lightmunet']" in printed
    assert names["first"] is not names["second"] and names["first"].GetSegmentation().GetNumberOfSegments() == 3
    assert len(slicer.util.getNodes("*probability of*")) == 3


def test_wrong_calls_are_refused_before_anything_starts(user, load_phantom):
    import slicer

    from segmamba.errors import UserError

    volumes = load_phantom()
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Bent")
    wrong = [
        (dict(volumes=volumes, model="no-such-model"), "available are"),
        (dict(volumes=volumes, model=""), "No model is chosen"),
        (dict(volumes=volumes[:3], model="phantom-lightmunet"), "needs 4 volumes"),
        (dict(volumes=[*volumes[:3], None], model="phantom-lightmunet"), "3 were given"),
        (dict(volumes=[*volumes[:3], bent], model="phantom-lightmunet"), "no scalar volume"),
        (dict(volumes=[*volumes[:3], volumes[0]], model="phantom-lightmunet"), "chosen twice"),
        (dict(volumes=volumes, model="phantom-lightmunet", device="gpu"), "device is 'gpu'"),
        (dict(volumes=volumes, model="phantom-lightmunet", precision="fp64"), "precision is 'fp64'"),
        (dict(volumes=volumes, model="phantom-lightmunet", overlap=1.0), "overlap is 1.0"),
        (dict(volumes=volumes, model="phantom-lightmunet", threads=0), "threads is 0"),
    ]
    for arguments, words in wrong:
        with pytest.raises(UserError, match=words):
            user.logic.segment(**arguments)
    assert not user.logic.segmenting.warm and not user.busy
