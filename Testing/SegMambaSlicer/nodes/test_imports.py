"""What the package imports: nothing heavy, and all of its modules at once."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import SegMambaSlicerLib.nodes


def test_nothing_heavy_is_imported(slicer_core):
    root = Path(SegMambaSlicerLib.nodes.__file__).parents[3]
    names = [module.name for module in pkgutil.iter_modules(SegMambaSlicerLib.nodes.__path__)]
    assert "segmentation" in names
    code = "\n".join(
        [
            "import sys, importlib",
            f"sys.path[:0] = {[str(root / folder) for folder in ('Training', 'SegMambaSlicer')]!r}",
            f"[importlib.import_module('SegMambaSlicerLib.nodes.' + name) for name in {names!r}]",
            "print(sorted({'torch', 'numba', 'monai', 'SimpleITK', 'scipy', 'msgspec'} & set(sys.modules)))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
