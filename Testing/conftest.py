"""Options and fixtures that every test shares: reference data, the user's folders, small models, the command line."""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Before torch is imported: on small tensors, and beside other work, more threads wait more than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.bundle import Channel, Label, Metadata, Normalisation, write_bundle
from segmamba.cli import main


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference-data",
        default=str(Path(__file__).resolve().parents[1] / ".." / "shared"),
        help="folder with golden files and real cases; tests that need it are skipped where it is missing",
    )
    parser.addoption(
        "--slicer-source",
        default=None,
        help="a checkout of 3D Slicer's sources: its own Python files and macros are used in place of the stand-ins",
    )


@pytest.fixture(scope="session")
def reference_data(pytestconfig: pytest.Config) -> Path:
    """Folder of golden files (``golden/``) and real cases (``data/``)."""
    folder = Path(pytestconfig.getoption("--reference-data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; name it with --reference-data FOLDER")
    return folder


@pytest.fixture(autouse=True)
def user_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings and installed models of this test alone: no test sees or touches the user's."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    if not sys.platform.startswith("linux"):  # where XDG is not heeded
        monkeypatch.setattr("segmamba.settings._user_folder", lambda kind: folder / kind / "segmamba")
    return folder


# Models, small enough to run in a moment


OPTIONS = {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}


def _make_model(folder: Path, channels: tuple[str, ...], labels: tuple[Label, ...], **settings) -> Path:
    """A model package whose LightM-UNet has random weights, always the same ones."""
    import torch

    from segmamba import networks

    settings = {
        "name": folder.name,
        "version": "1.2.0",
        "description": "Random weights, for tests.",
        "network": "lightmunet",
        "options": OPTIONS,
        "channels": tuple(Channel(name, "MR", Normalisation("zscore")) for name in channels),
        "labels": labels,
        "patch": (16, 16, 16),
        "licence": "CC0-1.0",
        **settings,
    }
    metadata = Metadata(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = networks.build("lightmunet", len(channels), metadata.output_channels, **metadata.options)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return write_bundle(folder, metadata, weights, "For tests.", "CC0-1.0", dtype="float32").path


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """``make_model(folder, channels, labels, **metadata)`` writes a small package with random weights."""
    return _make_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One channel, two labels; the image's own spacing."""
    labels = (Label(1, "Front", (230, 60, 50)), Label(2, "Back", (60, 120, 220)))
    return _make_model(tmp_path_factory.mktemp("models") / "tiny", ("T1",), labels)


@pytest.fixture(scope="session")
def tiny_regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four channels, the regions of BraTS."""
    labels = (
        Label(2, "WT", (80, 200, 80), (1, 2, 3)),
        Label(1, "TC", (220, 60, 60), (1, 3)),
        Label(3, "ET", (240, 220, 60), (3,)),
    )
    channels = ("T1", "T1Gd", "T2", "FLAIR")
    return _make_model(tmp_path_factory.mktemp("models") / "tiny-regions", channels, labels, regions=True)


# Images


def _make_volume(size: tuple[int, int, int] = (22, 26, 18), seed: int = 0, dtype=np.int16) -> sitk.Image:
    """A lopsided blob with noise, (i, j, k) voxels, anisotropic and oblique."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in reversed(size)), indexing="ij")
    values = 900 * np.exp(-3 * ((k - 0.2) ** 2 + (j + 0.3) ** 2 + 0.5 * (i - 0.1) ** 2))
    values += np.random.default_rng(seed).normal(100, 30, values.shape)
    image = sitk.GetImageFromArray(values.astype(dtype))
    image.SetSpacing((0.9, 1.1, 1.5))
    image.SetOrigin((-12.5, 30.25, -41.0))
    cosine, sine = np.cos(0.2), np.sin(0.2)
    image.SetDirection((1, 0, 0, 0, cosine, -sine, 0, sine, cosine))
    return image


@pytest.fixture(scope="session")
def make_volume() -> Callable[..., sitk.Image]:
    """``make_volume(size, seed, dtype)`` draws a small image."""
    return _make_volume


@pytest.fixture
def volume() -> sitk.Image:
    """A small image in memory."""
    return _make_volume()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The same as a NIfTI file."""
    path = tmp_path / "image.nii.gz"
    sitk.WriteImage(_make_volume(), str(path))
    return path


@pytest.fixture
def four_images(tmp_path: Path) -> list[Path]:
    """Four channels as files."""
    paths = [tmp_path / f"channel{n}.nii.gz" for n in range(4)]
    for n, path in enumerate(paths):
        sitk.WriteImage(_make_volume(seed=n), str(path))
    return paths


# The command line


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line gave."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capfd: pytest.CaptureFixture) -> Callable[..., Outcome]:
    """Calls the command line in this process; what libraries write past Python is captured too."""
    log = logging.getLogger("segmamba")
    level = log.level

    def call(*arguments) -> Outcome:
        capfd.readouterr()
        with warnings.catch_warnings():
            status = main([str(a) for a in arguments])
        return Outcome(status, *capfd.readouterr())

    yield call
    log.setLevel(level)


@pytest.fixture
def done(command: Callable[..., Outcome]) -> Callable[..., str]:
    """Calls the command line, which must succeed and complain of nothing; returns its standard output."""

    def call(*arguments) -> str:
        outcome = command(*arguments)
        assert (outcome.status, outcome.err) == (0, "")
        return outcome.out

    return call


@pytest.fixture
def refused(command: Callable[..., Outcome], tmp_path: Path, user_folders: Path) -> Callable[..., str]:
    """Calls the command line, which must refuse in one line that holds the given words, and write nothing."""

    def call(arguments, *words) -> str:
        before = listing(tmp_path), listing(user_folders / "data")
        outcome = command(*arguments)
        assert outcome.status == 2, outcome
        check_refusal(outcome.err, *words)
        assert outcome.out == ""
        assert (listing(tmp_path), listing(user_folders / "data")) == before
        return outcome.err

    return call


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess]:
    """Calls the command line in a process of its own."""

    def call(*arguments, **options) -> subprocess.CompletedProcess:
        environment = {**os.environ, **options.pop("env", {})}
        options = {"capture_output": True, "text": True, "timeout": 300, "env": environment, **options}
        return subprocess.run([sys.executable, "-m", "segmamba", *map(str, arguments)], **options)

    return call


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything under a folder with its size and time of change."""
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def check_refusal(text: str, *words) -> None:
    """One line, from us, that holds the words and none of a library's noise."""
    assert text.startswith("segmamba: ") and text.endswith("\n") and text.count("\n") == 1, text
    for noise in ("Traceback", "ITK", "itk", " 0x", "(0x", ".cxx", "Error("):
        assert noise not in text, text
    for word in words:
        assert str(word) in text, text
