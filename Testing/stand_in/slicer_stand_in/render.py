"""Pictures without a screen: slice and 3D views through MRML's real displayable managers, and a panel's picture."""

from __future__ import annotations

import ctypes.util
import os
import sys
from pathlib import Path
from typing import Any

from . import core

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


def available() -> bool:
    """Whether this machine can draw: on Linux without a screen, VTK needs libEGL with a driver (Mesa's will do)."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or ctypes.util.find_library("EGL"))


MISSING = "no library to draw with: libEGL.so.1 is missing (Debian: libegl1, libegl-mesa0, libgl1-mesa-dri)"


def slice_view(
    path: str | Path,
    background: Any,
    *,
    orientation: str = "Axial",
    at: tuple[float, float, float] | None = None,
    size: tuple[int, int] = (600, 600),
    width_mm: float | None = None,
) -> Path:
    """Writes a PNG of a slice through a volume, with the segmentations, models and markups that lie in it.

    Args:
        path: the PNG file.
        background: volume node.
        orientation: "Axial", "Sagittal" or "Coronal".
        at: RAS point in mm that the slice goes through; the volume's centre by default.
        size: width and height in pixels.
        width_mm: what is seen of it from left to right, around the volume's centre; all of it by default.
    """
    import slicer
    import vtk

    core.start()
    scene = slicer.mrmlScene
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(core.application_logic())
    logic.SetMRMLScene(scene)
    node = logic.AddSliceNode("StandInPicture")
    node.SetOrientation(orientation)
    node.SetDimensions(size[0], size[1], 1)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(background.GetID())
    node.SetMappedInLayout(1)
    logic.FitSliceToVolume(background, *size)
    if width_mm is not None:
        node.SetFieldOfView(width_mm, width_mm * size[1] / size[0], node.GetFieldOfView()[2])
    if at is None:
        bounds = [0.0] * 6
        background.GetRASBounds(bounds)
        at = tuple((bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3))
    node.JumpSliceByOffsetting(*at)
    logic.UpdatePipeline()
    window, renderer = _window(size)
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputConnection(logic.GetImageDataConnection())
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddActor2D(actor)
    group = _managers(renderer, slicer.vtkMRMLSliceViewDisplayableManagerFactory, _SLICE_MANAGERS, node)
    try:
        return _write(window, path)
    finally:
        _release(group, window)
        composite = logic.GetSliceCompositeNode()
        for one in (composite, node):
            scene.RemoveNode(one)


def three_d_view(
    path: str | Path,
    *,
    size: tuple[int, int] = (600, 600),
    direction: tuple[float, float, float] = (0.6, 1.0, 0.35),
    background: tuple[float, float, float] = (0.75, 0.76, 0.91),
    zoom: float = 1.0,
    around: tuple[float, float, float] | None = None,
) -> Path:
    """Writes a PNG of all that is visible in 3D: closed surfaces of segmentations, models, markups, slices.

    Args:
        path: the PNG file.
        size: width and height in pixels.
        direction: from where the camera looks, in RAS.
        background: colour.
        zoom: into the middle; 1: all that is visible is seen.
        around: RAS point in mm in the middle; that of all that is visible by default.
    """
    import slicer

    core.start()
    scene = slicer.mrmlScene
    view = slicer.vtkMRMLViewNode()
    view.SetLayoutName("StandInPicture")
    view.SetName("StandInPicture")
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    view.SetBackgroundColor(background)
    view.SetBackgroundColor2(background)
    view = scene.AddNode(view)
    window, renderer = _window(size)
    renderer.SetBackground(background)
    group = _managers(renderer, slicer.vtkMRMLThreeDViewDisplayableManagerFactory, _THREE_D_MANAGERS, view)
    try:
        camera = renderer.GetActiveCamera()
        renderer.ResetCamera()
        centre = camera.GetFocalPoint()
        camera.SetPosition(*(middle + step * 500 for middle, step in zip(centre, direction, strict=True)))
        camera.SetViewUp(0, 0, 1)
        renderer.ResetCamera()
        if around is not None:
            shift = [to - middle for to, middle in zip(around, camera.GetFocalPoint(), strict=True)]
            camera.SetPosition(*(at + by for at, by in zip(camera.GetPosition(), shift, strict=True)))
            camera.SetFocalPoint(*around)
        camera.Zoom(zoom)
        renderer.ResetCameraClippingRange()
        return _write(window, path)
    finally:
        _release(group, window)
        cameras = slicer.util.getNodesByClass("vtkMRMLCameraNode")
        for node in [*[one for one in cameras if one.GetLayoutName() == "StandInPicture"], view]:
            scene.RemoveNode(node)


def panel(path: str | Path, widget: Any, *, width: int = 420, height: int | None = None) -> Path:
    """Writes a PNG of a Qt widget.

    Args:
        path: the PNG file.
        widget: a QWidget, `slicer.util.getModuleWidget(name).parent` say.
        width: its width in pixels.
        height: its height; as high as its contents want by default.
    """
    import slicer

    widget.resize(width, height or 100)
    widget.show()
    slicer.app.processEvents()
    if height is None:
        widget.resize(width, max(widget.minimumSizeHint.height(), widget.sizeHint.height()))
    slicer.app.processEvents()
    path = Path(path)
    if not widget.grab().save(str(path)):
        raise OSError(f"cannot write {path}")
    widget.hide()
    return path


def _window(size: tuple[int, int]) -> tuple[Any, Any]:
    import vtk

    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(*size)
    window.SetMultiSamples(4)
    renderer = vtk.vtkRenderer()
    window.AddRenderer(renderer)
    interactor = vtk.vtkGenericRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    window._kept = interactor
    return window, renderer


def _managers(renderer: Any, factory_class: Any, names: tuple[str, ...], node: Any) -> Any:
    factory = factory_class.GetInstance()
    factory.SetMRMLApplicationLogic(core.application_logic())
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    return group


def _write(window: Any, path: str | Path) -> Path:
    import vtk

    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
    return Path(path)


def _release(group: Any, window: Any) -> None:
    """The managers let go of the scene before the window goes."""
    group.SetMRMLDisplayableNode(None)
    window.Finalize()
