"""Several threads: no gradient is lost, each has its own random stream inside `seeded`, and recompute its own mask."""

import os
import threading

import numpy as np
import pytest

import minisk as ms
from minisk import backend, nn, ops


def in_threads(count, work):
    """Run work(i) in threads that begin together; return the errors that they raised."""
    start, errors = threading.Barrier(count), []

    def run(i):
        start.wait()
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("is_inner", [True, False])
def test_no_gradient_is_lost_if_threads_run_backward_into_one_tensor(is_inner):
    # 100,000 elements: the adding kernel runs without Python's lock
    w = ms.tensor(np.zeros(100_000, np.float32), requires_grad=True)
    shared = w * 1.0
    if is_inner:
        shared.retain_grad()

    def work(i):
        for _ in range(25):
            (shared if is_inner else w * 1.0).sum().backward(retain_graph=True)

    assert in_threads(4, work) == []
    assert w.grad.numpy()[[0, -1]].tolist() == [100, 100]
    if is_inner:
        assert shared.grad.numpy()[[0, -1]].tolist() == [100, 100]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_forked_while_another_thread_adds_gradients_can_run_backward():
    from minisk.autograd import engine

    with engine._accumulation:
        child = os.fork()
        if child == 0:
            x = ms.tensor([1.0], requires_grad=True)
            (x * 2).sum().backward()
            os._exit(0 if x.grad.item() == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_seeded_replaces_the_stream_of_its_own_thread_only():
    ms.manual_seed(3)
    expected = ms.rand(8).numpy().tolist()
    ms.manual_seed(3)
    entered, left = threading.Event(), threading.Event()

    def other():
        with backend.seeded(5):
            entered.set()
            left.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    found = ms.rand(8).numpy().tolist()
    left.set()
    thread.join()
    assert found == expected
    with backend.seeded(5):
        inner = ms.rand(4).numpy().tolist()
    with backend.seeded(5):
        assert ms.rand(4).numpy().tolist() == inner


def test_recompute_with_dropout_in_two_threads_uses_the_mask_of_the_output():
    def work(i):
        x = ms.tensor(np.ones((4, 64), np.float32), requires_grad=True)
        for _ in range(50):
            x.grad = None
            y = nn.recompute(nn.Dropout(0.5), x)
            y.sum().backward()
            # The output is 0 or 2, and so is its derivative.
            np.testing.assert_array_equal(x.grad.numpy(), y.numpy())

    assert in_threads(2, work) == []


def test_bad_seed_is_refused_at_once():
    for seed in (-1, 1.5, "1", None):
        with pytest.raises(ms.MiniskError, match="manual_seed: expected an integer"):
            ms.manual_seed(seed)
    ms.manual_seed(np.int64(2))
    assert ops.dropout(ms.ones(3), 0.5).shape == (3,)
