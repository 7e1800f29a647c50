"""The check of names finds what a class has not, and is silent about what it has."""

import textwrap

import pytest

GOOD = """
    import qt
    import slicer
    import vtk

    class Panel:
        def __init__(self, ui):
            self.ui = ui
            self.button = qt.QPushButton("a")
            self.button.setText("b")
            self.button.text = self.button.text + "c"
            self.button.connect("clicked(bool)", self.pressed)
            self.ui.edit.setText("x")
            self.ui.section.collapsed = False
            self.ui.slider.setValue(1.0)
            self.process = qt.QProcess()
            if self.process.state() == qt.QProcess.NotRunning:
                self.process.start("python", [])

        def pressed(self):
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
            node.GetSegmentation().GetNumberOfSegments()
            volume = self.something
            volume.GetImageData()
            slicer.util.arrayFromVolume(volume)
            slicer.app.processEvents()
            matrix = vtk.vtkMatrix4x4()
            matrix.SetElement(0, 0, 1)
"""

UI = """<ui version="4.0"><widget class="QWidget" name="root">
<widget class="QLineEdit" name="edit"><property name="{}"><string>a</string></property></widget>
<widget class="ctkCollapsibleButton" name="section"/><widget class="ctkSliderWidget" name="slider"/>
<widget class="qMRMLNodeComboBox" name="nodes"/></widget></ui>"""


@pytest.fixture
def check(application, tmp_path):
    from slicer_stand_in import names

    def run(line, ui_property="text"):
        (tmp_path / "panel.ui").write_text(UI.format(ui_property))
        text = textwrap.dedent(GOOD) + "\n        " + line + "\n"
        (tmp_path / "panel.py").write_text(text)
        return [problem.split(": ", 1)[1] for problem in names.check_folder(tmp_path)]

    return run


def test_what_exists_is_not_reported(check):
    assert check("pass") == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("self.button.setCaption('x')", "QPushButton has no 'setCaption'"),
        ("self.button.text()", "QPushButton.text is a property in PythonQt"),
        ("self.button.hurry = 1", "QPushButton has no 'hurry'"),
        ("self.button.setText = 1", "'setText' is no property of QPushButton"),
        ("self.button.connect('pushed()', print)", "QPushButton has no signal pushed()"),
        ("self.ui.edit.setValue(1)", "QLineEdit has no 'setValue'"),
        ("self.ui.section.setCollapsed(False)", "ctkCollapsibleButton has no 'setCollapsed'"),
        ("self.ui.slider.setMaximum(1)", "ctkSliderWidget has no 'setMaximum'"),
        ("self.ui.nodes.setNodeTypes([])", "qMRMLNodeComboBox has no 'setNodeTypes'"),
        ("qt.QPushBotton()", "qt has no 'QPushBotton'"),
        ("qt.QLabel('a', parent=None)", "PythonQt takes no keyword arguments"),
        ("qt.QProcess.ProcessState.NotRunning", "write the enumeration's value without its type"),
        ("node.GetSegmentation().GetSegmentCount()", "vtkSegmentation has no 'GetSegmentCount'"),
        ("node.SetReferenceImage(None)", "vtkMRMLSegmentationNode has no 'SetReferenceImage'"),
        ("volume.GetImageDatum()", "nothing of ours has 'GetImageDatum'"),
        ("volume.setSomethingOdd()", "nothing of ours has 'setSomethingOdd'"),
        ("slicer.util.arrayOfVolume(volume)", "slicer.util has no 'arrayOfVolume'"),
        ("slicer.mrmlScene.AddNodeOfClass('x')", "vtkMRMLScene has no 'AddNodeOfClass'"),
        ("slicer.app.set_testing(True)", "Application has no 'set_testing'"),
        ("matrix.SetElements(0)", "vtkMatrix4x4 has no 'SetElements'"),
    ],
)
def test_what_does_not_exist_is_reported(check, line, sentence):
    problems = check(line)
    assert len(problems) == 1 and sentence in problems[0], problems


def test_a_name_may_be_two_things_in_two_functions(check):
    assert check("pass\n\n    def other(self):\n        node = qt.QLabel('a')\n        node.setText('b')") == []
    problems = check("pass\n\n    def other(self, node: qt.QLabel):\n        node.GetSegmentation()")
    assert problems == ["QLabel has no 'GetSegmentation'"]


def test_properties_in_ui_files_are_checked(check):
    assert check("pass", "caption") == ["QLineEdit edit has no property 'caption'"]
