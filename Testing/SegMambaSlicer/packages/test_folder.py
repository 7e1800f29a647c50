"""Installing from a folder of wheels, by real pip: whole, without an index, and Slicer's own packages stay."""

import shlex

import pytest


def program(folder) -> str:
    return f"said['names'] = packages.install_from_folder({str(folder)!r})\nsaid['missing'] = packages.missing()"


OFFLINE = {"PIP_FIND_LINKS": "", "PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}


@pytest.mark.parametrize("slicer", [None, "5.10"])
def test_everything_is_installed_and_slicers_own_packages_stay(computer, unchanged, slicer):
    said = computer.run(program(computer.wheels), slicer, **OFFLINE)
    assert said["names"] == ["torch", "safetensors", "platformdirs", "numba"]
    assert said["missing"] == []
    assert unchanged()


def test_what_is_installed_works_without_the_internet_and_a_second_time_does_nothing(computer):
    computer.run(program(computer.wheels), "5.12", **OFFLINE)
    said = computer.run(program(computer.wheels) + "\nsaid['result'] = packages.ensure()", "5.12", **OFFLINE)
    assert (said["names"], said["result"], said["questions"], said["calls"]) == ([], True, [], [])


def test_a_folder_without_numba_will_do(computer):
    (computer.wheels / "numba-0.65.0-py3-none-any.whl").unlink()
    said = computer.run(program(computer.wheels), "5.12", **OFFLINE)
    assert said["names"] == ["torch", "safetensors", "platformdirs"]


def test_a_package_that_would_change_numpy_is_refused(computer, unchanged):
    (computer.wheels / "safetensors-0.5.0-py3-none-any.whl").unlink()
    computer.add("safetensors", "0.9.0", "numpy<2.3")
    said = computer.run(program(computer.wheels), "5.12", **OFFLINE)
    assert said["error"].startswith("UserError: torch, safetensors, platformdirs could not be installed from")
    assert "conflict" in said["log"].lower() and unchanged()


def test_missing_wheels_are_named_before_pip_is_called(computer):
    (computer.wheels / "safetensors-0.5.0-py3-none-any.whl").unlink()
    said = computer.run(program(computer.wheels), "5.12", **OFFLINE)
    assert "holds no wheel of safetensors" in said["error"] and said["calls"] == []


def test_a_dependency_that_is_missing_in_the_folder_is_a_sentence(computer):
    (computer.wheels / "sympy-1.14.0-py3-none-any.whl").unlink()
    said = computer.run(program(computer.wheels), "5.12", **OFFLINE)
    assert "could not be installed from" in said["error"] and "\n" not in said["error"]


@pytest.mark.parametrize(("name", "words"), [("nowhere", "is not a folder"), (".", "holds no wheels")])
def test_a_wrong_folder_is_refused(computer, tmp_path, name, words):
    said = computer.run(program(tmp_path / name), "5.12")
    assert said["error"].startswith("UserError: ") and words in said["error"]


def test_the_command_for_the_wheelhouse_fills_a_folder_that_can_be_installed_from(computer, tmp_path):
    folder = tmp_path / "carried over"
    said = computer.run(
        f"import subprocess\nsaid['command'] = packages.wheelhouse_command({str(folder)!r})\n"
        "subprocess.run(said['command'], check=True, stdout=sys.stderr)"
    )
    assert "error" not in said, said["log"]
    assert str(folder) in shlex.split(shlex.join(said["command"]))
    assert {"torch-2.7.0-py3-none-any.whl", "sympy-1.14.0-py3-none-any.whl", "numba-0.65.0-py3-none-any.whl"} <= {
        file.name for file in folder.iterdir()
    }
    assert computer.run(program(folder), "5.12", **OFFLINE)["missing"] == []
