"""How a result was made, kept as attributes of its node, saved with the scene and read back."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from typing import Any

import slicer

_PREFIX = "SegMamba."


@dataclass(frozen=True)
class Provenance:
    """How a result was made.

    Attributes:
        model, version, sha256: of the model; the hash is of its weights.
        settings: device, precision, overlap, mirroring, region of interest... as asked for; JSON values.
        inputs: names of the volumes, in the order of the channels.
        date: UTC, ISO 8601.
        seconds: the whole job took.
        device, precision, backend: that it was computed with.
        program: version of segmamba.
    """

    model: str
    version: str = ""
    sha256: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    date: str = ""
    seconds: float = 0.0
    device: str = ""
    precision: str = ""
    backend: str = ""
    program: str = ""

    @classmethod
    def of_job(
        cls, done: dict[str, Any], settings: dict[str, Any] | None = None, inputs: tuple[str, ...] | list[str] = ()
    ) -> Provenance:
        """From the worker's message ``done``; ``settings``: what was asked for, ``inputs``: names of volumes."""
        import segmamba

        model = done.get("model") or {}
        return cls(
            model=str(model.get("name", "")),
            version=str(model.get("version", "")),
            sha256=str(model.get("sha256") or ""),
            settings=dict(settings or {}),
            inputs=tuple(inputs),
            date=datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat(),
            seconds=float(done.get("seconds") or 0.0),
            device=str(done.get("device_title") or done.get("device") or ""),
            precision=str(done.get("precision") or ""),
            backend=str(done.get("backend") or ""),
            program=segmamba.__version__,
        )

    def write(self, node: slicer.vtkMRMLNode) -> None:
        """Sets the attributes ``SegMamba.Model``, ``.Version``, ``.Sha256``, ``.Settings`` (JSON), ``.Inputs`` (JSON),
        ``.Date``, ``.Seconds``, ``.Device``, ``.Precision``, ``.Backend`` and ``.Program``."""
        for name, value in vars(self).items():
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, tuple)) else str(value)
            node.SetAttribute(_key(name), text)

    @classmethod
    def read(cls, node: slicer.vtkMRMLNode) -> Provenance | None:
        """What a node says of itself; None of a node that we did not make. Damaged values are left out."""
        if not node.GetAttribute(_key("model")):
            return None
        values = {name: node.GetAttribute(_key(name)) or "" for name in cls.__dataclass_fields__}
        try:
            seconds = float(values["seconds"])
        except ValueError:
            seconds = 0.0
        settings, inputs = _json(values["settings"], dict), _json(values["inputs"], list)
        return cls(**{**values, "seconds": seconds, "settings": settings, "inputs": tuple(map(str, inputs))})


def _key(name: str) -> str:
    return _PREFIX + name.capitalize()


def _json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()
