"""The worker's protocol: every field of every message, and the checks of what comes in.

One JSON object a line, UTF-8, each way: requests on the worker's standard input, events on its standard output.  The
end of the input ends the worker at once, also in the middle of a job.  Standard library only: the worker answers
before torch is imported.

Requests have ``id`` (text, chosen by the sender; every event of the request carries it) and ``do``; the other fields
are those of the classes below, by name.  A field that is not one of them is refused by name, and so is a wrong value.

Events have ``id`` and ``event``:

``progress``
    ``fraction`` (0 to 1; it falls where windows are computed again), ``eta_s`` (seconds left, or null while nothing is
    known of the pace), ``message`` (the phase, one of :data:`PHASES`).  At most about ten a second.
``log``
    ``level`` (``INFO``, ``WARNING`` or ``ERROR``), ``message``.  ``id`` is null outside a job.
``done``
    The request's answer; its fields are those of :class:`Pong`, :class:`Warmed` or :class:`Segmented`.  The answer to
    ``quit`` has none.  ``cancel`` has no answer of its own: the job that it names fails.
``failed``
    ``kind``, ``message`` (one sentence), and for a defect ``traceback``.  Kinds: ``input`` (the request, an image or
    the model is wrong; the sentence says what to do), ``cancelled``, ``memory`` (nothing that could be tried fits),
    ``defect`` (of this program).  A line that cannot be understood is answered with ``input`` under its own id where
    it has one that can be read and that no unfinished job has, else under null; the worker goes on.

Jobs (``warm``, ``segment``) run one at a time in the order of their coming; ``ping`` and ``cancel`` are heeded at once,
during a job, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from segmamba.errors import UserError
from segmamba.reading import REQUIRED, Problems, Table, filled_list, flag, integer, is_number, number, show, text

LOADING, WRITING = "Loading model", "Writing"
#: Phases of a job, in their order.
PHASES = (LOADING, "Reading", "Preparing", "Segmenting", "Restoring", WRITING)
#: The longest line that is read, in bytes.
LINE_LIMIT = 1 << 20
_ID_LIMIT = 200


class Refused(UserError):
    """A line that is no request.

    Attributes:
        id: Of the request as far as it could be read, or None.
    """

    def __init__(self, message: str, id: str | None = None) -> None:
        super().__init__(message)
        self.id = id


@dataclass(frozen=True)
class Ping:
    """``ping``: is anybody there?  Answered at once with :class:`Pong`."""

    id: str


@dataclass(frozen=True)
class Cancel:
    """``cancel``: ``id`` is that of the job to cancel, queued or running; heeded between windows and between phases.

    The job ends with ``failed``, kind ``cancelled``.  Of an id that no unfinished job has, the log tells.
    """

    id: str


@dataclass(frozen=True)
class Quit:
    """``quit``: ends the worker at once, with what it is doing; answered with ``done``."""

    id: str


@dataclass(frozen=True)
class Warm:
    """``warm``: gets ready ahead of a job; answered with :class:`Warmed`.

    Imports torch, loads the scan's kernels of the device, and opens the model.

    Attributes:
        model: Name in the catalogue, or path of a package; null: none.
        device, precision: As in :class:`Segment`.
    """

    id: str
    model: str | None = None
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Volume:
    """An image as an uncompressed file of voxels, its geometry beside it.

    Attributes:
        array: A ``.npy`` file, (D, H, W) = (k, j, i), of integers, floating point or truth values.
        origin: Centre of the first voxel, LPS, mm.
        spacing: Along i, j, k, mm.
        direction: 3 x 3, row by row; its columns are the unit vectors of i, j, k in LPS.
        name: What messages call it.
    """

    array: str
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    name: str | None = None


@dataclass(frozen=True)
class Output:
    """The files to write, each whole or not at all, and none before all are computed.

    Attributes:
        labels: ``.npy``: the label map's voxels (D, H, W), uint8 or uint16; or ``.nii``, ``.nii.gz``, ``.nrrd``,
            ``.mha``, ``.seg.nrrd`` on the first image's grid, as ``segmamba segment`` writes it.
        regions: ``.npy`` (D, H, W), unsigned, bit n set where the model's label n (in its order) is present.  Not
            written, and null in the answer, for a model without regions.
        probabilities: ``.npy`` (classes, D, H, W) float32, or a 4-D ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``.
        uncertainty: ``.npy`` (D, H, W) float32, or an image file: normalised entropy, 0 to 1.
    """

    labels: str
    regions: str | None = None
    probabilities: str | None = None
    uncertainty: str | None = None


@dataclass(frozen=True)
class Segment:
    """``segment``: one case; answered with :class:`Segmented`.

    Attributes:
        model: Name in the catalogue, or path of a package (folder or zip).
        images: One for each channel, in the model's order: a path (any image file, or a folder with one DICOM series),
            or a :class:`Volume`.
        output: The files to write.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        tta: Average over mirrored copies.
        overlap: Of neighbouring windows, 0 up to but not including 1.
        roi: Part of the first image to segment: ``"i0:i1,j0:j1,k0:k1"`` (half-open voxels), a Slicer markups file, or
            three [start, stop] pairs; null: the whole.
        threads: Processor threads; null: as many as torch takes by itself.
        keep_model: Keep the model in memory for the next job; false gives the memory back, a card's too.
        window_batch: Windows in one call of the network; null: as suits the device.
    """

    id: str
    model: str
    images: tuple[str | Volume, ...]
    output: Output
    device: str = "auto"
    precision: str = "auto"
    tta: bool = False
    overlap: float = 0.5
    roi: str | tuple[tuple[int, int], ...] | None = None
    threads: int | None = None
    keep_model: bool = True
    window_batch: int | None = None


@dataclass(frozen=True)
class Pong:
    """Answer to ``ping``.

    Attributes:
        pid: Of the worker.
        version: Of this package.
        python: Its version.
        torch: Its version, or null before it is imported.
    """

    pid: int
    version: str
    python: str
    torch: str | None


@dataclass(frozen=True)
class Warmed:
    """Answer to ``warm``.

    Attributes:
        model: As in :class:`Segmented`; null where none was named.
        devices: Best first: ``name`` (what ``device`` takes) and ``title`` (what people call it).
    """

    model: dict[str, str] | None
    devices: list[dict[str, str]]


@dataclass(frozen=True)
class Segmented:
    """Answer to ``segment``.

    Attributes:
        labels, regions, probabilities, uncertainty: The files written, as they were named; null: not written.
        names: Label values (as text) and their names, in painting order.
        voxels, volumes_ml: Of each label by its name; of a model with regions each whole region.
        seconds: The whole job, from its start to the last file.
        compute_seconds: The network alone, all windows together; ``seconds`` less this is what all else costs.
        windows: Windows that the network ran on; those without anything in them are not among them.
        window_seconds: ``compute_seconds`` of one window; null where none ran.
        backend: The scan's.
        device, precision, window_batch: What computed it; not what was asked for where that had not enough memory.
        device_title: What people call the device.
        overlap, tta: As asked for.
        warnings: What the user should know, one sentence each.
        model: ``name``, ``version``, ``sha256`` (of the weights), ``path``, ``network``.
        loaded: Whether the model had to be loaded; false where it was warm.
    """

    labels: str
    regions: str | None
    probabilities: str | None
    uncertainty: str | None
    names: dict[str, str]
    voxels: dict[str, int]
    volumes_ml: dict[str, float]
    seconds: float
    compute_seconds: float
    windows: int
    window_seconds: float | None
    backend: str
    device: str
    device_title: str
    precision: str
    window_batch: int
    overlap: float
    tta: bool
    warnings: list[str]
    model: dict[str, str]
    loaded: bool


Request = Ping | Cancel | Quit | Warm | Segment


def parse(line: bytes) -> Request:
    """Reads one line.

    Raises:
        Refused: It is no request; the message names every field that is wrong.
    """
    try:
        data = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the line is no JSON object in UTF-8 ({error}); send one object a line") from error
    if not isinstance(data, dict):
        raise Refused(f"the line holds {show(data)}; send a JSON object with id and do")
    if "id" not in data:
        raise Refused("the request has no id; give it one, a text")
    try:
        name = _id(data["id"])
    except ValueError as error:
        raise Refused(f"the request's id is {show(data['id'])}, {error}") from error
    kind = data.get("do")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise Refused(f"request {name!r}: do is {show(kind)}, expected {', '.join(_KINDS)}", name)
    problems = Problems(f"request {name!r} ({kind})")
    try:
        request = _read(_KINDS[kind], {k: v for k, v in data.items() if k != "do"}, "", problems)
        problems.raise_if_any()
    except UserError as error:
        raise Refused(str(error), name) from error
    except OverflowError as error:
        raise Refused(f"request {name!r} ({kind}) holds a number that is too large for any field", name) from error
    return request


def _read(kind: type, data: Any, path: str, problems: Problems) -> Any:
    """One of the classes above from a JSON object; null stands for a default of null."""
    known = [field.name for field in fields(kind)]
    table = Table(data, path, problems, known)
    values = {}
    for field in fields(kind):
        required = field.name in _REQUIRED.get(kind, ("id",))
        if kind is Segment and field.name == "output" and "output" in table.data:
            values["output"] = _read(Output, table.data["output"], table.at("output"), problems)
        elif kind is Segment and field.name == "images":
            images = table.take("images", filled_list) or ()
            values["images"] = tuple(_image(v, f"{table.at('images')}[{n}]", problems) for n, v in enumerate(images))
        else:
            check = _CHECKS.get(field.name, _text)
            values[field.name] = table.take(field.name, check, REQUIRED if required else field.default)
    return kind(**values)


def _image(value: Any, path: str, problems: Problems) -> str | Volume | None:
    if isinstance(value, dict):
        return _read(Volume, value, path, problems)
    try:
        return _text(value)
    except ValueError:
        problems.add(path, f"is {show(value)}, expected the path of an image, or an object with array and geometry")
        return None


# ---- checks: return the value to keep, or raise ValueError with what was expected


def _id(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > _ID_LIMIT:
        raise ValueError(f"expected text of 1 to {_ID_LIMIT} characters")
    return value


def _text(value: Any) -> str:
    if "\0" in text(value):
        raise ValueError("expected text without a zero character")
    return value


def _numbers(count: int, positive: bool = False) -> Callable[[Any], tuple[float, ...]]:
    def check(value: Any) -> tuple[float, ...]:
        usable = isinstance(value, list) and len(value) == count and all(is_number(v) for v in value)
        if not usable or (positive and not all(v > 0 for v in value)):
            raise ValueError(f"expected {count} numbers{' above 0' if positive else ''}")
        return tuple(float(v) for v in value)

    return check


def _overlap(value: Any) -> float:
    if not 0 <= number(value) < 1:
        raise ValueError("expected a number from 0 up to but not including 1")
    return float(value)


def _roi(value: Any) -> str | tuple[tuple[int, int], ...]:
    if isinstance(value, str):
        return _text(value)
    pairs = isinstance(value, list) and len(value) == 3 and all(isinstance(p, list) and len(p) == 2 for p in value)
    if not pairs or not all(isinstance(v, int) and not isinstance(v, bool) for pair in value for v in pair):
        raise ValueError("expected 'i0:i1,j0:j1,k0:k1', a Slicer markups file, or three [start, stop] pairs")
    return tuple((start, stop) for start, stop in value)


def _no_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


_KINDS: dict[str, type] = {"ping": Ping, "cancel": Cancel, "quit": Quit, "warm": Warm, "segment": Segment}
_REQUIRED = {
    Segment: ("id", "model", "images", "output"),
    Output: ("labels",),
    Volume: ("array", "origin", "spacing", "direction"),
}
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "id": _id,
    "tta": flag,
    "keep_model": flag,
    "overlap": _overlap,
    "roi": _roi,
    "threads": integer(1, 4096),
    "window_batch": integer(1, 4096),
    "origin": _numbers(3),
    "spacing": _numbers(3, positive=True),
    "direction": _numbers(9),
}
