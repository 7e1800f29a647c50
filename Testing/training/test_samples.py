"""Patches: functions of seed and number alone, centred on labels as often as asked, padded, with the right targets."""

from collections import Counter

import numpy as np
import pytest
import torch
from boxes import write_dataset

from segmamba.bundle import Channel, Label, Metadata, Normalisation
from segmamba.errors import UserError
from segmamba.training.augmentation import Augmenter
from segmamba.training.recipe import Augmentation
from segmamba.training.samples import Samples, prepare_cases


def metadata(patch=(8, 8, 8), labels=None, regions=False, channels=1, **changes):
    labels = labels or (Label(1, "box", (255, 0, 0)),)
    return Metadata(
        name="small",
        version="1.0.0",
        description="",
        network="lightmunet",
        channels=tuple(Channel(f"c{n}", "MR", Normalisation("none")) for n in range(channels)),
        labels=labels,
        regions=regions,
        patch=patch,
        **changes,
    )


def write(folder, name, label, channels=1):
    """A prepared case whose channel c holds c + the voxel's number, so that a patch tells where it comes from."""
    numbers = np.arange(1, label.size + 1, dtype=np.float32).reshape(label.shape)
    np.save(folder / f"{name}.image.npy", np.stack([numbers + 1e6 * c for c in range(channels)]))
    np.save(folder / f"{name}.label.npy", label.astype(np.uint8))


def samples(folder, names, about, foreground=0.0, seed=0, length=1000, augmenter=None):
    return Samples(folder, names, about, augmenter, foreground, seed, length)


@pytest.fixture
def three(tmp_path):
    for n, name in enumerate("abc"):
        label = np.zeros((12, 14, 16), np.uint8)
        label[2 + n : 5 + n, 3:6, 9:12] = 1
        write(tmp_path, name, label)
    return tmp_path


def test_a_patch_is_a_function_of_seed_and_number_alone(three):
    augmenter = Augmenter(Augmentation(), (0, 1, 2))
    one, two = (samples(three, list("abc"), metadata(), 0.5, 7, augmenter=augmenter) for _ in range(2))
    first = [one[n] for n in range(12)]
    torch.manual_seed(99)
    np.random.seed(99)
    for n in reversed(range(12)):
        image, target = two[n]
        assert torch.equal(image, first[n][0]) and torch.equal(target, first[n][1])
    other = samples(three, list("abc"), metadata(), 0.5, 8, augmenter=augmenter)
    assert any(not torch.equal(other[n][0], first[n][0]) for n in range(12))
    assert len({tuple(image.flatten()[:50].tolist()) for image, _ in first}) > 8


def test_a_patch_does_not_depend_on_the_length_of_the_run(three):
    short, long = (samples(three, list("abc"), metadata(), length=length) for length in (6, 600))
    assert all(torch.equal(short[n][0], long[n][0]) for n in range(6))


def test_worker_processes_give_the_same_batches_in_the_same_order(three):
    data = samples(three, list("abc"), metadata(), 0.5, length=8, augmenter=Augmenter(Augmentation(), (0,)))
    here, there = (list(torch.utils.data.DataLoader(data, 2, num_workers=n, sampler=range(8))) for n in (0, 2))
    for one, two in zip(here, there, strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_every_case_comes_once_in_each_round_and_rounds_differ(tmp_path):
    names = [f"case{n}" for n in range(7)]
    for n, name in enumerate(names):
        np.save(tmp_path / f"{name}.image.npy", np.full((1, 8, 8, 8), n, np.float32))
        np.save(tmp_path / f"{name}.label.npy", np.zeros((8, 8, 8), np.uint8))
    data = samples(tmp_path, names, metadata())
    order = [int(data[n][0][0, 0, 0, 0]) for n in range(28)]
    rounds = [order[n : n + 7] for n in range(0, 28, 7)]
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


def test_patches_are_cut_where_image_and_label_agree(three):
    data = samples(three, list("abc"), metadata(), 1.0)
    labels = [np.load(three / f"{name}.label.npy").ravel() for name in "abc"]
    for n in range(20):
        image, target = data[n]
        places = image[0].long() - 1
        assert any(np.array_equal(label[places.numpy()], target[0].numpy()) for label in labels)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_the_asked_fraction_of_patches_is_centred_on_a_labelled_voxel(tmp_path, fraction):
    label = np.zeros((40, 40, 40), np.uint8)
    label[18:20, 20:22, 19:21] = 1  # small: a random patch seldom has it in its middle
    write(tmp_path, "a", label)
    data = samples(tmp_path, ["a"], metadata(), fraction)
    share = sum(int(data[n][1][0, 4, 4, 4]) for n in range(400)) / 400
    assert abs(share - fraction) < 0.08


def test_every_label_of_a_case_is_a_centre_equally_often_however_rare(tmp_path):
    label = np.zeros((24, 24, 24), np.uint8)
    label[6:18, 6:18, 6:18] = 1
    label[12, 12, 12] = 3
    write(tmp_path, "a", label)
    labels = tuple(Label(v, str(v), (0, 0, 0)) for v in (1, 2, 3))
    data = samples(tmp_path, ["a"], metadata(labels=labels), 1.0)
    found = Counter(int(data[n][1][0, 4, 4, 4]) for n in range(300))
    assert 100 < found[3] < 200 and found[1] + found[3] == 300


def test_a_patch_at_the_border_stays_inside_the_case(tmp_path):
    label = np.zeros((12, 12, 12), np.uint8)
    label[0, 0, 0] = label[11, 11, 11] = 1
    write(tmp_path, "a", label)
    data = samples(tmp_path, ["a"], metadata(), 1.0)
    assert all((data[n][0] > 0).all() and data[n][1].any() for n in range(20))


def test_a_case_smaller_than_the_patch_is_padded_with_zeros_on_both_sides(tmp_path):
    label = np.ones((5, 8, 11), np.uint8)
    write(tmp_path, "a", label)
    data = samples(tmp_path, ["a"], metadata(patch=(8, 8, 8)), 0.5)
    for n in range(10):
        image, target = data[n]
        assert image.shape == (1, 8, 8, 8) and target.shape == (1, 8, 8, 8)
        assert (image[0, :2] == 0).all() and (image[0, 7:] == 0).all() and (image[0, 2:7] > 0).all()
        assert torch.equal(target[0] > 0, image[0] > 0)


def test_values_become_class_numbers_in_the_order_of_the_labels(tmp_path):
    label = np.random.default_rng(0).choice([0, 2, 5, 9], (8, 8, 8)).astype(np.uint8)
    write(tmp_path, "a", label)
    labels = (Label(1, "nine", (0, 0, 0), (9,)), Label(2, "both", (0, 0, 0), (2, 5)))
    _, target = samples(tmp_path, ["a"], metadata(labels=labels))[0]
    expected = np.select([label == 9, (label == 2) | (label == 5)], [1, 2], 0)
    assert target.dtype == torch.int64
    assert np.array_equal(target[0].numpy(), expected)


def test_regions_are_maps_of_their_members_and_channels_are_kept_in_order(tmp_path):
    label = np.random.default_rng(0).integers(0, 4, (8, 8, 8)).astype(np.uint8)
    write(tmp_path, "a", label, channels=4)
    regions = tuple(Label(n + 1, str(n), (0, 0, 0), m) for n, m in enumerate([(1, 2, 3), (1, 3), (3,)]))
    about = metadata(labels=regions, regions=True, channels=4)
    image, target = samples(tmp_path, ["a"], about)[0]
    assert image.shape == (4, 8, 8, 8) and target.shape == (3, 8, 8, 8) and target.dtype == torch.float32
    for n, members in enumerate([(1, 2, 3), (1, 3), (3,)]):
        assert np.array_equal(target[n].numpy(), np.isin(label, members))
    assert [int(image[c, 0, 0, 0] // 1e6) for c in range(4)] == [0, 1, 2, 3]


def test_preparing_writes_what_inference_sees_and_keeps_what_is_there(tmp_path):
    data = write_dataset(tmp_path / "data", 2, channels=("T1", "T2"), spacing=(1.0, 1.0, 2.0))
    about = metadata(channels=2, spacing=(1.0, 1.0, 1.0))
    folder = tmp_path / "prepared"
    prepare_cases(data, list(data.cases), about, folder)
    image, label = np.load(folder / "case0.image.npy"), np.load(folder / "case0.label.npy")
    assert image.shape == (2, 32, 18, 20) and label.shape == (32, 18, 20)
    assert image.dtype == np.float32
    (folder / "case0.image.npy").write_bytes(b"kept")
    (folder / "case1.label.npy").unlink()
    prepare_cases(data, list(data.cases), about, folder)
    assert (folder / "case0.image.npy").read_bytes() == b"kept"
    assert np.load(folder / "case1.label.npy").shape == (32, 18, 20)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npy", ".npy", ".npy", ".npy"]


@pytest.mark.parametrize("stamp", [None, '[{"chan'], ids=["missing", "torn"])
def test_prepared_cases_of_another_choice_or_of_unknown_origin_are_made_again(tmp_path, stamp):
    data = write_dataset(tmp_path / "data", 1)
    folder = tmp_path / "prepared"
    prepare_cases(data, list(data.cases), metadata(), folder)
    if stamp is None:
        (folder / "prepared.json").unlink()
    else:
        (folder / "prepared.json").write_text(stamp)
    (folder / "case0.image.npy").write_bytes(b"of who knows what")
    prepare_cases(data, list(data.cases), metadata(), folder)
    assert np.load(folder / "case0.image.npy").shape == (1, 16, 18, 20)
    prepare_cases(data, list(data.cases), metadata(spacing=(2.0, 2.0, 2.0)), folder)
    assert np.load(folder / "case0.image.npy").shape == (1, 8, 9, 10)


def test_a_folder_that_cannot_be_written_is_a_users_mistake(tmp_path):
    data = write_dataset(tmp_path / "data", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="prepared cannot be written"):
        prepare_cases(data, list(data.cases), metadata(), tmp_path / "file" / "prepared")
