"""A stand-in for the Slicer application: Slicer's own core libraries (slicer-core), and PySide6 in place of PythonQt.

It is for tests alone. What it proves and what it cannot is said in README.md beside this package.
"""
