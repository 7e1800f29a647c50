"""What the user has set in the panel: a typed parameter node that is saved with the scene."""

from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

__all__ = ["MAX_CHANNELS", "SegMambaParameters", "input_name"]

#: Input selectors in the panel.  Models in use have one to five channels; the console takes any number.
MAX_CHANNELS = 8


def input_name(channel: int) -> str:
    """Name of the parameter that holds the volume of a channel, counted from 0."""
    return f"input{channel + 1}"


@parameterNodeWrapper
class SegMambaParameters:
    """One field for each thing that can be changed in the panel; the names stand in the .ui as SlicerParameterName.

    Attributes:
        model: name in the catalogue, or path of a package; empty: none chosen.
        modelSearch: words that narrow the list of models.
        input1, input2, ...: the volumes of the model's channels, in its order.
        cases: what is segmented, see ``cases.py``; empty: the volumes above.
        output: the segmentation that takes the result; none: a new one.
        roi: the part of the first volume that is segmented; none: all of it.
        probabilities, uncertainty: whether these volumes are made, too.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        overlap: of neighbouring windows.
        mirroring: average over mirrored copies.
        threads: of the processor; 0: all of them.
        keepModel: keep the model in memory for the next click.
    """

    model: str = ""
    modelSearch: str = ""
    input1: vtkMRMLScalarVolumeNode
    input2: vtkMRMLScalarVolumeNode
    input3: vtkMRMLScalarVolumeNode
    input4: vtkMRMLScalarVolumeNode
    input5: vtkMRMLScalarVolumeNode
    input6: vtkMRMLScalarVolumeNode
    input7: vtkMRMLScalarVolumeNode
    input8: vtkMRMLScalarVolumeNode
    cases: str = ""
    output: vtkMRMLSegmentationNode
    roi: vtkMRMLMarkupsROINode
    probabilities: bool = False
    uncertainty: bool = False
    device: str = "auto"
    precision: str = "auto"
    overlap: Annotated[float, WithinRange(0.0, 0.9)] = 0.5
    mirroring: bool = False
    threads: Annotated[int, WithinRange(0, 256)] = 0
    keepModel: bool = True
