"""A training case read whole: its channels and its label, checked against the data set."""

import SimpleITK as sitk

from segmamba import images
from segmamba.data.datasets import Case, Dataset, check_case, read_case_images, read_case_label


def read_case(case: Case, dataset: Dataset, warnings: list[str] | None = None) -> tuple[list[sitk.Image], sitk.Image]:
    """The channels and the label map of a case.

    Raises:
        UserError: A file cannot be read, or image and label do not fit each other or the data set.
    """
    channels = read_case_images(case, warnings)
    label = read_case_label(case, warnings)
    check_case(channels, label, dataset, case)
    return channels, label


def check_cases(cases: list[Case], dataset: Dataset) -> None:
    """Reads cases that will not be looked at before hours have passed, to find now what is wrong with them.

    Raises:
        UserError: As :func:`read_case`, or a channel is blank.
    """
    for case in cases:
        channels, _ = read_case(case, dataset, [])
        for n, channel in enumerate(channels):
            images.check_values(images.array(channel), str(case.images[min(n, len(case.images) - 1)]), [])
