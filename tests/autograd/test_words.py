"""PyTorch's words: those that exist work, and those left out are answered with NumPy's word."""

import copy
import pickle

import numpy as np
import pytest

import minisk as ms
from minisk import ops
from minisk.autograd.words import METHODS
from minisk.errors import DeviceError, DtypeError, GraphError


def matrix():
    return ms.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "argmax", "softmax", "log_softmax", "squeeze"])
def test_dim_is_answered_with_axis(name):
    for call in (lambda: getattr(matrix(), name)(dim=0), lambda: getattr(ops, name)(matrix(), dim=0)):
        with pytest.raises(TypeError, match=f"{name}: there is no dim; use axis"):
            call()


def test_other_words_of_arguments_are_answered():
    with pytest.raises(TypeError, match="use keepdims"):
        matrix().sum(0, keepdim=True)
    with pytest.raises(TypeError, match="use ddof"):
        matrix().var(0, correction=1)
    for name in ("concatenate", "stack"):
        with pytest.raises(TypeError, match="use axis"):
            getattr(ops, name)([matrix()], dim=0)


@pytest.mark.parametrize("name", METHODS)
def test_method_that_is_left_out_is_answered_with_the_word_to_use(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; use "):
        getattr(matrix(), name)


def test_unknown_attribute_is_an_ordinary_error():
    with pytest.raises(AttributeError, match=r"'Tensor' object has no attribute 'nothing'$"):
        _ = matrix().nothing
    assert not hasattr(matrix(), "nothing")


def test_size_called_is_answered_with_shape():
    with pytest.raises(TypeError, match=r"use x\.shape"):
        matrix().size()
    assert matrix().size == 4


def test_masks_combine():
    x = matrix()
    is_large, is_even = x > 2, x == ops.abs(x)
    np.testing.assert_array_equal((is_large & ~is_even).numpy(), is_large.numpy() & ~is_even.numpy())
    np.testing.assert_array_equal((is_large | (x < 2)).numpy(), [[True, False], [True, True]])
    assert (True & is_large).numpy().tolist() == (is_large | np.array(False)).numpy().tolist()
    with pytest.raises(DtypeError, match="expected bool operands, got float32"):
        _ = ~x


def test_to_takes_a_dtype_where_a_device_may_stand():
    x = matrix()
    for dtype in ("float64", np.float64, np.dtype("float64"), float):
        assert x.to(dtype).dtype == np.float64
    assert x.to("cpu", "float16").dtype == np.float16 and x.to("cpu") is x
    with pytest.raises(DeviceError, match="'gpu' is not known"):
        x.to("gpu")


def test_flatten_and_abs_are_recorded():
    x = matrix()
    y = abs(-x).flatten()
    y.sum().backward()
    assert y.shape == (4,) and x.grad.numpy().tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var"])
def test_reduction_of_numpy_is_that_of_the_tensor(name):
    x = matrix()
    found = getattr(np, name)(x, axis=0)
    assert isinstance(found, ms.Tensor) and found.requires_grad
    np.testing.assert_array_equal(found.numpy(), getattr(np, name)(x.numpy(), axis=0))


class Square(ms.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x


def test_call_of_an_operation_class_is_answered_with_apply():
    with pytest.raises(TypeError, match=r"call Square\.apply"):
        Square(matrix())


def test_operation_without_backward_or_forward_names_what_is_missing():
    with pytest.raises(NotImplementedError, match="square: define backward"):
        Square.apply(matrix()).sum().backward()
    with pytest.raises(NotImplementedError, match="function: define forward"):
        ms.Function.apply(matrix())


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, pickle.dumps])
def test_copy_of_a_tensor_with_a_graph_says_why_not(copied):
    x = matrix()
    with pytest.raises(GraphError, match=r"computed by 'mul'.*x\.detach\(\)"):
        copied(x * x)
    (x**3).sum().backward(create_graph=True)
    with pytest.raises(GraphError, match=r"x\.grad = None"):
        copy.deepcopy(x)


def test_leaf_is_copied_and_pickled_with_its_gradient():
    x = matrix()
    (x * 2).sum().backward()
    for again in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert again.requires_grad and again.grad.numpy().tolist() == [[2, 2], [2, 2]]
        assert not np.shares_memory(again.data, x.data)


def test_list_given_to_the_constructor_is_answered_with_tensor():
    with pytest.raises(DtypeError, match=r"got a list; ms\.tensor"):
        ms.Tensor([1, 2, 3])
