"""Tensor's operators and methods are the operations of `ms.ops`; formatting; grad modes as contexts and decorators."""

import threading

import numpy as np
import pytest

import minisk as ms
from minisk.errors import MiniskError, ShapeError

X = np.array([[0.25, -1.5, 2.0], [1.0, 0.5, -0.75]])


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        (lambda x: abs(x), ms.ops.abs),
        (lambda x: x.abs(), ms.ops.abs),
        (lambda x: x.argmax(1), lambda x: ms.ops.argmax(x, 1)),
        (lambda x: x.broadcast_to((2, 2, 3)), lambda x: ms.ops.broadcast_to(x, (2, 2, 3))),
        (lambda x: x.clip(-1, 1), lambda x: ms.ops.clip(x, -1, 1)),
        (lambda x: x.exp(), ms.ops.exp),
        (lambda x: x.abs().log(), lambda x: ms.ops.log(ms.ops.abs(x))),
        (lambda x: x.log_softmax(0), lambda x: ms.ops.log_softmax(x, 0)),
        (lambda x: x.max(0, keepdims=True), lambda x: ms.ops.max(x, 0, True)),
        (lambda x: x.mean(axis=1), lambda x: ms.ops.mean(x, 1)),
        (lambda x: x.min(), ms.ops.min),
        (lambda x: x.relu(), ms.ops.relu),
        (lambda x: x.reshape(3, 2), lambda x: ms.ops.reshape(x, (3, 2))),
        (lambda x: x.reshape(2, 1, 3).squeeze(1), lambda x: x),
        (lambda x: x.sigmoid(), ms.ops.sigmoid),
        (lambda x: x.softmax(), ms.ops.softmax),
        (lambda x: x.abs().sqrt(), lambda x: ms.ops.sqrt(ms.ops.abs(x))),
        (lambda x: x.sum(1), lambda x: ms.ops.sum(x, 1)),
        (lambda x: x.tanh(), ms.ops.tanh),
        (lambda x: x.to(dtype="float32"), lambda x: ms.ops.cast(x, "float32")),
        (lambda x: x.transpose(1, 0), lambda x: ms.ops.transpose(x, 1, 0)),
        (lambda x: x.T, ms.ops.transpose),
        (lambda x: x.var(1, ddof=1), lambda x: ms.ops.var(x, 1, 1)),
        (lambda x: -x, ms.ops.neg),
        (lambda x: 2 - x, lambda x: ms.ops.sub(2, x)),
        (lambda x: 2 / x, lambda x: ms.ops.div(2, x)),
        (lambda x: np.ones((2, 2)) @ x, lambda x: ms.ops.matmul(np.ones((2, 2)), x)),
        (lambda x: x**2, lambda x: ms.ops.pow(x, 2)),
        (lambda x: x[1], lambda x: ms.ops.get_item(x, 1)),
        (lambda x: x != 1, lambda x: ms.ops.not_equal(x, 1)),
        (lambda x: x <= 1, lambda x: ms.ops.less_equal(x, 1)),
        (lambda x: x > 1, lambda x: ms.ops.greater(x, 1)),
        (lambda x: x >= 1, lambda x: ms.ops.greater_equal(x, 1)),
    ],
)
def test_a_method_is_the_operation_of_its_name(method, operation):
    ours, expected = method(ms.tensor(X)).numpy(), operation(ms.tensor(X)).numpy()
    assert ours.dtype == expected.dtype and np.array_equal(ours, expected)


def test_one_element_is_formatted_as_a_number():
    x = ms.tensor([[3.14159]])
    assert f"{x:.3f}" == "3.142" and f"{x.sum():8.2e}" == "3.14e+00" and f"{ms.tensor(7):d}" == "7"
    assert f"{x}" == str(x) == repr(x)
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        f"{ms.tensor(X):.3f}"


def test_every_public_method_has_a_docstring():
    undocumented = [name for name, value in vars(ms.Tensor).items() if not name.startswith("_") and not value.__doc__]
    # The slots are described in the docstring of the class.
    assert set(undocumented) <= set(ms.Tensor.__slots__)


def test_no_grad_and_enable_grad_decorate_functions():
    x = ms.tensor([2.0], requires_grad=True)

    @ms.no_grad()
    def without(depth):
        assert not ms.is_grad_enabled()
        return with_graph() if depth == 0 else without(depth - 1)

    @ms.enable_grad()
    def with_graph():
        """Square."""
        return x * x

    assert without(2).requires_grad and ms.is_grad_enabled()
    assert (with_graph.__name__, with_graph.__doc__) == ("with_graph", "Square.")


def test_one_grad_mode_object_can_be_entered_twice():
    mode = ms.no_grad()
    with mode:
        with mode:
            pass
        assert not ms.is_grad_enabled()
    assert ms.is_grad_enabled()


def test_no_grad_around_a_generator_holds_only_while_its_own_code_runs():
    @ms.no_grad()
    def numbers():
        try:
            received = yield ms.is_grad_enabled()
            yield received, ms.is_grad_enabled()
        except KeyError:
            yield "caught", ms.is_grad_enabled()
        finally:
            seen.append(ms.is_grad_enabled())

    seen = []
    generator = numbers()
    assert next(generator) is False and ms.is_grad_enabled()
    assert generator.send(7) == (7, False) and ms.is_grad_enabled()
    assert generator.throw(KeyError()) == ("caught", False) and ms.is_grad_enabled()
    generator.close()
    assert seen == [False] and ms.is_grad_enabled()


def test_no_grad_around_a_generator_passes_errors_and_results_on():
    class Owner:
        @ms.no_grad()
        def numbers(self, count):
            yield from range(count)
            return "result"

    def collected():
        return (yield from Owner().numbers(2))

    generator = collected()
    assert [next(generator), next(generator)] == [0, 1]
    with pytest.raises(StopIteration, match="result"):
        next(generator)


def test_no_grad_refuses_to_decorate_a_coroutine():
    async def predict():
        return ms.is_grad_enabled()

    with pytest.raises(MiniskError, match="predict is async"):
        ms.no_grad()(predict)


def test_each_thread_has_its_own_grad_mode():
    seen = []
    with ms.no_grad():
        thread = threading.Thread(target=lambda: seen.append(ms.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_forward_and_backward_may_be_written_without_staticmethod():
    class Double(ms.Function):
        def forward(ctx, x):
            ctx.factor = 2
            return x * ctx.factor

        def backward(ctx, dout):
            return dout * ctx.factor

    x = ms.tensor([1.0], requires_grad=True)
    Double.apply(x).backward()
    assert x.grad.item() == 2


def test_ctx_is_no_node_and_is_dropped_when_the_graph_is_freed():
    contexts = []

    class Kept(ms.Function):
        @staticmethod
        def forward(ctx, x):
            contexts.append(ctx)
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, dout):
            assert ctx is contexts[0] and ctx.needs_input_grad == (True,)
            return dout * 2

    y = Kept.apply(ms.tensor([1.0], requires_grad=True))
    assert y.node.ctx is contexts[0] and y.node.function is Kept and not hasattr(contexts[0], "edges")
    assert [saved.role.value for saved in y.node.saved] == ["input"]
    y.backward()
    assert y.node.ctx is None
