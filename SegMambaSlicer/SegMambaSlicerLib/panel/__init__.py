"""The parts of the panel, one file for each section that the user sees; they get the logic and the widgets given."""
