"""The line to the parent: libraries cannot write on it, nor take from it."""

import json
import subprocess
import sys

import pytest

SCRIPT = r"""
import ctypes, os, subprocess, sys
from segmamba.serving.channel import Channel
channel = Channel(lost=lambda: os._exit(7))
channel.send(None, "log", level="INFO", message="L\u00e4sion \udc80")
print("python")
os.write(1, b"descriptor\n")
subprocess.run([sys.executable, "-c", "import sys; print('child', repr(sys.stdin.read()))"])
if sys.platform != "win32":
    libc = ctypes.CDLL(None)
    libc.puts(b"library")
    libc.fflush(None)
for line in channel.lines():
    channel.send("x", "line", length=None if line is None else len(line))
"""


def test_what_libraries_and_children_print_goes_to_standard_error():
    lines = b"first\n\n  \n" + b"y" * (1 << 21) + b"\nthird\r\nlast"
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=lines, capture_output=True, timeout=60)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0] == {"id": None, "event": "log", "level": "INFO", "message": "L\u00e4sion \udc80"}
    assert [event["length"] for event in events[1:]] == [5, None, 5, 4]
    for text in (b"python", b"descriptor", b"child ''"):
        assert text in done.stderr and text not in done.stdout
    if sys.platform != "win32":
        assert b"library" in done.stderr and b"library" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows are not closed this way")
def test_a_parent_that_no_longer_reads_is_noticed():
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(b"line\n")
    process.stdin.flush()
    assert process.wait(timeout=30) == 7
    process.stdin.close()
