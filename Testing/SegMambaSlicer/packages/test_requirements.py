"""What is missing is told by metadata alone; the constraints keep what is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from SegMambaSlicerLib.packages import requirements

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``site(name=version)`` makes these the only installed packages."""

    def install(**versions: str) -> None:
        for name, version in versions.items():
            folder = tmp_path / f"{name}-{version.replace('+', '_')}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return install


def test_everything_is_missing_at_first(site):
    assert requirements.missing() == ["torch>=2.6", "safetensors>=0.4", "platformdirs>=4"]
    assert requirements.optional_missing() == ["numba>=0.60"]


@pytest.mark.parametrize(
    ("version", "enough"),
    [("2.6", True), ("2.6.0+cu124", True), ("2.10.1", True), ("3", True), ("2.5.1", False), ("2.6.0rc1", True)],
)
def test_versions_are_compared_by_their_numbers(site, version, enough):
    site(torch=version)
    assert (requirements.unfulfilled(["torch>=2.6"]) == []) == enough


def test_installed_packages_are_pinned_whatever_they_are(site):
    site(numpy="2.4.6", SimpleITK="2.5.5", torch="2.7.0+cu128", Some_Other="1.0.post1")
    assert requirements.constraints(["safetensors>=0.4"]) == (
        "numpy==2.4.6\nsimpleitk==2.5.5\nsome-other==1.0.post1\ntorch==2.7.0+cu128\n"
    )


def test_what_is_to_be_renewed_and_the_tools_that_install_are_not_pinned(site):
    site(safetensors="0.3", platformdirs="4.1", pip="26.0", setuptools="82.0", wheel="0.47")
    assert requirements.constraints(requirements.required()) == "platformdirs==4.1\n"


def test_what_a_renewed_package_needs_may_change_with_it_unless_slicer_ships_it(site, tmp_path):
    site(numba="0.50", llvmlite="0.33", numpy="2.4.6", sympy="1.13", other="1.0")
    needs = "Requires-Dist: llvmlite<0.34\nRequires-Dist: numpy>=1.15\nRequires-Dist: sympy; extra == 'x'\n"
    with (tmp_path / "numba-0.50.dist-info" / "METADATA").open("a") as file:
        file.write(needs)
    assert requirements.constraints(["numba>=0.60"]) == "numpy==2.4.6\nother==1.0\nsympy==1.13\n"
    assert "llvmlite==0.33" in requirements.constraints(["numba>=0.40"])


def test_what_needs_a_renewed_package_may_change_with_it_unless_slicer_ships_it(site, tmp_path):
    site(torch="2.5", torchvision="0.20", monai="1.4", pillow="11.0", other="1.0")
    for name, need in (("torchvision-0.20", "torch==2.5"), ("monai-1.4", "torchvision"), ("pillow-11.0", "torch")):
        with (tmp_path / f"{name}.dist-info" / "METADATA").open("a") as file:
            file.write(f"Requires-Dist: {need}\n")
    assert requirements.constraints(["torch>=2.6"]) == "other==1.0\npillow==11.0\n"
    assert "torchvision==0.20" in requirements.constraints(["torch>=2.4"])


def test_remains_of_broken_installations_do_not_spoil_the_constraints(site, tmp_path):
    site(numpy="2.4.6", odd="unknown", broken="1.0-local-build")
    (tmp_path / "~umpy-2.0.dist-info").mkdir()
    assert requirements.constraints([]) == "numpy==2.4.6\n"


def test_the_files_ask_for_no_more_than_the_package_and_nothing_that_slicer_ships():
    project = (ROOT / "pyproject.toml").read_text()
    for requirement in (*requirements.required(), *requirements.optional()):
        assert re.fullmatch(r"[a-z]+>=[0-9.]+", requirement), requirement
        assert f'"{requirement}"' in project, requirement
    names = {requirements.name_of(r) for r in (*requirements.required(), *requirements.optional())}
    assert not names & {"numpy", "scipy", "simpleitk", "requests", "mamba-ssm"}


def test_a_case_is_segmented_with_the_required_packages_alone(tiny_model, image):
    """Without numba, too, for which plain torch stands in."""
    project = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)[1]
    allowed = {"numpy", "SimpleITK"} | {requirements.name_of(r) for r in requirements.required()}
    refused = set(re.findall(r'"([A-Za-z]+)', dependencies)) - allowed
    assert {"numba", "monai", "matplotlib", "scipy"} <= refused
    program = (
        "import sys\n"
        f"for name in {sorted(refused)}:\n"
        "    sys.modules[name] = None\n"
        "from segmamba import Segmenter\n"
        f"segmentation = Segmenter({str(tiny_model)!r}, device='cpu')({str(image)!r})\n"
        "print(segmentation.labels.GetSize(), segmentation.backend)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(22, 26, 18) ") and "numba" not in done.stdout
