"""The worker's protocol: what is read, what is refused and how, and that every field is documented."""

import dataclasses
import json
import re

import pytest

from segmamba.serving import protocol
from segmamba.serving.protocol import Cancel, Output, Ping, Refused, Segment, Volume, Warm, parse

SEGMENT = {"id": "3", "do": "segment", "model": "m", "images": ["a.nii.gz"], "output": {"labels": "l.npy"}}
VOLUME = {"array": "v.npy", "origin": [1, 2, 3], "spacing": [1, 1, 2.5], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}


def line(**changes):
    return json.dumps({**SEGMENT, **changes}).encode()


def refusal(text):
    with pytest.raises(Refused) as caught:
        parse(text if isinstance(text, bytes) else text.encode())
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.id


def test_requests_are_read_with_their_defaults():
    assert parse(b'{"id": "1", "do": "ping"}') == Ping("1")
    assert parse(b'{"id": "1", "do": "cancel"}') == Cancel("1")
    assert parse(b'{"id": "1", "do": "warm", "model": null}') == Warm("1", None, "auto", "auto")
    assert parse(line()) == Segment("3", "m", ("a.nii.gz",), Output("l.npy"))
    whole = parse(
        line(
            images=["a", {**VOLUME, "name": "T1"}], roi=[[0, 1], [2, 3], [4, 5]], threads=2, overlap=0, tta=True,
            output={"labels": "l.nrrd", "regions": "r.npy", "uncertainty": None}, keep_model=False, window_batch=3,
        )
    )  # fmt: skip
    assert whole.images[1] == Volume("v.npy", (1, 2, 3), (1, 1, 2.5), (1, 0, 0, 0, 1, 0, 0, 0, 1), "T1")
    assert whole.roi == ((0, 1), (2, 3), (4, 5)) and whole.output == Output("l.nrrd", "r.npy")
    assert (whole.threads, whole.overlap, whole.tta, whole.keep_model, whole.window_batch) == (2, 0, True, False, 3)


def test_numbers_of_a_geometry_are_kept_to_the_bit():
    origin = [-118.70000000000002, 1 / 3, 1e-17]
    assert parse(line(images=[{**VOLUME, "origin": origin}])).images[0].origin == tuple(origin)


@pytest.mark.parametrize(
    ("text", "id", "problem"),
    [
        (b"", None, "no JSON"),
        (b"segment", None, "no JSON"),
        (b'{"id": "1", "do": "ping"', None, "no JSON"),
        (b'\xff\xfe{"id": "1"}', None, "no JSON"),
        (b"[" * 100000, None, "no JSON"),
        (b'["ping"]', None, r"\['ping'\]"),
        (b'{"do": "ping"}', None, "no id"),
        (b'{"id": 1, "do": "ping"}', None, "id is 1"),
        (b'{"id": "", "do": "ping"}', None, "id is ''"),
        (b'{"id": "1"}', "1", "do is None, expected ping, cancel, quit, warm, segment"),
        (b'{"id": "1", "do": "dance"}', "1", "'dance'"),
        (b'{"id": "1", "do": ["ping"]}', "1", "do is"),
        (b'{"id": "1", "do": "ping", "loud": true}', "1", "loud is not a known key"),
        (line(overlp=0.5), "3", "overlp is not a known key, known are .*overlap"),
        (line(output={"labels": "l.npy", "label": "x"}), "3", "output.label is not a known key"),
        (line(images=[{**VOLUME, "orgin": 1}]), "3", r"images\[0\].orgin is not a known key"),
        (b'{"id": "3", "do": "segment"}', "3", "model is missing; images is missing; output is missing"),
        (line(output={}), "3", "output.labels is missing"),
        (line(output="l.npy"), "3", "output is 'l.npy', expected an object"),
        (line(images="a.nii"), "3", "images is 'a.nii', expected a list"),
        (line(images=[]), "3", "images is"),
        (line(images=[3]), "3", r"images\[0\] is 3, expected the path of an image"),
        (line(images=["a\0b"]), "3", r"images\[0\]"),
        (line(model=""), "3", "model is ''"),
        (line(tta=1), "3", "tta is 1, expected true or false"),
        (line(overlap=1), "3", "overlap is 1, expected a number from 0"),
        (line(overlap=True), "3", "overlap is True"),
        (line(threads=0), "3", "threads is 0"),
        (line(window_batch=0), "3", "window_batch is 0"),
        (line(roi=[[0, 1], [2, 3]]), "3", "roi is"),
        (line(roi=[[0, 1], [2, 3], [4, 5.5]]), "3", "roi is"),
        (line(images=[{**VOLUME, "spacing": [1, 0, 1]}]), "3", r"images\[0\].spacing is .*expected 3 numbers"),
        (line(images=[{**VOLUME, "direction": [1, 0, 0]}]), "3", "expected 9 numbers"),
        (line(images=[{**VOLUME, "origin": [0, 0, float("nan")]}]), None, "NaN"),
        (line(images=[{**VOLUME, "origin": [0, 0, 10**400]}]), "3", "too large"),
        (line(overlap=10**400), "3", "too large"),
        (line(device=None), "3", "device is None"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_in_one_line_with_the_field_named(text, id, problem):
    message, found = refusal(text)
    assert re.search(problem, message), message
    assert found == id


def test_everything_wrong_is_said_at_once():
    message, _ = refusal(line(overlap=2, threads=-1, colour="red"))
    assert all(name in message for name in ("overlap", "threads", "colour"))


def test_every_field_is_documented():
    for name, kind in vars(protocol).items():
        if dataclasses.is_dataclass(kind):
            for field in dataclasses.fields(kind):
                assert field.name == "id" or re.search(rf"\b{field.name}\b", kind.__doc__), f"{name}.{field.name}"
    for word in ("fraction", "eta_s", "message", "level", "kind", "traceback"):
        assert f"``{word}``" in protocol.__doc__
