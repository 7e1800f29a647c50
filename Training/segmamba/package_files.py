"""The files of a model package, read alike from a folder or from a zip that is never unpacked."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from segmamba.errors import UserError

__all__ = ["FolderFiles", "ZipFiles", "open_files"]

MIB = 2**20
TEXT_LIMIT = 16 * MIB
WEIGHTS_LIMIT = 8 * 1024 * MIB
# A package is a handful of files: a zip beyond these is damaged or hostile, and never read.
MOST_FILES = 2000
TOTAL_LIMIT = 2 * WEIGHTS_LIMIT
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".tar")
CHECKPOINT_HINT = "use a package that `segmamba export` wrote, or convert it with `segmamba models import-official`"
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


class FolderFiles:
    """A package that is a folder."""

    def __init__(self, path: Path):
        self.path = path
        try:
            found = sorted(p for p in path.rglob("*") if p.is_file())
            self.sizes = {p.relative_to(path).as_posix(): p.stat().st_size for p in found}
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        self.size_bytes = sum(self.sizes.values())

    def label(self, name: str) -> str:
        """How a message calls a file."""
        return str(self.path / name)

    def read(self, name: str, limit: int = TEXT_LIMIT) -> bytes:
        """Content of one file; UserError if it is missing, too large or unreadable."""
        _check_size(self, name, limit)
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.label(name)} cannot be read: {error.strerror or error}") from error


class ZipFiles:
    """A package that is a zip, with or without one folder at its top; read in memory only."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.size_bytes = path.stat().st_size
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except DAMAGE as error:
            raise UserError(f"{path} is a damaged zip file ({error}); copy or download it again") from error
        if len(members) > MOST_FILES or sum(m.file_size for m in members) > TOTAL_LIMIT:
            raise UserError(f"{path} holds far more than a model package does; it was not opened")
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            self._check(member)
            if not member.is_dir() and not member.filename.startswith("__MACOSX/"):
                if member.filename in self.members:
                    raise UserError(f"{path} holds {member.filename!r} twice; it was not opened")
                self.members[member.filename] = member
        tops = {PurePosixPath(name).parts[0] for name in self.members}
        self.prefix = ""
        if len(tops) == 1 and all("/" in name for name in self.members) and tops != {"configs"}:
            self.prefix = f"{tops.pop()}/"
        self.sizes = {name[len(self.prefix) :]: m.file_size for name, m in self.members.items()}

    def _check(self, member: zipfile.ZipInfo) -> None:
        # orig_filename: on Windows zipfile turns backslashes into slashes in the other one.
        name = member.orig_filename
        parts = name.split("/")
        unsafe = name.startswith("/") or "\\" in name or ":" in name or "\0" in name or ".." in parts
        if unsafe or not name:
            raise UserError(f"{self.path} holds the unsafe file name {name!r}; it was not opened")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{self.path} holds {name!r}, which is a link; it was not opened")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{self.path} is packed by an unusual method; pack it again as an ordinary zip")
        if member.flag_bits & 1:
            raise UserError(f"{self.path} is encrypted; a model package must not be")

    def label(self, name: str) -> str:
        """How a message calls a file."""
        return f"{self.path}/{self.prefix}{name}"

    def read(self, name: str, limit: int = TEXT_LIMIT) -> bytes:
        """Content of one file; UserError if it is missing, too large or damaged."""
        _check_size(self, name, limit)
        member = self.members[self.prefix + name]
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as stream:
                data = stream.read(limit + 1)
        except DAMAGE as error:
            raise UserError(f"{self.label(name)} is damaged ({error}); copy or download the zip again") from error
        if len(data) != member.file_size:
            raise UserError(f"{self.label(name)} is damaged (its size is wrong); copy or download the zip again")
        return data


def open_files(path: Path) -> FolderFiles | ZipFiles:
    """Opens a folder or zip that holds ``configs/metadata.json``.

    Raises:
        UserError: the path is missing or is no model package; the message says what it is instead.
    """
    try:
        kind = "folder" if path.is_dir() else "file" if path.exists() else ""
        complete = kind == "folder" and (path / "configs" / "metadata.json").is_file()
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (OSError, ValueError):  # a name too long, or with a null byte
        kind = ""
    if not kind:
        raise UserError(f"{path} does not exist; name a model package (folder or zip) or an installed model")
    if complete:
        return FolderFiles(path)
    # Any other folder is looked at one level deep: it may be somebody's whole disk.
    files = _open_file(path) if kind == "file" else None
    names = sorted(files.sizes if files else (p.relative_to(path).as_posix() for p in path.glob("models/*")))
    if files and "configs/metadata.json" in files.sizes:
        return files
    if files and any(n.endswith("data.pkl") for n in names):
        raise UserError(_checkpoint(path))
    if pickles := [n for n in names if n.endswith(PICKLES)]:
        raise UserError(
            f"{path} holds no configs/metadata.json but {pickles[0]}, whose format can run any program and is never "
            f"opened; {CHECKPOINT_HINT}"
        )
    raise UserError(f"{path} is not a model package: configs/metadata.json is missing in it")


def _open_file(path: Path) -> ZipFiles:
    try:
        with open(path, "rb") as stream:
            start = stream.read(4)
        if start == b"PK\x03\x04" or path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
            return ZipFiles(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    if path.suffix.lower() in PICKLES or start.startswith(b"\x80"):
        raise UserError(_checkpoint(path))
    if path.suffix.lower() == ".safetensors":
        raise UserError(f"{path} holds weights alone; name the package (folder or zip) that they belong to")
    raise UserError(f"{path} is not a model package; name a folder or a zip that holds configs/metadata.json")


def _checkpoint(path: Path) -> str:
    return f"{path} is a PyTorch checkpoint (pickle), which can run any program and is never opened; {CHECKPOINT_HINT}"


def _check_size(files: FolderFiles | ZipFiles, name: str, limit: int) -> None:
    if name not in files.sizes:
        raise UserError(f"{files.path} is not a complete model package: {name} is missing in it")
    if files.sizes[name] > limit:
        raise UserError(f"{files.label(name)} is larger than the {limit // MIB} MiB allowed for it")
