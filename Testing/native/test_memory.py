"""Memory of tensors that are gone is handed out again, and never that of one that is still in use."""

import gc
import os
import threading

import numpy as np
import pytest
import torch

from segmamba.native import memory
from segmamba.native.memory import Pool, empty


@pytest.fixture
def pool(monkeypatch) -> Pool:
    """A pool of the test's own, with room for a mebibyte."""
    pool = Pool(1 << 20)
    monkeypatch.setattr(memory, "_pool", pool)
    return pool


NUMEL = 1 << 16  # a quarter of a mebibyte


def test_a_tensor_that_is_gone_leaves_its_memory_to_the_next_of_its_size(pool):
    first = empty(4, NUMEL // 4)
    place = first.data_ptr()
    assert first.shape == (4, NUMEL // 4) and first.dtype == torch.float32
    del first
    assert empty(NUMEL // 8, 8).data_ptr() == place
    other = empty(NUMEL + 16)
    assert other.numel() == NUMEL + 16


@pytest.mark.parametrize("keep", [lambda t: t[1:], lambda t: t.detach(), lambda t: t.numpy(), lambda t: t.view(-1)])
def test_memory_that_a_view_refers_to_is_not_handed_out(pool, keep):
    tensor = empty(4, NUMEL // 4)
    tensor.fill_(7)
    view = keep(tensor)
    del tensor
    gc.collect()
    empty(NUMEL).fill_(0)
    assert (np.asarray(view) == 7).all()
    del view
    assert pool.take(NUMEL) is not None


def test_memory_that_autograd_keeps_is_not_handed_out(pool):
    weight = torch.ones(NUMEL, requires_grad=True)
    factor = empty(NUMEL).fill_(3)
    product = (weight * factor).sum()
    del factor
    empty(NUMEL).fill_(0)
    product.backward()
    assert (weight.grad == 3).all()


def test_no_more_than_the_limit_is_kept_and_the_oldest_goes_first(pool):
    sizes = [NUMEL + 16 * i for i in range(6)]
    tensors = [empty(size) for size in sizes]
    while tensors:
        tensors.pop(0)
    kept = [size for size in sizes if pool.take(size) is not None]
    assert kept == sizes[-3:]


def test_what_is_kept_can_be_given_back(pool):
    tensor = empty(NUMEL)
    del tensor
    memory.release()
    assert pool.take(NUMEL) is None


def test_small_and_huge_tensors_are_not_kept(pool):
    for numel in (8, memory._LIMIT // 4):
        tensor = empty(numel)
        del tensor
        assert pool.take(numel) is None


def test_a_tensor_of_inference_mode_leaves_memory_that_can_be_trained_with(pool):
    with torch.inference_mode():
        first = empty(NUMEL)
    place = first.data_ptr()
    del first
    second = empty(NUMEL)
    assert second.data_ptr() == place and not second.is_inference()
    (second.fill_(2) * torch.ones(1, requires_grad=True)).sum().backward()


def test_threads_that_take_and_give_at_once_never_share_memory(pool):
    wrong = []

    def work(number: int) -> None:
        for turn in range(300):
            value = 1000.0 * number + turn
            tensor = empty(NUMEL).fill_(value)
            if not (tensor == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_while_the_pool_is_locked_still_gets_memory():
    memory._pool._lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0 if empty(NUMEL).numel() == NUMEL else 1)
    memory._pool._lock.release()
    assert os.waitpid(child, 0)[1] == 0
