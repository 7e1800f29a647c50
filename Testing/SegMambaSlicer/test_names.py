"""No attribute or method is used on a class of Qt, CTK, Slicer or VTK that it does not have."""

from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "SegMambaSlicer"


def test_every_name_exists(application):
    from slicer_stand_in import names

    assert not names.check_folder(MODULE)
