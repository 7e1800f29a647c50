"""The user's settings file, and the folders that belong to the user.

Standard library only: platformdirs is used where it is installed, and its rules are followed where it is not.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmamba import reading
from segmamba.atomic import replacing
from segmamba.errors import UserError

__all__ = ["Settings", "read_settings", "settings_file", "user_models_folder", "write_settings"]

APPLICATION = "segmamba"


@dataclass(frozen=True)
class Settings:
    """What the user has set.

    Attributes:
        model_folders: folders with model packages, searched after the shipped models and never written to.
    """

    model_folders: tuple[Path, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, file: str = "settings.json") -> Settings:
        """Reads it from JSON values; UserError names ``file`` and every wrong field."""
        return reading.read(cls._read, data, "", file)

    @classmethod
    def _read(cls, data: Any, path: str, problems: reading.Problems) -> Settings:
        table = reading.Table(data, path, problems, ["model_folders"])
        folders = table.take("model_folders", _folders, ())
        return cls(tuple(Path(f).expanduser() for f in folders or ()))

    def to_dict(self) -> dict[str, Any]:
        """JSON values that ``from_dict`` reads back to an equal object."""
        return {"model_folders": [str(folder) for folder in self.model_folders]}


def settings_file() -> Path:
    """Where the settings stand, ``settings.json`` in the user's configuration folder for segmamba."""
    return _user_folder("config") / "settings.json"


def user_models_folder() -> Path:
    """Where the user's own models are installed; it may not exist yet."""
    return _user_folder("data") / "models"


def read_settings(path: str | Path | None = None) -> Settings:
    """Reads the settings; the defaults where there is no file.

    Raises:
        UserError: the file is damaged, or holds a wrong value or an unknown key.
    """
    path = settings_file() if path is None else Path(path)
    return Settings.from_dict(reading.read_object(path), str(path)) if path.exists() else Settings()


def write_settings(settings: Settings, path: str | Path | None = None) -> Path:
    """Writes the settings whole or not at all, and returns the file.

    Raises:
        UserError: a folder is not absolute, or the file cannot be written.
    """
    path = settings_file() if path is None else Path(path)
    document = settings.to_dict()
    Settings.from_dict(document, str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _folders(value: Any) -> list[str]:
    expected = "expected a list of folders, each with its whole path"
    if not isinstance(value, list):
        raise ValueError(expected)
    for folder in value:
        # Relative to what? The folder that a command happens to run in would change the answer.
        if not isinstance(folder, str) or not (folder.startswith("~") or Path(folder).is_absolute()):
            raise ValueError(expected)
    return value


def _user_folder(kind: str) -> Path:
    """The user's ``data`` or ``config`` folder for this application."""
    try:
        import platformdirs
    except ImportError:
        return _without_platformdirs(kind)
    find = platformdirs.user_data_dir if kind == "data" else platformdirs.user_config_dir
    return Path(find(APPLICATION, appauthor=False))


def _without_platformdirs(kind: str) -> Path:
    """The folders that platformdirs gives, so that models are found again once it is installed."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / APPLICATION
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / APPLICATION
    variable, default = {"data": ("XDG_DATA_HOME", ".local/share"), "config": ("XDG_CONFIG_HOME", ".config")}[kind]
    return Path(os.environ.get(variable, "").strip() or home / default) / APPLICATION
