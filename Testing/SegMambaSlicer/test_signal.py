"""The signal calls its listeners in order, whatever they do."""

from SegMambaSlicerLib.signal import Signal


def test_calls_listeners_in_the_order_of_their_connection_each_once():
    signal, calls = Signal(), []
    first, second = calls.append, lambda value: calls.append(-value)
    signal.connect(first)
    signal.connect(second)
    signal.connect(first)
    signal.emit(3)
    assert calls == [3, -3]


def test_a_listener_that_fails_is_logged_and_the_others_are_called(caplog):
    signal, calls = Signal(), []

    def fail(value):
        raise ZeroDivisionError(value)

    signal.connect(fail)
    signal.connect(calls.append)
    signal.emit(1)
    assert calls == [1]
    assert "ZeroDivisionError" in caplog.text and "fail" in caplog.text


def test_a_listener_can_disconnect_itself_and_others_while_it_is_called():
    signal, calls = Signal(), []

    def once(value):
        calls.append(value)
        signal.disconnect(once)
        signal.disconnect(other)

    def other(value):
        calls.append("other")

    signal.connect(once)
    signal.connect(other)
    signal.disconnect(print)
    signal.emit(1)
    signal.emit(2)
    assert calls == [1]
