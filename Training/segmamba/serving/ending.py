"""How the worker ends: at once, from whichever thread, with nothing half-written left behind."""

from __future__ import annotations

import os
import signal
import socket
import threading

from segmamba.atomic import discard_open


def end(status: int = 0) -> None:
    """Ends the process now, without waiting for what its threads compute."""
    # Leaving by exceptions would wait for the end of a call into a library, which may take seconds.
    discard_open()
    os._exit(status)


def end_on_signals() -> None:
    """Ends the process, quietly, on an interrupt or a request to terminate; with 128 and the signal's number."""
    # Python runs handlers in the main thread, between two steps of Python; its wake-up descriptor is written to at
    # once, from within the C library's handler, so that a thread can act while the main one computes.
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def wait(sender: socket.socket = sender) -> None:  # holds the sender, too: it must stay open
        end(128 + receiver.recv(1)[0])

    threading.Thread(target=wait, name="signals", daemon=True).start()
