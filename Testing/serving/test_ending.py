"""How the worker's process ends, and what it leaves behind."""

import signal
import subprocess
import sys
import time

import pytest

COMPUTING = """
import sys, time
from segmamba.atomic import replacing
from segmamba.serving.ending import end, end_on_signals
end_on_signals()
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    {work}
"""


def start(tmp_path, work):
    script = COMPUTING.format(work=work)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "result.npy")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_ending_leaves_nothing_half_written(tmp_path):
    process = start(tmp_path, "end(5)")
    assert process.communicate(timeout=30) == (b"ready\n", b"")
    assert process.returncode == 5 and not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_call_into_a_library_at_once_and_quietly(tmp_path, number):
    # One call that stays in C for minutes, without the interpreter's lock, as kernels do: a handler of Python's would
    # not run before it is over.
    process = start(tmp_path, "__import__('hashlib').pbkdf2_hmac('sha256', b'word', b'salt', 10**9)")
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(number)
    try:
        assert process.communicate(timeout=20) == (b"", b"")
    finally:
        process.kill()
    assert process.returncode == 128 + number and time.monotonic() - began < 2
    assert not list(tmp_path.iterdir())
