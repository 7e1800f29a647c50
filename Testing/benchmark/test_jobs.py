"""Measurements in processes of their own."""

import json
import subprocess
import sys

import pytest

from segmamba.benchmark.child import explain
from segmamba.benchmark.jobs import NotMeasured, _outcome, measure
from segmamba.errors import UserError


def child(**job) -> dict:
    job = {"threads": 1, "limit": None, **job}
    command = [sys.executable, "-m", "segmamba.benchmark.child"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_measurement_comes_back_as_plain_values():
    outcome = measure("scan_memory:errors", {"channels": 16, "length": 40, "device": "cpu"}, 1)
    assert outcome.problem == "" and 0 < outcome.values["output"] < 1e-6


def test_a_failing_measurement_gives_its_reason():
    outcome = measure("network_measures:count", {"networks": ["nonsense"]}, 1)
    assert outcome.values == {} and outcome.problem.startswith("failed: TypeError: ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's memory so")
def test_what_does_not_fit_ends_its_own_process_only():
    job = {"measure": "scan_memory:memory", "arguments": {"channels": 96, "length": 1 << 24, "device": "cpu"}}
    assert child(**job, limit=2 << 30) == {"problem": "did not fit into memory"}


def test_a_process_that_is_ended_from_outside_is_told_apart():
    killed = subprocess.CompletedProcess([], -9, "", "")
    assert _outcome(killed).problem == "did not fit into memory (the system ended the process)"
    crashed = subprocess.CompletedProcess([], -11, "no JSON", "\nSegmentation fault\n")
    assert _outcome(crashed).problem == "failed: the process ended with status -11: Segmentation fault"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "did not fit into memory",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "did not fit into memory"),
        (MemoryError(), "did not fit into memory"),
        (NotMeasured("no g++"), "no g++"),
        (UserError("network has no option 'x'"), "network has no option 'x'"),
        (ValueError("two\nlines"), "failed: ValueError: two lines"),
    ],
)
def test_reasons_are_one_line(error, text):
    assert explain(error) == text
