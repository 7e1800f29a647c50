"""A training case read whole: its channels and its label, checked against the data set."""

import logging

import SimpleITK as sitk

from segmamba import images
from segmamba.data.datasets import Case, Dataset, check_case, on_image_grid, read_case_images, read_case_label

log = logging.getLogger(__name__)


def read_case(case: Case, dataset: Dataset, warnings: list[str] | None = None) -> tuple[list[sitk.Image], sitk.Image]:
    """The channels and the label map of a case.

    Raises:
        UserError: A file cannot be read, or image and label do not fit each other or the data set.
    """
    channels = read_case_images(case, warnings)
    label = on_image_grid(read_case_label(case, warnings), channels[0], case)
    check_case(channels, label, dataset, case)
    return channels, label


def check_content(case: Case, channels: list[sitk.Image], warnings: list[str]) -> None:
    """Checks that every channel shows something.

    Raises:
        UserError: Naming the file that is blank or holds no number.
    """
    for n, channel in enumerate(channels):
        images.check_values(images.array(channel), str(case.images[min(n, len(case.images) - 1)]), warnings)


def check_cases(cases: list[Case], dataset: Dataset) -> None:
    """Reads cases that will not be looked at before hours have passed, to find now what is wrong with them.

    Raises:
        UserError: As :func:`read_case`, or a channel is blank.
    """
    for case in cases:
        warnings: list[str] = []
        channels, _ = read_case(case, dataset, warnings)
        check_content(case, channels, warnings)
        for warning in warnings:
            log.warning("%s: %s", case.name, warning)
