"""Libraries' errors as reasons that fit into a line."""

_LENGTH = 200


def first_line(error: BaseException) -> str:
    """What an error says first, without the end of its sentence; its kind where it says nothing.

    Errors from compiled code go on for pages: stack traces, every argument printed.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0].rstrip(".:") if lines else type(error).__name__
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."
