"""Observers see every operation and every backward, in order, and cost nothing once they are gone."""

import numpy as np
import pytest

import minisk as ms
from minisk.autograd import observers


class Recorder(ms.Observer):
    """Keeps a line for each call."""

    def __init__(self):
        self.lines = []

    def before_forward(self, function, inputs, settings):
        self.lines.append(f"before {function.operation} of {len(inputs)}")

    def after_forward(self, function, inputs, settings, outputs, node):
        recorded = "" if node is None else " recorded"
        self.lines.append(f"after {function.operation}{recorded}: {[out.shape for out in outputs]}, {settings}")

    def before_backward(self, node, gradients):
        self.lines.append(f"before backward of {node.operation}: {[g is not None for g in gradients]}")

    def after_backward(self, node, gradients, results):
        self.lines.append(f"after backward of {node.operation}: {[g is not None for g in results]}")


def test_an_observer_sees_operations_and_their_backwards_in_order():
    x = ms.tensor(np.ones((2, 3)), requires_grad=True)
    recorder = Recorder()
    with ms.observe(recorder):
        y = x.reshape(3, 2)
        y.backward(ms.tensor(np.ones((3, 2))))
    assert recorder.lines == [
        "before reshape of 1",
        "after reshape recorded: [(3, 2)], {'shape': (3, 2)}",
        "before backward of reshape: [True]",
        "before reshape of 1",  # the backward of reshape is a reshape, which is not recorded
        "after reshape: [(2, 3)], {'shape': (2, 3)}",
        "after backward of reshape: [True]",
    ]


def test_an_observer_sees_an_operation_that_fails_only_before_it():
    recorder, a, b = Recorder(), ms.zeros(2, 2, 3), ms.zeros(3, 3, 2)
    with ms.observe(recorder), pytest.raises(ms.ShapeError):
        a @ b
    assert recorder.lines == ["before matmul of 2"]


def test_several_observers_watch_at_once_and_each_leaves_alone():
    x, outer, inner = ms.zeros(2), Recorder(), Recorder()
    with ms.observe(outer):
        with ms.observe(inner), ms.observe(outer):
            x.exp()
        x.tanh()
    x.sqrt()
    assert (len(inner.lines), len(outer.lines)) == (2, 6)
    assert observers.observers == []


def test_an_observer_is_removed_after_an_error():
    with pytest.raises(ZeroDivisionError), ms.observe(Recorder()):
        raise ZeroDivisionError
    assert observers.observers == []


def test_the_base_class_does_nothing():
    x = ms.tensor([1.0], requires_grad=True)
    with ms.observe(ms.Observer()):
        (x * x).backward()
    assert x.grad.item() == 2
