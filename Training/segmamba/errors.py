"""The exceptions that stand for what the user can mend: a mistake, and too little memory."""


class UserError(Exception):
    """A mistake in what the user gave: a file, an option, a data set or a model package.

    ``str(error)`` is one sentence that names the file, option or field and says what to do.  The command line
    prints it alone on standard error and ends with status 2; nothing else in the package is shown without a traceback.
    """


class OutOfMemory(UserError):
    """Nothing that could be tried fits into memory; the sentence says what may help."""
