"""The module of the PyTorch extension, as far as its installer goes: it calls pip itself, with no constraints."""

import subprocess
import sys

import slicer


class PyTorchUtilsLogic:
    def installTorch(
        self,
        askConfirmation=False,
        forceComputationBackend=None,
        torchVersionRequirement=None,
        torchvisionVersionRequirement=None,
    ):
        slicer.recorded["calls"].append(["installTorch", askConfirmation, torchVersionRequirement])
        command = [sys.executable, "-m", "pip", "install", "torch" + torchVersionRequirement]
        subprocess.run(command, check=True, stdout=sys.stderr)
        import torch

        return torch
