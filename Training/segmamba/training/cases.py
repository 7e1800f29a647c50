"""A training case read whole: its channels and its label, checked against the data set."""

import SimpleITK as sitk

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
