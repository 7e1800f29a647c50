"""What is known of a data set before a voxel is read, whatever its layout on disk."""

from dataclasses import dataclass
from pathlib import Path

from segmamba.errors import UserError


@dataclass(frozen=True)
class LabelEntry:
    """One label or region to learn.

    Attributes:
        name: as in ``dataset.json``.
        value: what the label map holds; for a region, what is painted where the region is.
        members: the values of the training labels that belong to it; for a label, its own value.
    """

    name: str
    value: int
    members: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """The files of one case.

    Attributes:
        name: as folds name it.
        images: one file a channel, in the order of the channels; or one 4-D file for them all.
        label: the label map's file; None where a case has none.
        channels: how many channels the files hold together.
        subject: whose case it is, where the layout tells.
        fold: the fold that it validates in, where a list of files tells; None trains in each.
        columns: what else a list of files says of it, as pairs of column and text.
        segments: for segments of 3D Slicer, what stands for each set of them that shares voxels: (names, value).
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    channels: int
    subject: str | None = None
    fold: int | None = None
    columns: tuple[tuple[str, str], ...] = ()
    segments: tuple[tuple[tuple[str, ...], int], ...] = ()

    @property
    def packed(self) -> bool:
        """Whether one 4-D file holds all channels."""
        return self.channels > len(self.images)


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before a voxel is read.

    Attributes:
        folder: where it lies.
        name, description, licence, reference: as in ``dataset.json``; empty where it is silent.
        channels: names of the channels, in order.
        modalities: for each channel ``MR``, ``CT``, ``PET``, ``US``, or ``OT`` where the name does not tell.
        labels: without the background; regions stand in the order in which they are painted, later over earlier.
        regions: whether labels overlap, as BraTS's do.
        cases: in the order of their names.
        source: the file or folder that says so.
        layout: in words, such as ``nnU-Net raw``.
    """

    folder: Path
    name: str
    description: str
    licence: str
    reference: str
    channels: tuple[str, ...]
    modalities: tuple[str, ...]
    labels: tuple[LabelEntry, ...]
    regions: bool
    cases: tuple[Case, ...]
    source: Path | None = None
    layout: str = ""

    @property
    def values(self) -> tuple[int, ...]:
        """Values that a label map of this data set may hold, 0 among them."""
        return tuple(sorted({0}.union(*(entry.members for entry in self.labels))))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cases."""
        return tuple(case.name for case in self.cases)

    def case(self, name: str) -> Case:
        """The case of that name; UserError where there is none."""
        for case in self.cases:
            if case.name == name:
                return case
        raise UserError(f"{self.folder} has no case {name!r}; its {len(self.cases)} cases begin with {self.names[0]!r}")
