"""The one exception that stands for a mistake the user can mend."""


class UserError(Exception):
    """A mistake in what the user gave: a file, an option, a data set or a model package.

    ``str(error)`` is one sentence that names the file, option or field and says what to do.  The command line
    prints it alone on standard error and ends with status 2; nothing else in the package is shown without a traceback.
    """
