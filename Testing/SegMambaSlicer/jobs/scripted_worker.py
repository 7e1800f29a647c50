"""A worker process that does what the request tells it to: crash, hang, ignore, babble.  Python's library alone.

A `segment` request carries `script`, a list of steps, done in order on a thread of their own:

    ["progress", fraction]      a progress event
    ["work", seconds]           time passes; a cancel is heeded
    ["deaf", seconds]           time passes; a cancel is not heeded, pings are answered
    ["hang"]                    nothing is answered any more, for ever
    ["out", base64]             these bytes on standard output
    ["err", text]               this text on standard error
    ["exit", code]              the process ends with this exit code
    ["abort"]                   the process is ended as by a fault
    ["failed", kind, message]   the job fails
    ["write", file]             a file is written
    ["done", fields]            the job is done; these fields are in the answer

A job whose script does not end it is done.  The first argument chooses a process that goes wrong as a whole:
`silent` never answers, `stillborn` ends at once with a message, `launcher` starts the worker as its own child and
ends, where that has crashed, as Slicer's launcher does: with a failure and a line about it.
"""

import base64
import json
import os
import subprocess
import sys
import threading
import time

lock = threading.Lock()
jobs, cancelled = {}, set()
arrived = threading.Condition()
queue = []


def say(**message):
    data = json.dumps(message).encode() + b"\n"
    with lock:
        os.write(1, data)


def run(number, script):
    for step, *values in script:
        if step == "progress":
            say(id=number, event="progress", fraction=values[0], eta_s=None, message="Segmenting")
        elif step == "work":
            end = time.monotonic() + values[0]
            while time.monotonic() < end and number not in cancelled:
                time.sleep(0.02)
        elif step == "deaf":
            time.sleep(values[0])
            continue
        elif step == "hang":
            lock.acquire()
            time.sleep(1e6)
        elif step == "out":
            with lock:
                data = base64.b64decode(values[0])
                while data:
                    data = data[os.write(1, data) :]
        elif step == "err":
            os.write(2, values[0].encode())
        elif step == "exit":
            os._exit(values[0])
        elif step == "abort":
            os.abort()
        elif step == "failed":
            say(id=number, event="failed", kind=values[0], message=values[1], traceback="Traceback: here")
            return
        elif step == "write":
            with open(values[0], "w") as file:
                file.write("voxels")
        elif step == "done":
            say(id=number, event="done", **values[0])
            return
        if number in cancelled:
            say(id=number, event="failed", kind="cancelled", message="Cancelled.")
            return
    say(id=number, event="done", labels=None, pid=os.getpid())


def work():
    while True:
        with arrived:
            arrived.wait_for(lambda: queue)
            message = queue.pop(0)
        if message["do"] == "warm":
            devices = [{"name": "cpu", "title": "Processor"}]
            say(id=message["id"], event="done", model=message.get("model"), devices=devices)
        else:
            run(message["id"], message.get("script", []))


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "stillborn":
        os.write(2, b"ModuleNotFoundError: No module named 'segmamba'\n")
        sys.exit(1)
    if mode == "silent":
        time.sleep(1e6)
    if mode == "launcher":
        code = subprocess.call([sys.executable, __file__])
        if code < 0:
            os.write(2, b"error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem.\n")
        sys.exit(1 if code < 0 else code)
    threading.Thread(target=work, daemon=True).start()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["do"] == "ping":
            about = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONIOENCODING", "PYTHONNOUSERSITE")}
            say(id=message["id"], event="done", pid=os.getpid(), version="0", folder=os.getcwd(), environment=about)
        elif message["do"] == "cancel":
            cancelled.add(message["id"])
        elif message["do"] == "quit":
            break
        else:
            with arrived:
                queue.append(message)
                arrived.notify()
    os._exit(0)  # the parent is gone


if __name__ == "__main__":
    main()
