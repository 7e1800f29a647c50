"""PySide6 dressed as PythonQt: properties are values, setters remain, signals connect by signature."""

import pytest


def test_properties_are_values_and_setters_remain(application):
    import qt

    line = qt.QLineEdit("one")
    assert line.text == "one"
    line.setText("two")
    assert line.text == "two"
    line.text = "three"
    assert line.text == "three" and line.enabled is True
    box = qt.QSpinBox()
    box.setRange(0, 5)
    box.value = 4
    assert (box.value, box.maximum) == (4, 5)
    combo = qt.QComboBox()
    combo.addItem("a")
    combo.addItem("b")
    combo.currentIndex = 1
    assert (combo.currentText, combo.count, combo.currentIndex) == ("b", 2, 1)
    button = qt.QPushButton("press")
    button.checkable = True
    button.toolTip = "why"
    button.name = "pressMe"
    assert (button.checked, button.toolTip, button.objectName) == (False, "why", "pressMe")
    assert button.className() == "QPushButton"
    table = qt.QTableWidget(2, 3)
    assert (table.rowCount, table.columnCount) == (2, 3)
    assert qt.QWidget().visible is False
    assert button.sizeHint.width() > 0 and qt.QWidget().sizeHint.width() == -1


def test_a_read_only_property_refuses_a_value(application):
    import qt

    with pytest.raises(AttributeError, match="read-only"):
        qt.QComboBox().count = 3


def test_signals_connect_by_signature_and_disconnect(application):
    import qt

    button = qt.QPushButton()
    button.setCheckable(True)
    heard = []

    def toggled(on):
        heard.append(on)

    button.connect("toggled(bool)", toggled)
    button.connect("clicked()", lambda: heard.append("clicked"))
    button.click()
    assert heard == [True, "clicked"]
    assert button.disconnect("toggled(bool)", toggled)
    assert not button.disconnect("toggled(bool)", toggled)
    button.click()
    assert heard == [True, "clicked", "clicked"]


def test_a_signal_that_a_class_has_not_is_an_error(application):
    import qt

    with pytest.raises(AttributeError, match="has no signal"):
        qt.QPushButton().connect("pushed()", print)
    with pytest.raises(AttributeError, match="no signature"):
        qt.QPushButton().connect("clicked", print)


def test_a_process_runs_with_its_output(application):
    import sys

    import qt

    process = qt.QProcess()
    process.start(sys.executable, ["-c", "print('hello')"])
    assert process.waitForFinished(20000)
    assert process.state() == qt.QProcess.NotRunning
    assert bytes(process.readAllStandardOutput()).decode().strip() == "hello"


def test_settings_are_not_the_users(application):
    import qt

    qt.QSettings().setValue("a/b", "c")
    assert "slicer-stand-in" in qt.QSettings().fileName()
    import slicer

    assert slicer.app.userSettings().value("a/b") == "c"
