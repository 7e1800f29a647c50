"""Options have the same defaults everywhere, and wrong ones are refused by name."""

import argparse

import pytest
from SegMambaSlicerLib.options import Options

from segmamba.commands import segment
from segmamba.errors import UserError


def test_defaults_are_those_of_the_command_line():
    parser = segment.add_parser(argparse.ArgumentParser().add_subparsers())
    line = vars(parser.parse_args(["image.nii", "-o", "out.nii", "--model", "m"]))
    own = Options()
    assert (own.device, own.precision, own.overlap, own.mirroring, own.threads) == tuple(
        line[name] for name in ("device", "precision", "overlap", "tta", "threads")
    )


def test_defaults_are_those_of_the_panel(application):
    import slicer
    from SegMambaSlicerLib.parameters import SegMambaParameters

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    parameters = SegMambaParameters(node)
    own = Options().asked()
    for name, value in (*own.items(), ("keepModel", own["keep_model"])):
        if name != "keep_model":
            assert getattr(parameters, name) == (value or 0 if name == "threads" else value), name


@pytest.mark.parametrize(
    "name, value",
    [("device", "gpu"), ("device", "cuda:"), ("device", None), ("precision", "half"), ("overlap", 1), ("overlap", -0.1),
     ("overlap", "0.5"), ("threads", 0), ("threads", "2"), ("threads", 1.5)],
)  # fmt: skip
def test_a_wrong_option_is_refused_by_name_and_value(name, value):
    with pytest.raises(UserError, match=f"{name} is {value!r}; it must be"):
        Options(**{name: value})


def test_the_request_has_the_workers_names():
    from segmamba.serving.protocol import Segment

    request = Options(mirroring=True, threads=2).request()
    assert set(request) <= set(Segment.__dataclass_fields__)
    assert request["tta"] is True and request["threads"] == 2 and request["keep_model"] is True
