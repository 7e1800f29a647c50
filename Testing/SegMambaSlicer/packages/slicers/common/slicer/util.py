"""Functions of slicer.util, with the parameters that they have in Slicer 5.10."""

import subprocess
import sys

import slicer


def confirmOkCancelDisplay(text, windowTitle=None, parent=None, **kwargs):
    slicer.recorded["questions"].append(text)
    return slicer.answer


def confirmYesNoDisplay(text, windowTitle=None, parent=None, **kwargs):
    slicer.recorded["questions"].append(text)
    return slicer.answer


def createProgressDialog(parent=None, value=0, maximum=100, labelText="", windowTitle="Processing...", **kwargs):
    slicer.recorded["progress"].append(labelText)

    class Dialog:
        buttons, modality = ["Cancel"], None

        def setWindowModality(self, modality):
            self.modality = modality

        def setCancelButton(self, button):
            self.buttons = [button] if button else []

        def show(self):
            slicer.recorded["dialogs"].append([self.modality, self.buttons])

        def close(self):
            slicer.recorded["progress"].append("closed")

        def deleteLater(self):
            pass

    return Dialog()


def restart():
    slicer.recorded["restarts"] += 1


def executePythonModule(module, args, blocking=True, logCallback=None, completedCallback=None):
    subprocess.run([sys.executable, "-m", module, *args], check=True, stdout=sys.stderr)


def pip_install(requirements):
    slicer.recorded["calls"].append(["util.pip_install", requirements[0]])
    executePythonModule("pip", ["install", *requirements])
