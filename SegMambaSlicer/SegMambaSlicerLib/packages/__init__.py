"""The Python packages that the worker needs: what is missing, installing it, where ``segmamba`` lies, its report.

Nothing heavy is imported here, ever: what is there is told by metadata, and the rest happens in other processes.
"""

from SegMambaSlicerLib.packages.place import make_importable, package_folder, python

# From a plain checkout, the package segmamba is not on the path yet; the modules below import its errors.
make_importable()

from SegMambaSlicerLib.packages.installing import ensure, install_from_folder  # noqa: E402
from SegMambaSlicerLib.packages.report import doctor  # noqa: E402
from SegMambaSlicerLib.packages.requirements import missing, optional_missing  # noqa: E402
from SegMambaSlicerLib.packages.wheelhouse import wheelhouse_command  # noqa: E402

__all__ = [
    "doctor",
    "ensure",
    "install_from_folder",
    "make_importable",
    "missing",
    "optional_missing",
    "package_folder",
    "python",
    "wheelhouse_command",
]
