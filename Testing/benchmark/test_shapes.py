"""Shapes as the option has them."""

import pytest

from segmamba.benchmark.shapes import Shape, parse_shape
from segmamba.errors import UserError


@pytest.mark.parametrize(
    ("text", "shape"),
    [("4x128", Shape(4, 128, 4)), ("1x96", Shape(1, 96, 14)), ("1x96:3", Shape(1, 96, 3)), ("2x64", Shape(2, 64, 4))],
)
def test_shapes_are_read(text, shape):
    assert parse_shape(text) == shape


@pytest.mark.parametrize("text", ["128", "4x", "0x64", "4x128:0", "4x8", "4 x 128", "-4x128", "4x128x128"])
def test_others_are_refused(text):
    with pytest.raises(UserError, match="--shape"):
        parse_shape(text)
