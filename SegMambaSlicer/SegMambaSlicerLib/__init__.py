"""The parts of the module SegMambaSlicer: parameters, logic, panel, jobs, nodes and packages."""
