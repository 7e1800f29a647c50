"""Renders the README's pictures of the extension: ``python Testing/pictures.py -o Resources/Screenshots``.

The phantom of Sample Data is segmented by a click on the panel, on Slicer's core libraries with a stand-in for the
application. It needs what the extension's tests need, see Testing/stand_in/README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Testing" / "stand_in"))

from slicer_stand_in import qt, render  # noqa: E402
from slicer_stand_in.user import User, at_panel  # noqa: E402

NAMES = ("panel-idle.png", "panel-running.png", "panel-done.png", "slices.png", "view-3d.png")
#: The contrast agent shows the tumour's rim.
SHOWN = 1
#: Names, and the colours that Slicer gives its views.
VIEWS = (("Axial", "#f34a33"), ("Sagittal", "#edd54c"), ("Coronal", "#6eb04b"))
SIZE, BAR = 400, 22
WIDTH_MM = 156.0
#: Voxels below are air, or half of it.
AIR = 20
NIGHT = (0.07, 0.09, 0.13)
#: Of the segments in their order, from the outer one to the inner one: all are to be seen.
OPACITIES = (0.35, 0.25, 1.0)


def main() -> int:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("-o", "--output", default=".", metavar="FOLDER", help="default: here")
    parser.add_argument("--quick", action="store_true", help="a small phantom: only shows that everything works")
    parser.add_argument("--slicer-source", metavar="FOLDER", help="a checkout of Slicer's sources: its Python files")
    options = parser.parse_args()
    for available, missing in ((qt.available(), qt.MISSING), (render.available(), render.MISSING)):
        if not available:
            parser.error(missing)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    with at_panel(options.slicer_source) as user:
        volumes = user.load_small_phantom() if options.quick else user.load_phantom()
        pictures_of_panel(user, folder, in_the_middle=not options.quick)
        volume, segmentation = volumes[SHOWN], user.parameters.output
        picture_of_slices(folder / NAMES[3], volume, segmentation)
        user.press("show3DButton")
        picture_in_3d(folder / NAMES[4], volume, segmentation)
    for name in NAMES:
        sys.stdout.write(f"{folder / name}\n")
    return 0


def pictures_of_panel(user: User, folder: Path, in_the_middle: bool) -> None:
    """The panel before, while and after the phantom is segmented."""
    panel = user.module.widget.parent
    user.choose_model()
    user.wait(lambda: bool(user.logic.segmenting.devices))  # the worker is warm
    render.panel(folder / NAMES[0], panel)
    user.press()
    middle = user.ui.progressBar.maximum * (0.45 if in_the_middle else 0)
    user.wait(lambda: user.ui.progressBar.value > middle or not user.busy)
    if in_the_middle and not user.busy:
        raise RuntimeError("the phantom was segmented before a picture could be taken")
    render.panel(folder / NAMES[1], panel)
    user.wait()
    if user.parameters.output is None:
        raise RuntimeError(f"{user.status}\n{user.log}")
    render.panel(folder / NAMES[2], panel)


def picture_of_slices(path: Path, volume: Any, segmentation: Any) -> None:
    """Axial, sagittal and coronal slices through the middle of the first segment, beside each other."""
    import qt

    at = [(low + high) / 2 for low, high in bounds(segmentation)]
    picture = qt.QImage(3 * SIZE + 2, BAR + SIZE, qt.QImage.Format_RGB32)
    picture.fill(qt.QColor("black"))
    painter = qt.QPainter(picture)
    font = painter.font()
    font.setPixelSize(13)
    painter.setFont(font)
    for number, (name, colour) in enumerate(VIEWS):
        left = number * (SIZE + 1)
        render.slice_view(path, volume, orientation=name, at=at, size=(SIZE, SIZE), width_mm=WIDTH_MM)
        painter.drawImage(left, BAR, qt.QImage(str(path)))
        painter.fillRect(left, 0, SIZE, BAR, qt.QColor(colour))
        painter.setPen(qt.QColor("black"))
        painter.drawText(qt.QRect(left + 8, 0, SIZE - 8, BAR), qt.Qt.AlignVCenter | qt.Qt.AlignLeft, name)
    painter.setPen(qt.QColor("white"))
    contents = segmentation.GetSegmentation()
    for number in range(contents.GetNumberOfSegments()):
        segment, top = contents.GetNthSegment(number), BAR + 12 + 20 * number
        painter.fillRect(12, top + 2, 12, 12, qt.QColor.fromRgbF(*segment.GetColor()))
        painter.drawText(qt.QRect(30, top, 100, 16), qt.Qt.AlignVCenter | qt.Qt.AlignLeft, segment.GetName())
    painter.end()
    if not picture.save(str(path)):
        raise OSError(f"cannot write {path}")


def picture_in_3d(path: Path, volume: Any, segmentation: Any) -> None:
    """The segments' surfaces before three slices of the volume, which lie behind them."""
    import slicer

    display = segmentation.GetDisplayNode()
    for segment, opacity in zip(segmentation.GetSegmentation().GetSegmentIDs(), OPACITIES, strict=True):
        display.SetSegmentOpacity3D(segment, opacity)
        # In the slices the surfaces stand for them.
        display.SetSegmentVisibility2DFill(segment, False)
    # Air is not shown, so that the slices have the shape of the head.
    volume.GetDisplayNode().SetApplyThreshold(True)
    volume.GetDisplayNode().SetLowerThreshold(AIR)
    extent = bounds(segmentation)
    # Seen from the right, the front and above.
    corner = [low for low, _ in extent]
    layout = slicer.app.layoutManager()
    for name in layout.sliceViewNames():
        logic = layout.sliceWidget(name).sliceLogic()
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        node = logic.GetSliceNode()
        node.SetDimensions(2 * SIZE, 2 * SIZE, 1)
        logic.FitSliceToVolume(volume, 2 * SIZE, 2 * SIZE)
        node.JumpSliceByOffsetting(*corner)
        node.SetSliceVisible(True)
        logic.UpdatePipeline()
    edges = [0.0] * 6
    volume.GetRASBounds(edges)
    # Between the head's middle and the tumour.
    around = [0.35 * corner[n] + 0.65 * (edges[2 * n] + edges[2 * n + 1]) / 2 for n in range(3)]
    render.three_d_view(path, size=(600, 480), direction=(1.0, 0.9, 0.8), background=NIGHT, zoom=2.05, around=around)


def bounds(segmentation: Any) -> list[tuple[float, float]]:
    """Least and greatest R, A, S in mm of the largest connected part of the first segment."""
    import numpy as np
    import slicer
    import vtk
    from scipy import ndimage

    reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    first = segmentation.GetSegmentation().GetNthSegmentID(0)
    parts, count = ndimage.label(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, first, reference) > 0)
    if not count:
        raise RuntimeError("nothing was found in the phantom")
    voxels = np.argwhere(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))[:, ::-1]
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    corners = [matrix.MultiplyPoint((*corner, 1.0))[:3] for corner in (voxels.min(axis=0), voxels.max(axis=0))]
    return [(min(pair), max(pair)) for pair in zip(*corners, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
