"""Training patches: prepared cases on disk, and the random patch of each sample number."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from segmamba.atomic import replacing
from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.errors import UserError
from segmamba.inference.preprocess import prepare, prepare_label
from segmamba.training.augmentation import Augmenter
from segmamba.training.cases import check_content, read_case

log = logging.getLogger(__name__)

_FOREGROUND_KEPT = 20_000  # labelled voxels remembered a label and case, to centre patches on


def prepare_cases(dataset: Dataset, cases: list[Case], metadata: Metadata, folder: Path, bar: bool = False) -> None:
    """Writes every case as the network sees it: ``NAME.image.npy`` (C, D, H, W), ``NAME.label.npy`` (D, H, W).

    What is there already is kept, so that a resumed run does not prepare again; the preparation is the inference's own.
    That the files are those of this data set is the caller's to know: a run checks the hashes of its data, a new one
    begins with an empty folder.

    Raises:
        UserError: A case cannot be used, or the folder cannot be written.
    """
    try:
        _prepare_cases(dataset, cases, metadata, folder, bar)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}); make room or name another folder with -o"
        ) from error


def _prepare_cases(dataset: Dataset, cases: list[Case], metadata: Metadata, folder: Path, bar: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "prepared.json"
    wanted = json.dumps(
        [metadata.to_dict()["segmamba"][key] for key in ("channels", "spacing", "orientation")], sort_keys=True
    )
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        for old in folder.glob("*.npy"):
            old.unlink()
        with replacing(stamp) as temporary:
            temporary.write_text(wanted, encoding="utf-8")
    for case in tqdm(cases, desc="preparing", unit="case", leave=False, disable=not bar):
        image_file, label_file = folder / f"{case.name}.image.npy", folder / f"{case.name}.label.npy"
        if image_file.is_file() and label_file.is_file():
            continue
        warnings: list[str] = []
        channels, label = read_case(case, dataset, warnings)
        check_content(case, channels, [])  # by its file's name; of single voxels the preparation tells
        prepared = prepare(channels, metadata, warnings)
        with tqdm.external_write_mode():  # a line between two states of the bar, not in the middle of one
            for warning in warnings:
                log.warning("%s: %s", case.name, warning)
        _save(image_file, prepared.array)
        _save(label_file, prepare_label(label, prepared.grid))


def _save(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


@dataclass(frozen=True)
class _Prepared:
    image: Path
    label: Path
    foreground: tuple[np.ndarray, ...]  # per label present: (n, 3) voxels, (k, j, i)


class Samples(torch.utils.data.Dataset):
    """Patch number n, a function of the seed and n alone: a resumed run goes on with exactly the same patches.

    Args:
        names: Case names, prepared in ``folder``.
        metadata: Patch size and labels.
        augmenter: Random changes, or None.
        foreground: Fraction of patches centred on a labelled voxel.
        seed: The run's seed.
        length: Number of samples.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        metadata: Metadata,
        augmenter: Augmenter | None,
        foreground: float,
        seed: int,
        length: int,
    ):
        self._size = tuple(reversed(metadata.patch))
        self._metadata, self._augmenter, self._foreground = metadata, augmenter, foreground
        self._seed, self._length = seed, length
        self._cases = [self._open(folder, name) for name in names]
        # Label value -> output channel, for labels; regions keep the values and are taken apart by membership.
        highest = max(max(label.members) for label in metadata.labels)
        self._channel_of = np.zeros(highest + 1, np.int64)
        for channel, label in enumerate(metadata.labels, start=1):
            self._channel_of[list(label.members)] = channel

    def _open(self, folder: Path, name: str) -> _Prepared:
        label = np.load(folder / f"{name}.label.npy", mmap_mode="r")
        found = []
        for value in np.unique(label):
            if value:
                voxels = np.argwhere(label == value)
                found.append(voxels[:: max(1, len(voxels) // _FOREGROUND_KEPT)].astype(np.int32))
        return _Prepared(folder / f"{name}.image.npy", folder / f"{name}.label.npy", tuple(found))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        count = len(self._cases)
        # Every case once in each round, in an order of that round's own.
        order = np.random.default_rng([self._seed, 1, number // count]).permutation(count)
        random = np.random.default_rng([self._seed, 2, number])
        image, label = self._crop(self._cases[order[number % count]], random)
        if self._augmenter is not None:
            image, label = self._augmenter(image, label, int(random.integers(2**32)))
        return image, self._target(label)

    def _crop(self, case: _Prepared, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A patch at a random place, zero-padded where the case is smaller; (C, D, H, W) and (1, D, H, W)."""
        image = np.load(case.image, mmap_mode="r")
        label = np.load(case.label, mmap_mode="r")
        room = np.array(label.shape) - self._size
        low, high = np.minimum(room, 0) // 2, np.maximum(room, 0)
        if case.foreground and random.random() < self._foreground:
            voxels = case.foreground[random.integers(len(case.foreground))]
            centre = voxels[random.integers(len(voxels))]
            start = np.clip(centre - np.array(self._size) // 2, 0, high)
        else:
            start = random.integers(0, high + 1)
        start = np.where(room < 0, low, start)
        picture = np.zeros((image.shape[0], *self._size), np.float32)
        marks = np.zeros((1, *self._size), np.int32)
        source = tuple(slice(max(0, s), min(n, s + p)) for s, p, n in zip(start, self._size, label.shape, strict=True))
        place = tuple(slice(s.start - b, s.stop - b) for s, b in zip(source, start, strict=True))
        picture[(slice(None), *place)] = image[(slice(None), *source)]
        marks[(0, *place)] = label[source]
        return torch.from_numpy(picture), torch.from_numpy(marks).float()

    def _target(self, label: Tensor) -> Tensor:
        """Label values (1, D, H, W) to class numbers of the same shape, or to (R, D, H, W) of 0 and 1 for regions."""
        values = label.round().long()
        if not self._metadata.regions:
            return torch.from_numpy(self._channel_of[values.numpy()])
        return torch.cat([torch.isin(values, torch.tensor(r.members)) for r in self._metadata.labels]).float()
