"""The command line as a whole: exit statuses, what goes where, and that it starts at once."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
import SimpleITK as sitk

from segmamba import __version__, cli


def imports_after(*arguments) -> set[str]:
    """Modules that a process holds after a command."""
    code = (
        "import sys\nfrom segmamba.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    assert not imports_after(*arguments) & {"torch", "numpy", "SimpleITK", "numba", "monai", "matplotlib"}


def test_models_are_listed_without_torch(done, tiny_model):
    done("models", "install", tiny_model)
    assert not imports_after("models", "list") & {"torch", "numpy"}


@pytest.mark.parametrize("command_name", [(), *((name,) for name in cli.COMMANDS)])
def test_every_command_has_help(capsys, command_name):
    with pytest.raises(SystemExit) as end:
        cli.main([*command_name, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(" ".join(["usage: segmamba", *command_name])) and shown.err == ""


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"segmamba {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND", "segmamba --help"]),
        (["segmnet"], ["'segmnet'", "segment", "doctor"]),
        (["segment"], ["IMAGE", "--output", "--model", "segmamba segment --help"]),
        (["segment", "a.nii", "-o", "b.nii"], ["--model"]),
        (["segment", "a.nii", "-o", "b.nii", "--model", "m", "--fast"], ["--fast"]),
        (["segment", "a.nii", "-o", "b.nii", "--model", "m", "--overlap", "half"], ["--overlap", "'half'"]),
        (["segment", "a.nii", "-o", "b.nii", "--model", "m", "--progress", "loud"], ["--progress", "'loud'", "json"]),
        (["models"], ["ACTION"]),
        (["data", "draw"], ["'draw'", "phantom"]),
        (["train", "data"], ["--output"]),
        (["evaluate", "masks"], ["REFERENCES"]),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(refused, arguments, words):
    refused(arguments, *words)


def test_options_are_not_guessed_from_their_beginning(refused):
    refused(["segment", "a.nii", "-o", "b.nii", "--mod", "m"], "--model")


def test_the_installed_process_refuses_in_one_line_without_noise(process, tmp_path, tiny_model):
    bad = tmp_path / "scan.nii.gz"
    bad.write_bytes(b"no image at all")
    result = process("segment", bad, "-o", tmp_path / "mask.nii.gz", "--model", tiny_model)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"segmamba: {bad}: ") and result.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_the_installed_process_segments_without_a_word_on_standard_error(process, tmp_path, image, tiny_model):
    # Every optional file, since each brings a library that likes to talk.
    more = [
        *("--statistics", tmp_path / "s.csv", "--preview", tmp_path / "p.png"),
        *("--probabilities", tmp_path / "p.nrrd", "--uncertainty", tmp_path / "u.nii"),
    ]
    result = process("segment", image, "-o", tmp_path / "mask.seg.nrrd", "--model", tiny_model, "--json", *more)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["output"] == str(tmp_path / "mask.seg.nrrd")


def test_warnings_of_libraries_are_kept_for_verbose(tmp_path):
    code = (
        "import logging, sys, warnings\nfrom segmamba.cli import main\nmain(sys.argv[1:])\n"
        "logging.getLogger('matplotlib').warning('noise 1')\nwarnings.warn('noise 2')\n"
        "logging.getLogger('segmamba.images').warning('ours')\n"
    )

    def errors(*more):
        command = [sys.executable, "-c", code, "models", "list", *more]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    assert errors() == "ours\n"
    assert "noise 1" in errors("-v") and "noise 2" in errors("-v")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupting_ends_with_130_and_leaves_nothing(tmp_path, tiny_model, make_volume):
    path = tmp_path / "large.nrrd"
    sitk.WriteImage(make_volume((64, 64, 64)), str(path))
    command = [sys.executable, "-m", "segmamba", "segment", path, "-o", tmp_path / "mask.nrrd", "--model", tiny_model]
    command += ["--progress", "json", "--overlap", "0.9"]
    running = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in running.stderr:
            if json.loads(line)["fraction"] > 0.04:
                break
        running.send_signal(signal.SIGINT)
        out, rest = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130 and out == ""
    *events, last = rest.splitlines()
    assert last == "segmamba: interrupted"
    assert all(json.loads(event)["fraction"] < 1 for event in events)
    assert [p.name for p in tmp_path.iterdir()] == ["large.nrrd"]


def test_a_reader_that_has_gone_is_no_error(tiny_model):
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-m", "segmamba", "models", "show", str(tiny_model)]
        result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(write)
    assert (result.returncode, result.stderr) == (0, "")


def test_names_beyond_the_terminals_encoding_are_shown_escaped(process, tmp_path, make_model):
    from segmamba.bundle import Label

    model = make_model(tmp_path / "model", ("T1",), (Label(1, "Größe 心臓", (255, 0, 0)),))
    plain = {"PYTHONIOENCODING": "ascii"}
    result = process("models", "show", model, env=plain)
    assert result.returncode == 0 and result.stderr == "" and r"Gr\xf6\xdfe" in result.stdout
    result = process("models", "show", model, "--json", env=plain)
    assert json.loads(result.stdout)["segmamba"]["labels"][0]["name"] == "Größe 心臓"
    refused = process("models", "show", tmp_path / "größer", env=plain)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1


def test_a_message_of_several_lines_is_told_in_one(refused, tmp_path, tiny_model):
    refused(["segment", tmp_path / "two\nlines.nii", "-o", tmp_path / "m.nii", "--model", tiny_model], "two lines.nii")


def test_progress_as_a_bar_leaves_the_error_on_a_line_of_its_own(command, tmp_path, tiny_model):
    arguments = ["segment", tmp_path / "gone.nii", "-o", tmp_path / "m.nii", "--model", tiny_model, "--progress", "bar"]
    outcome = command(*arguments)
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1].startswith("segmamba: ")


def test_a_defect_shows_its_traceback_and_status_1():
    code = "from segmamba import cli\ncli._quieten = lambda options: 1 / 0\ncli.entry()"
    result = subprocess.run([sys.executable, "-c", code, "models", "list"], capture_output=True, text=True)
    assert result.returncode == 1 and "ZeroDivisionError" in result.stderr


def test_starting_is_quick():
    """A loose bound, for a machine that does other work: torch alone takes longer."""
    began = time.monotonic()
    imports_after("--help")
    assert time.monotonic() - began < 5


def test_the_level_of_our_own_log_follows_the_command(done):
    done("models", "list")
    assert logging.getLogger("segmamba").level == logging.WARNING


def test_modules_are_at_hand_after_importing_the_package_alone():
    code = (
        "import sys, segmamba\nassert not {'torch', 'numpy', 'SimpleITK'} & set(sys.modules)\n"
        "assert callable(segmamba.images.read_image) and 'torch' not in sys.modules\n"
        "assert callable(segmamba.scan.selective_scan) and segmamba.networks.names() and segmamba.models.entries\n"
        "assert not hasattr(segmamba, 'nonsense')\n"
        "for name in segmamba.MODULES: assert getattr(segmamba, name).__name__ == f'segmamba.{name}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
