"""Brings the lists of files in SegMambaSlicer/CMakeLists.txt up to date with the folder: ``python list_files.py``.

It stands here and not in the module's folder, where Slicer would take it for a module.
"""

import re
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "SegMambaSlicer"
CMAKE = "CMakeLists.txt"
# Of the resources, scripts that draw pictures do not ship.
RESOURCES = (".json", ".md", ".png", ".svg", ".txt", ".ui")


def scripts(module: Path = MODULE) -> list[str]:
    """Every Python file of the module, the module itself first."""
    return _sorted(module, [*module.glob("*.py"), *(module / "SegMambaSlicerLib").rglob("*.py")])


def resources(module: Path = MODULE) -> list[str]:
    """Every file of its folder Resources, and what the library reads that is no Python."""
    folders = (module / "Resources", module / "SegMambaSlicerLib")
    return _sorted(module, [file for folder in folders for file in folder.rglob("*") if file.suffix in RESOURCES])


def listed(text: str, name: str) -> list[str]:
    """The files that ``set(NAME ...)`` of a CMakeLists.txt holds."""
    match = re.search(rf"set\({name}\n(.*?)\s*\)", text, re.DOTALL)
    if match is None:
        raise ValueError(f"{CMAKE} has no set({name} ...)")
    return match[1].split()


def updated(text: str, module: Path = MODULE) -> str:
    """The text of a CMakeLists.txt with both lists as the folder is."""
    for name, files in (("MODULE_PYTHON_SCRIPTS", scripts(module)), ("MODULE_PYTHON_RESOURCES", resources(module))):
        listed(text, name)
        block = "".join(f"  {file}\n" for file in files)
        text = re.sub(rf"(set\({name}\n).*?( *\))", rf"\g<1>{block}  )", text, count=1, flags=re.DOTALL)
    return text


def _sorted(module: Path, files: list[Path]) -> list[str]:
    names = [file.relative_to(module).as_posix() for file in files if file.is_file()]
    return sorted(names, key=lambda name: (name.count("/") > 0, name))


def main() -> int:
    """Writes the file, if it changes."""
    path = MODULE / CMAKE
    before = path.read_text(encoding="utf-8")
    after = updated(before)
    if after != before:
        path.write_text(after, encoding="utf-8", newline="\n")
    sys.stdout.write(f"{path}: {'updated' if after != before else 'was up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
