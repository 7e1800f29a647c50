"""The table and the picture of a segmented case."""

from segmamba.benchmark import machine
from segmamba.benchmark.segment_bench import timed
from segmamba.benchmark.segment_report import draw, markdown


def document(**changes) -> dict:
    found = {
        "machine": machine.describe("cpu", 1),
        "quick": False,
        "model": "a-model",
        "case": {"seed": 7, "size": [10, 12, 14], "spacing": [1.0, 1.0, 2.5]},
        "measurements": [
            {"name": "second", "title": "second", "windows": 54, **timed(3.25, 3.0)},
            {"name": "command", "title": "`command`: whole", **timed(6.0, None)},
        ],
        "rows": [],
        "problems": [],
    }
    return {**found, **changes}


def test_what_was_segmented_stands_above_the_table():
    lines = markdown(document(), "A title", "A note.")
    assert lines[0] == "# A title" and lines[-1] == "A note."
    assert "Phantom 7, four channels of 10 x 12 x 14 voxels of 1 x 1 x 2.5 mm; a-model, 54 windows." in lines
    assert "| second | 3.25 s | 3.00 s | 0.25 s |" in lines and "| `command`: whole | 6.00 s |  |  |" in lines


def test_missing_figures_are_told():
    text = "\n".join(markdown(document(measurements=[], problems=["failed: no memory"])))
    assert "Missing figures:\n\n- failed: no memory" in text


def test_a_picture_is_drawn_of_anything(tmp_path):
    for number, one in enumerate((document(), document(measurements=[]))):
        draw(one, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
