"""What stands beside every table."""

import datetime
import os

from segmamba import __version__
from segmamba.benchmark import machine


def test_hardware_versions_date_and_command_are_told():
    facts = machine.describe("cpu", 2)
    assert facts["processor"] and facts["device"] == facts["processor"]
    assert 1 <= facts["cores"] <= os.cpu_count() and facts["threads"] == 2
    assert facts["segmamba"] == __version__ and facts["packages"]["torch"] and facts["command"]
    assert abs(datetime.datetime.now().astimezone() - datetime.datetime.fromisoformat(facts["date"])).seconds < 60
    text = "\n".join(machine.lines(facts))
    for word in (facts["processor"], facts["date"], f"torch {facts['packages']['torch']}", facts["command"]):
        assert word in text


def test_facts_that_a_system_does_not_tell_are_left_out():
    facts = {**machine.describe("cpu", 1), "memory_gb": None, "instruction_sets": [], "compiler": "", "revision": ""}
    text = "\n".join(machine.lines(facts))
    assert "None" not in text and "GB" not in text and "revision" not in text and "instruction sets: unknown" in text
