"""Translation into the language of the text itself."""


def tr(text):
    return text
