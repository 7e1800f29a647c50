"""The model package: a folder or zip in the MONAI Bundle layout, read and written whole.

Only ``configs/metadata.json`` and safetensors weights are read; nothing in a package is ever executed.  Reading the
metadata and verifying a package need the standard library alone; numpy and safetensors are imported for weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmamba.errors import UserError
from segmamba.metadata import FORMAT, METADATA_FILE, Channel, Label, Metadata, Normalisation
from segmamba.package_files import WEIGHTS_LIMIT, open_files

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "FORMAT",
    "METADATA_FILE",
    "Bundle",
    "Channel",
    "Label",
    "Metadata",
    "Normalisation",
    "read_metadata",
    "replace_path",
    "write_bundle",
    "write_files",
]

README_FILE = "docs/README.md"
LICENCE_FILE = "LICENSE"
WEIGHTS_FILE = "models/model.safetensors"
HEADER_LIMIT = 100_000_000
# Of one element, by safetensors' name of its type.
TENSOR_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1,
    "BOOL": 1,
}  # fmt: skip


class Bundle:
    """A model package opened for reading.

    Opening reads the metadata alone.

    Args:
        path: a folder, or a zip (with or without one folder at its top).

    Attributes:
        path: where it lies.
        metadata: what it says about itself.
        size_bytes: size on disk.

    Raises:
        UserError: the path is missing, damaged, or no package of segmamba; the sentence says which.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._files = open_files(self.path)
        self.metadata = Metadata.from_dict(self.document(), self._files.label(METADATA_FILE))
        self.size_bytes: int = self._files.size_bytes

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r})"

    @property
    def files(self) -> list[str]:
        """Names of all its files, with ``/``, sorted."""
        return sorted(self._files.sizes)

    def read(self, name: str) -> bytes:
        """Content of one of its files."""
        return self._files.read(name, WEIGHTS_LIMIT)

    def document(self) -> dict[str, Any]:
        """``configs/metadata.json`` as JSON values."""
        label = self._files.label(METADATA_FILE)
        try:
            return json.loads(self._files.read(METADATA_FILE).decode("utf-8-sig"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{label} is damaged, it is no valid JSON ({error}); copy the package again") from error

    @property
    def weights_sha256(self) -> str:
        """The hash that the metadata state for the weights; empty if they state none."""
        return self.metadata.weights.get("sha256", "")

    def missing(self) -> list[str]:
        """Files that a complete package has and this one lacks; quick, reads no content."""
        weights = self.metadata.weights.get("file", WEIGHTS_FILE)
        return [n for n in (weights, README_FILE, LICENCE_FILE) if n not in self._files.sizes]

    def verify(self) -> list[str]:
        """Checks all of the package against its metadata, the weights' hash included.

        Returns:
            Sentences that say what is wrong, each naming the file; empty for a sound package.
        """
        found = [f"{self.path} is not a complete model package: {name} is missing in it" for name in self.missing()]
        if self.metadata.weights.get("file", WEIGHTS_FILE) in self._files.sizes or not self.metadata.weights:
            try:
                self._checked_weights()
            except UserError as error:
                found.append(str(error))
        return found

    def weights(self) -> dict[str, np.ndarray]:
        """The network's tensors by name, as stored (float16 or float32; integers as they are).

        Raises:
            UserError: the weights are missing, damaged, or not those that the metadata name by their hash.
        """
        data = self._checked_weights()
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(data)
        except (SafetensorError, KeyError, ValueError) as error:
            label = self._files.label(self.metadata.weights["file"])
            raise UserError(f"{label} is no valid safetensors file ({error}); copy the package again") from error
        # Writable, as torch.from_numpy wants them.
        return {k: v if v.flags.writeable else np.array(v) for k, v in sorted(tensors.items())}

    def _checked_weights(self) -> bytes:
        """Bytes of the weights' file, once hash and structure are right."""
        stated = self.metadata.weights
        if not stated:
            label = self._files.label(METADATA_FILE)
            raise UserError(f"{label}: segmamba.weights is missing, so the weights cannot be trusted; export it again")
        data = self._files.read(stated["file"], WEIGHTS_LIMIT)
        label = self._files.label(stated["file"])
        if hashlib.sha256(data).hexdigest() != stated["sha256"]:
            raise UserError(
                f"{label} is not the file that the package was made with (its SHA-256 differs from the metadata's); "
                "copy or download the package again"
            )
        if problem := _safetensors_problem(data):
            raise UserError(f"{label} is no valid safetensors file: {problem}; export the package again")
        return data


def read_metadata(path: str | Path) -> Metadata:
    """Metadata of a package (folder or zip); UserError as for ``Bundle``."""
    return Bundle(path).metadata


def write_bundle(
    folder: str | Path,
    metadata: Metadata,
    weights: Mapping[str, np.ndarray],
    readme: str,
    licence: str,
    extra_files: Mapping[str, Path | bytes] | None = None,
    *,
    dtype: str = "float16",
    overwrite: bool = False,
) -> Bundle:
    """Writes a model package: whole or not at all.

    Args:
        folder: the folder to make, or a path that ends with ``.zip``; its parent must exist.
        metadata: its ``weights`` are filled in here, whatever they hold.
        weights: tensors by name.  Floating ones are stored as ``dtype``, others as they are.
        readme, licence: texts of ``docs/README.md`` and ``LICENSE``.
        extra_files: more files by their name in the package: a path to copy, or the content.
        dtype: ``float16`` or ``float32``.  A tensor with values beyond float16 stays float32, and the metadata
            then say ``mixed``.
        overwrite: replaces an existing package; anything else that exists there is never replaced.

    Returns:
        The package, opened.

    Raises:
        UserError: the target exists, cannot be written, or the metadata or weights are no use; then nothing is
            left behind.
    """
    data, stored = _serialise(weights, dtype)
    stated = {"file": WEIGHTS_FILE, "sha256": hashlib.sha256(data).hexdigest(), "dtype": stored}
    document = replace(metadata, weights=stated).to_dict()
    Metadata.from_dict(document, file=f"metadata of model {metadata.name!r}")
    files: dict[str, Path | bytes] = {
        METADATA_FILE: (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        README_FILE: readme.encode(),
        LICENCE_FILE: licence.encode(),
        WEIGHTS_FILE: data,
    }
    for name, content in (extra_files or {}).items():
        parts = name.split("/")
        if name in files or any(p in ("", ".", "..") for p in parts) or "\\" in name or ":" in name:
            raise UserError(f"extra file {name!r} cannot be added to the package; give it another name inside it")
        if isinstance(content, Path) and not content.is_file():
            raise UserError(f"{content} does not exist, so it cannot be added to the package as {name!r}")
        files[name] = content
    return write_files(Path(folder), files, metadata.name, overwrite=overwrite)


def write_files(
    path: Path, files: Mapping[str, Path | bytes | Callable[[], bytes]], top: str, *, overwrite: bool = False
) -> Bundle:
    """Writes the files of a package into a folder or, under the folder ``top``, into a .zip; atomically.

    A content may be a function that gives it, so that large files need not be in memory together.
    """
    if path.name in ("", ".."):
        path = path.resolve()
    _check_target(path, overwrite)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        if path.suffix.lower() == ".zip":
            _write_zip(temporary, files, top)
        else:
            for name, content in files.items():
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_content(content))
        replace_path(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        _remove(temporary)
    return Bundle(path)


def replace_path(new: Path, path: Path) -> None:
    """Moves ``new`` to ``path``; what was there goes only once the new one is in its place."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    swapped = path.is_dir() and not path.is_symlink()  # a folder cannot be replaced in one step, a file can
    if swapped:
        path.rename(old)
    try:
        new.replace(path)
    except BaseException:
        if swapped:
            old.rename(path)
        raise
    if swapped:
        shutil.rmtree(old, ignore_errors=True)


def _check_target(path: Path, overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: the folder {path.parent} does not exist; make it first")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise UserError(f"{path} exists already; name another place, or replace it with --overwrite (overwrite=True)")
    try:
        open_files(path)
        replaceable = path.is_file() == (path.suffix.lower() == ".zip")
    except UserError:
        replaceable = False
    if not replaceable:
        raise UserError(f"{path} exists and is no model package, so it is not overwritten; name another place")


def _write_zip(path: Path, files: Mapping[str, Any], top: str) -> None:
    with zipfile.ZipFile(path, "x") as archive:
        for name, content in sorted(files.items()):
            # A fixed date: the same package gives the same bytes.
            member = zipfile.ZipInfo(f"{top}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o100644 << 16
            # Weights hardly shrink, and stored they are read several times faster.
            stored = name.startswith("models/")
            member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(member, _content(content))


def _content(content: Path | bytes | Callable[[], bytes]) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.read_bytes() if isinstance(content, Path) else content()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _serialise(weights: Mapping[str, np.ndarray], dtype: str) -> tuple[bytes, str]:
    """Bytes of the safetensors file, the same for the same tensors in any order, and the dtype to state."""
    import numpy as np
    from safetensors.numpy import save

    if dtype not in ("float16", "float32"):
        raise UserError(f"weights cannot be stored as {dtype!r}; allowed are 'float16' and 'float32'")
    if not weights:
        raise UserError("a model package needs weights, and none were given")
    tensors: dict[str, np.ndarray] = {}
    mixed = False
    for name in sorted(weights):
        array = np.array(weights[name], order="C")
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise UserError(f"weight {name!r} holds NaN or infinity; the training diverged, nothing was written")
            if dtype == "float16":
                fits = np.abs(array).max(initial=0.0) <= np.finfo(np.float16).max
                array, mixed = (array.astype(np.float16), mixed) if fits else (array, True)
        elif array.dtype.kind not in "iub":
            raise UserError(f"weight {name!r} is {array.dtype}; give it as float32, float16 or whole numbers")
        tensors[name] = array
    return save(tensors), "mixed" if mixed else dtype


def _safetensors_problem(data: bytes) -> str:
    """What is wrong with the structure of a safetensors file, or an empty text; standard library only."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, HEADER_LIMIT):
        return "it is cut short or its header is damaged"
    try:
        header = json.loads(data[8 : 8 + size])
        tensors = [v for k, v in header.items() if k != "__metadata__"]
        spans = sorted((*t["data_offsets"], str(t["dtype"]), tuple(t["shape"])) for t in tensors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "its header is damaged"
    end = 0
    for *offsets, dtype, shape in spans:
        start, stop = offsets if len(offsets) == 2 else (0, -1)
        if dtype not in TENSOR_BYTES:
            return f"it holds the type {dtype}, allowed are float16, float32 and whole numbers"
        whole = all(isinstance(n, int) and n >= 0 for n in (start, stop, *shape))
        if not whole or start != end or stop - start != math.prod(shape) * TENSOR_BYTES[dtype]:
            return "its header does not fit its data"
        end = stop
    return "" if end == len(data) - 8 - size else "its size does not fit its header"


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON value")
