"""Memory that does not suffice: smaller batches, the processor, a sentence; and a model that stays right.

There is no graphics card where these tests run.  torch.OutOfMemoryError is what torch raises there, so a real one is
raised from a hook on a real network, at the place where a card's would come from: the call of the network.  What stands
for the card is ``cpu:0``, which is the processor by another name: work on it can be done for real, and moving the
network to it and away again, too.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from segmamba import networks
from segmamba.errors import OutOfMemory, UserError
from segmamba.inference import case
from segmamba.inference.case import segment_case
from segmamba.inference.course import Course
from segmamba.inference.memory_ladder import CPU, Rung, descend, host_memory_full, memory_full, rungs
from segmamba.inference.segmenter import Segmenter

sys.path.insert(0, str(Path(__file__).parent))
from small import blob, image, metadata

CARD = torch.device("cpu", 0)
META = metadata(("one", "two"), kind="zscore", patch=(16, 16, 16))


@pytest.fixture
def picture():
    return image(blob((20, 18, 22)), (1, 1.5, 2))


def segmenter(batch=4):
    torch.manual_seed(0)
    network = networks.build("lightmunet", 1, META.output_channels, init_filters=8, blocks_down=[1, 1], blocks_up=[1])
    made = Segmenter.from_network(network, META, device="cpu", window_batch=batch)
    made.device = CARD
    return made


def limit(made, fits):
    """Raises what torch raises where a batch does not fit; returns the list of the batches that were tried."""
    tried = []

    def hook(module, inputs):
        tried.append(len(inputs[0]))
        if not fits(len(inputs[0]), len(tried)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 1 GiB.")

    made.network.register_forward_pre_hook(hook)
    return tried


def voxels(result):
    return sitk.GetArrayFromImage(result.labels)


def test_half_the_batch_and_half_of_that_is_tried_and_gives_the_same_mask(picture, caplog):
    expected = segmenter(1)(picture)
    made = segmenter(4)
    tried = limit(made, lambda batch, call: batch == 1)
    with caplog.at_level(logging.INFO, "segmamba"):
        result = made(picture)
    assert tried == [4, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert np.array_equal(voxels(result), voxels(expected))
    assert (result.window_batch, result.device, result.windows, result.warnings) == (1, "cpu:0", 8, [])
    assert "trying 2 windows" in caplog.text and "trying one window" in caplog.text


def test_the_processor_is_the_last_resort_and_is_a_warning(picture, caplog):
    expected = segmenter(1)(picture)
    made = segmenter(2)
    tried = limit(made, lambda batch, call: call > 2)  # the batch of two, then of one: the next call is the processor's
    told = []
    result = made(picture, progress=lambda *values: told.append(values))
    assert tried[:3] == [2, 1, 1] and len(tried) == 2 + 8
    assert np.array_equal(voxels(result), voxels(expected))
    assert (result.device, result.precision, result.window_batch, result.windows) == ("cpu", "fp32", 1, 8)
    (warning,) = result.warnings
    assert "computed on the processor" in warning and "not enough memory" in warning
    assert "computing on the processor" in caplog.text
    # The bar begins anew, says why, and reaches the end.
    fractions = [fraction for fraction, _ in told]
    again = max(n for n, (_, message) in enumerate(told) if "not enough memory" in message)
    assert fractions[again] == min(fractions[again:]) and fractions[again:] == sorted(fractions[again:])
    assert told[-1] == (1.0, "done")


def test_a_result_begun_on_the_card_leaves_no_trace_in_the_one_of_the_processor(picture):
    """Memory can run out in the middle: planes that were finished before are computed again, not added to."""
    options = {"probabilities": True, "uncertainty": True}
    expected = segmenter(1)(picture, **options)
    made = segmenter(1)
    limit(made, lambda batch, call: call != 6)
    result = made(picture, **options)
    assert result.device == "cpu" and result.windows == 8
    assert np.array_equal(result.probabilities, expected.probabilities)
    assert np.array_equal(voxels(result), voxels(expected))


def test_the_next_case_tries_the_device_again(picture):
    made = segmenter(1)
    limit(made, lambda batch, call: call > 1)
    moves = []
    to = made.network.to
    made.network.to = lambda device, **more: moves.append(str(device)) or to(device, **more)
    assert made(picture).device == "cpu"
    again = made(picture)
    assert again.device == "cpu:0" and not again.warnings
    assert moves == ["cpu:0", "cpu", "cpu:0"]


def test_where_the_processor_fails_too_there_is_a_sentence(picture):
    made = segmenter(2)
    limit(made, lambda batch, call: False)
    with pytest.raises(OutOfMemory, match=r"--device cpu:0 .*memory|this computer has not enough memory") as caught:
        made(picture)
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_the_computers_own_memory_full_is_a_sentence_and_no_reason_to_try_the_processor(picture, error):
    made = segmenter(2)
    calls = []

    def hook(module, inputs):
        calls.append(len(inputs[0]))
        raise error

    made.network.register_forward_pre_hook(hook)
    made.device = CPU
    with pytest.raises(OutOfMemory, match="this computer has not enough memory"):
        made(picture)
    assert calls == [2, 1]  # a smaller batch may do there, too


def test_memory_full_while_the_images_are_prepared_is_a_sentence(picture, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(case, "prepare", full)  # an image that fills this machine's memory is no test
    with pytest.raises(OutOfMemory, match="this computer"):
        segmenter()(picture)


def test_other_errors_go_through_at_once(picture):
    made = segmenter(4)
    calls = []

    def hook(module, inputs):
        calls.append(1)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    made.network.register_forward_pre_hook(hook)
    with pytest.raises(RuntimeError, match="illegal"):
        made(picture)
    assert len(calls) == 1


def test_cancelling_between_two_tries_ends_the_work(picture):
    made = segmenter(4)
    tried = limit(made, lambda batch, call: batch == 1)

    def progress(fraction, message):
        if "trying" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(picture, progress=progress)
    assert tried == [4]


def test_a_network_that_is_being_trained_stays_where_it_is(picture):
    made = segmenter(4)
    limit(made, lambda batch, call: False)
    with pytest.raises(torch.OutOfMemoryError):
        segment_case(made.network, META, [picture], device=CARD, window_batch=4)


def test_the_ladder_ends_on_the_processor_in_single_precision():
    card = torch.device("cuda", 1)
    assert rungs(card, "bf16", 5) == [Rung(card, "bf16", n) for n in (5, 2, 1)] + [Rung(CPU, "fp32", 1)]
    assert rungs(CPU, "bf16", 2) == [Rung(CPU, "bf16", n) for n in (2, 1)]


def test_the_computers_memory_full_beside_a_card_is_not_tried_again():
    calls = []

    def attempt(rung):
        calls.append(rung)
        raise MemoryError

    with pytest.raises(MemoryError):
        descend(attempt, rungs(torch.device("cuda", 0), "fp32", 4), [])
    assert len(calls) == 1


def test_errors_that_mean_full_memory_are_told_from_others():
    assert memory_full(torch.OutOfMemoryError("x")) and not host_memory_full(torch.OutOfMemoryError("x"))
    assert memory_full(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert memory_full(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert host_memory_full(RuntimeError("Failed to allocate memory for image."))
    assert not memory_full(ValueError("out of memory")) and not memory_full(RuntimeError("size mismatch"))


def test_torch_says_that_the_processors_memory_is_full_in_the_words_that_are_looked_for():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert host_memory_full(caught.value)
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, dtype=np.uint8)
    assert host_memory_full(caught.value)


def test_the_course_counts_windows_and_the_time_in_the_network(picture):
    made, course, phases = segmenter(1), Course(), []
    result = made(picture, course=course, progress=lambda *_: phases.append((course.phase, course.windows)))
    assert [phase for phase, _ in phases[:2]] == ["reading", "preparing"]
    assert [n for phase, n in phases if phase == "segmenting"] == list(range(8))
    assert (course.planned, course.windows, course.empty, course.phase) == (8, 8, 0, "done")
    assert 0 < result.compute_seconds == course.seconds < result.seconds
