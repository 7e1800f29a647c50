"""The scan in plain C++, compiled on the spot: how fast a processor can be expected to be."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from segmamba.benchmark.jobs import NotMeasured
from segmamba.benchmark.scan_inputs import STATE

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "yardstick.cpp"
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fPIC", "-shared", "-pthread")
_CHUNK = 32


def compile_yardstick(folder: Path) -> Path:
    """Compiles it into ``folder``.

    Raises:
        NotMeasured: There is no compiler, no source, or the compiler refuses.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise NotMeasured("no g++")
    if not SOURCE.is_file():
        raise NotMeasured("the C++ yardstick is in the repository, not in an installed package")
    library = folder / "yardstick.so"
    done = subprocess.run([compiler, *FLAGS, "-o", str(library), str(SOURCE)], capture_output=True, text=True)
    if done.returncode and "-mprefer-vector-width" in done.stderr:  # a processor that is no x86
        flags = [flag for flag in FLAGS if not flag.startswith("-mprefer")]
        done = subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], capture_output=True, text=True)
    if done.returncode:
        raise NotMeasured(f"g++ does not compile the yardstick: {done.stderr.strip().splitlines()[0][:150]}")
    return library


class Yardstick:
    """The library, bound to one problem; its outputs are allocated once and used again by every call.

    Args:
        inputs: As ``scan_inputs.make_inputs`` gives them, channels adjacent, one sequence on the processor.
        library: Compiled before, by the same interface; compiled here if None.

    Raises:
        NotMeasured: It cannot be compiled.
    """

    def __init__(self, inputs: dict[str, Tensor], library: str | None = None):
        if library is None:
            with tempfile.TemporaryDirectory() as folder:
                # Loaded before the folder goes; a loaded library needs no file.
                self._library = ctypes.CDLL(str(compile_yardstick(Path(folder))))
        else:
            self._library = ctypes.CDLL(library)
        self._inputs = {name: inputs[name] for name in ("u", "delta", "z", "A", "B", "C", "D", "delta_bias")}
        batch, channels, length = inputs["u"].shape
        self._shape = (batch, channels, length)
        self.out = torch.empty(batch, length, channels)
        self.kept = torch.empty(batch, -(-length // _CHUNK), channels, STATE)
        self.gradients: dict[str, Tensor] = {}

    def forward(self, threads: int, keep: bool = False) -> None:
        """Fills ``out``, and with ``keep`` the states that the backward starts from."""
        pointers = [_pointer(tensor) for tensor in (*self._inputs.values(), self.out)]
        self._call("yardstick_forward", [*pointers, _pointer(self.kept) if keep else None], threads)

    def backward(self, dout: Tensor, threads: int) -> None:
        """Fills ``gradients`` (B's and C's by thread) from ``dout`` (batch, length, channels), after a kept forward."""
        batch, channels, length = self._shape
        if not self.gradients or self.gradients["B"].shape[0] != threads:
            tokens, shared = (batch, length, channels), (threads, batch, length, STATE)
            shapes = dict(u=tokens, delta=tokens, z=tokens, A=(channels, STATE), B=shared, C=shared, D=(channels,))
            shapes["delta_bias"] = (channels,)
            self.gradients = {name: torch.zeros(shape) for name, shape in shapes.items()}
        tensors = (*self._inputs.values(), self.kept, dout, *self.gradients.values())
        self._call("yardstick_backward", [_pointer(tensor) for tensor in tensors], threads)

    def _call(self, name: str, pointers: list, threads: int) -> None:
        function = getattr(self._library, name)
        function.argtypes = [ctypes.c_void_p] * len(pointers) + [ctypes.c_long] * 3 + [ctypes.c_int]
        if function(*pointers, *self._shape, threads):
            raise NotMeasured("the yardstick wants channels in sixteens and tokens in thirty-twos")


def _pointer(tensor: Tensor) -> int:
    return tensor.data_ptr()
