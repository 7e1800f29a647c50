"""Shapes that networks are measured at: ``4x128`` is four channels of 128 x 128 x 128."""

import re
from dataclasses import dataclass

from segmamba.errors import UserError

# Classes where the shape does not name them: BraTS' four, and the fourteen of abdominal CT that papers use with 1x96.
_CLASSES = {"1x96": 14}


@dataclass(frozen=True)
class Shape:
    """Channels and edge of a cube, and the number of output maps."""

    channels: int
    size: int
    classes: int

    @property
    def name(self) -> str:
        """As the option has it."""
        return f"{self.channels}x{self.size}"

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.channels} x {self.size}³, {self.classes} classes"


def parse_shape(text: str) -> Shape:
    """A shape from ``CHANNELSxSIZE`` or ``CHANNELSxSIZE:CLASSES``.

    Raises:
        UserError: The text is no shape.
    """
    found = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,3})(?::([1-9]\d{0,2}))?", text)
    if found is None or int(found[2]) < 16:
        raise UserError(
            f"--shape {text} is not understood; write CHANNELSxSIZE or CHANNELSxSIZE:CLASSES, such as 4x128 or "
            "1x96:14, with a size of at least 16"
        )
    plain = f"{found[1]}x{found[2]}"
    return Shape(int(found[1]), int(found[2]), int(found[3] or _CLASSES.get(plain, 4)))
