"""Lines are put together from pieces of bytes, whatever is in them."""

import random

import pytest


@pytest.fixture
def lines(application):
    from SegMambaSlicerLib.jobs import lines

    return lines


def test_lines_are_the_same_however_the_bytes_are_cut(lines):
    text = "first\nzweite Zeile mit ä\r\n\n   \n日本\nlast"
    data = text.encode()
    expected = ["first", "zweite Zeile mit ä", "日本", "last"]
    for seed in range(50):
        reader, got, place = lines.LineReader(), [], 0
        chooser = random.Random(seed)
        while place < len(data):
            step = chooser.randint(1, 7)
            got += reader.feed(data[place : place + step])
            place += step
        assert got + list(reader.end()) == expected


def test_a_carriage_return_ends_a_line_only_where_asked(lines):
    assert list(lines.LineReader(returns=True).feed(b"10%\r20%\r\n")) == ["10%", "20%"]
    assert list(lines.LineReader().feed(b"10%\r20%\r\n")) == ["10%\r20%"]


def test_a_line_beyond_the_limit_is_left_out_and_the_next_is_whole(lines):
    reader = lines.LineReader(limit=10)
    assert list(reader.feed(b"12345")) == []
    assert list(reader.feed(b"678901\nnext\n1234567890\n")) == [
        "(a line of 11 bytes was left out)",
        "next",
        "1234567890",
    ]


def test_bytes_come_out_of_every_kind_of_byte_array(lines):
    import qt

    class Wrapped:
        def __init__(self, value):
            self.value = value

        def data(self):
            return self.value

    assert lines.from_qt(qt.QByteArray(b"a\0b")) == b"a\0b"
    assert lines.from_qt(b"ab") == b"ab"
    assert lines.from_qt(Wrapped(None)) == b""
    assert lines.from_qt(Wrapped("ä")) == "ä".encode()
    assert lines.from_qt(Wrapped(bytearray(b"ab"))) == b"ab"
