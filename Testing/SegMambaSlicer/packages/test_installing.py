"""Installing at first use: asked once, PyTorch by its extension, all else by pip, nothing of Slicer's own changed."""

import shutil
from pathlib import Path

import pytest

VERSIONS = pytest.mark.parametrize("slicer", ["5.10", "5.12"])
ENSURE = "said['result'] = packages.ensure()"


@VERSIONS
def test_everything_is_installed_after_one_question_and_slicers_own_packages_stay(computer, unchanged, slicer):
    said = computer.run(ENSURE, slicer)
    assert said["result"] is True
    assert len(said["questions"]) == 1
    for name in ("PyTorch", "safetensors", "platformdirs", "numba"):
        assert name in said["questions"][0]
    assert said["calls"][0] == ["installTorch", False, ">=2.6"]
    assert {"torch": "2.7.0", "safetensors": "0.5.0", "platformdirs": "4.3.0", "numba": "0.65.0"}.items() <= (
        computer.versions().items()
    )
    assert unchanged()
    assert said["restarts"] == 0
    # Through slicer.packaging where it is there; of numba, which may be missing, no failure is shown.
    rest = ["safetensors>=0.4", "platformdirs>=4"]
    new = (["pip_ensure", rest, "SegMamba", False, False], ["pip_install", ["numba>=0.60"], False])
    assert all((call in said["calls"]) == (slicer == "5.12") for call in new)
    # PyTorch, what is optional, and the trial of what was installed; in 5.10 all the rest, too.
    assert said["progress"].count("closed") == len(said["progress"]) / 2 == (3 if slicer == "5.12" else 4)
    # The user can neither go on meanwhile nor press a Cancel that cancels nothing.
    assert said["dialogs"] == [["application modal", []]] * said["progress"].count("closed")


@VERSIONS
def test_nothing_is_asked_or_called_when_everything_is_there(computer, slicer):
    for name, version in (("torch", "2.6.0"), ("safetensors", "0.4.0"), ("platformdirs", "4.0"), ("numba", "0.60.0")):
        computer.install(name, version)
    said = computer.run(ENSURE, slicer)
    assert (said["result"], said["questions"], said["calls"]) == (True, [], [])


@VERSIONS
def test_who_declines_is_told_what_is_needed_and_nothing_is_installed(computer, slicer):
    before = computer.versions()
    said = computer.run("slicer.answer = False\n" + ENSURE, slicer)
    assert said["error"].startswith("UserError: SegMamba cannot run without the Python packages torch, safetensors")
    assert said["calls"] == []
    assert computer.versions() == before


def test_no_question_where_none_is_wanted(computer):
    for name, version in (("torch", "2.6.0"), ("safetensors", "0.4.0"), ("numba", "0.60.0")):
        computer.install(name, version)
    said = computer.run("said['result'] = packages.ensure(ask=False)", "5.12")
    assert (said["result"], said["questions"]) == (True, [])


@VERSIONS
def test_nothing_is_installed_while_slicer_is_tested(computer, slicer):
    said = computer.run("slicer.app.testing = True\n" + ENSURE, slicer)
    assert said["error"].startswith("UserError: SegMamba needs the Python packages torch")
    assert (said["questions"], said["calls"]) == ([], [])


def test_an_installer_that_returns_without_having_installed_is_noticed(computer):
    computer.install("torch", "2.6.0")
    program = "import slicer.packaging\nslicer.packaging.pip_ensure = lambda *a, **k: None\n" + ENSURE
    said = computer.run(program, "5.12")
    assert said["error"] == (
        "UserError: safetensors, platformdirs are still missing after their installation: restart Slicer and try again"
    )


def test_a_missing_pytorch_extension_is_named(computer):
    said = computer.run("sys.modules['PyTorchUtils'] = None\n" + ENSURE, "5.12")
    assert said["error"].startswith("UserError: The extension PyTorch is missing: install it in the Extensions Manager")


@VERSIONS
def test_no_connection_is_one_sentence_that_names_the_packages_and_the_way_out(computer, unchanged, slicer):
    computer.install("torch", "2.6.0")
    for wheel in computer.wheels.glob("safetensors*"):
        wheel.unlink()
    said = computer.run(ENSURE, slicer)
    assert said["error"].startswith("UserError: safetensors, platformdirs could not be installed")
    assert "Install packages from folder" in said["error"] and "\n" not in said["error"]
    assert "Could not find a version that satisfies the requirement safetensors" in said["log"]
    assert unchanged()


def test_pytorch_that_cannot_be_installed_is_one_sentence(computer):
    (computer.wheels / "torch-2.7.0-py3-none-any.whl").unlink()
    said = computer.run(ENSURE, "5.12")
    assert said["error"].startswith("UserError: PyTorch could not be installed") and "\n" not in said["error"]


def test_a_numba_that_would_change_numpy_is_left_out(computer, unchanged):
    computer.install("torch", "2.6.0")
    (computer.wheels / "numba-0.65.0-py3-none-any.whl").unlink()
    computer.add("numba", "0.61.0", "numpy<2.3")
    said = computer.run(ENSURE + "\nsaid['left'] = packages.optional_missing()", "5.12")
    assert (said["result"], said["left"]) == (True, ["numba>=0.60"])
    assert "numba could not be installed: computing on the processor runs in plain PyTorch" in said["log"]
    assert unchanged()


def test_a_pytorch_that_would_change_numpy_is_refused_though_its_extension_sets_no_constraints(computer, unchanged):
    (computer.wheels / "torch-2.7.0-py3-none-any.whl").unlink()
    computer.add("torch", "2.8.0", "numpy>=2.5")
    said = computer.run(ENSURE, "5.12")
    assert said["error"].startswith("UserError: PyTorch could not be installed")
    assert unchanged() and "torch" not in computer.versions()


def test_packages_of_other_extensions_stay_and_one_that_is_too_old_is_renewed(computer):
    computer.install("sympy", "1.13.3")
    computer.install("safetensors", "0.3.9")
    computer.run(ENSURE, "5.12")
    assert computer.versions()["sympy"] == "1.13.3"
    assert computer.versions()["safetensors"] == "0.5.0"


@pytest.mark.parametrize("used", [True, False])
def test_a_restart_is_offered_only_when_a_package_changed_in_use(computer, used):
    for name, version in (("torch", "2.6.0"), ("safetensors", "0.3.9"), ("numba", "0.60.0")):
        computer.install(name, version)
    said = computer.run(("import safetensors\n" if used else "") + ENSURE, "5.12")
    assert said["restarts"] == (1 if used else 0)
    assert any("Restart now?" in question for question in said["questions"]) == used


def test_who_only_lacks_numba_is_asked_once(computer):
    for name, version in (("torch", "2.6.0"), ("safetensors", "0.4.0"), ("platformdirs", "4.0")):
        computer.install(name, version)
    said = computer.run("slicer.answer = False\n" + ENSURE + "\npackages.ensure()", "5.12")
    assert (said["result"], len(said["questions"]), said["calls"]) == (True, 1, [])
    assert "numba" in said["questions"][0]
    said = computer.run(ENSURE, "5.12")
    assert computer.versions()["numba"] == "0.65.0"


def test_a_package_that_cannot_be_imported_is_told_with_its_reason(computer):
    computer.install("torch", "2.6.0", code="raise OSError('no such library: c10.dll')")
    said = computer.run(ENSURE, "5.12")
    assert said["error"].startswith("UserError: A package is installed and cannot be imported (torch: OSError: no such")


def test_outside_slicer_nobody_can_be_asked(computer):
    said = computer.run(ENSURE)
    assert said["error"].startswith("UserError: SegMamba cannot run without the Python packages")


def test_slicers_own_packaging_module_takes_the_calls(computer, unchanged, tmp_path, pytestconfig):
    source = pytestconfig.getoption("--slicer-source", default=None)
    if not source:
        pytest.skip("needs Slicer's sources; name them with --slicer-source FOLDER")
    (tmp_path / "real" / "slicer").mkdir(parents=True)
    shutil.copy(Path(source) / "Base" / "Python" / "slicer" / "packaging.py", tmp_path / "real" / "slicer")
    program = (
        # The package `packaging`, which Slicer has, in pip's copy; and no dialogue, as from a thread of its own.
        "import pip._vendor.packaging, pip._vendor.packaging.markers, pip._vendor.packaging.requirements\n"
        "for name in [name for name in sys.modules if name.startswith('pip._vendor.packaging')]:\n"
        "    sys.modules[name.removeprefix('pip._vendor.')] = sys.modules[name]\n"
        "import slicer.packaging\n"
        "slicer.packaging._isMainQtThread = lambda: False\n"
    )
    said = computer.run(program + ENSURE, str(tmp_path / "real"))
    assert said.get("result") is True, said["log"]
    assert {"torch", "safetensors", "platformdirs", "numba"} <= computer.versions().keys()
    assert unchanged()
