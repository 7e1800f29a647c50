"""Checks of the files that ``segment`` is to write, before anything is computed."""

import argparse
from pathlib import Path

from segmamba.errors import UserError
from segmamba.images import check_output


def check_outputs(options: argparse.Namespace) -> None:
    """Refuses outputs that could not be written.

    Raises:
        UserError: Naming the file and the formats allowed, or two options that name one file.
    """
    check_output(options.output)
    for name in ("probabilities", "uncertainty"):
        if getattr(options, name) is not None:
            check_output(getattr(options, name), suffixes=(".nii", ".nii.gz", ".nrrd", ".mha"))
    if options.statistics is not None:
        check_output(options.statistics, suffixes=(".csv",))
    if options.preview is not None:
        check_output(options.preview, suffixes=(".png",))
    inputs = {Path(image).resolve() for image in options.images}
    seen: dict[Path, str] = {}
    for name in ("output", "probabilities", "uncertainty", "statistics", "preview"):
        value = getattr(options, name)
        if value is None:
            continue
        path = Path(value).resolve()
        if path in inputs:
            raise UserError(f"--{name} {value} is one of the images; name another file, so that it is not overwritten")
        if path in seen:
            raise UserError(f"--{name} and --{seen[path]} are both {value}; name two files")
        seen[path] = name
