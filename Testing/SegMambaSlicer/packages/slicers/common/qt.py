"""The settings of the user, kept as long as the process runs, and a name of a constant."""


class QSettings:
    _values = {}  # noqa: RUF012

    def value(self, key):
        return self._values.get(key)

    def setValue(self, key, value):
        self._values[key] = value


class Qt:
    ApplicationModal = "application modal"
