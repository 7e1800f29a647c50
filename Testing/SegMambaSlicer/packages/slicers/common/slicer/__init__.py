"""What of Slicer 5.10 the packages need: it records what it is asked, and calls pip for real."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)  # slicer.packaging stands in another folder

recorded = {"questions": [], "calls": [], "restarts": 0, "progress": [], "dialogs": []}
answer = True


class _Application:
    slicerHome = "nowhere"
    testing = False

    def testingEnabled(self):
        return self.testing

    def processEvents(self):
        pass


app = _Application()

from slicer import util  # noqa: E402, F401
