"""Optimizer: the base class. It keeps parameters in groups, and state arrays for each parameter."""

from collections.abc import Iterable
from typing import Any

from ..autograd import Tensor
from ..backend import Array, array_module
from ..errors import ArgumentError, CheckpointError

Group = dict[str, Any]


class Optimizer:
    """Base class of optimizers: define `state_names`, `check_settings` and `update`.

    Args:
        params: Tensors; or groups, dicts such as {"params": [...], "weight_decay": 0.0}, whose settings override the
            defaults for their parameters.
        defaults: settings of every group.

    Attributes:
        param_groups: the groups, each with all settings.
        state: for each parameter, its arrays by name; empty before the parameter's first step.
        steps: for each parameter, its update count. Parameters without a gradient are skipped, so counts may differ.

    Raises:
        ArgumentError: there are no parameters, one is not a floating leaf Tensor or is given twice, or a setting is
            unknown or out of range.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        owner = type(self).__name__
        given = as_list(owner, params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[Group] = []
        for group in groups:
            if not isinstance(group, dict) or not {"params"} <= group.keys() <= {"params", *defaults}:
                seen = list(group) if isinstance(group, dict) else f"a {type(group).__name__}"
                raise ArgumentError(f"{owner}: a group must be a dict of params, {', '.join(defaults)}, not {seen}")
            own = [group["params"]] if isinstance(group["params"], Tensor) else as_list(owner, group["params"])
            self.param_groups.append({**defaults, **group, "params": own})
            self.check_settings(self.param_groups[-1])
        _require_trainable(owner, self._parameters())
        self.state: list[dict[str, Array]] = [{} for _ in self._parameters()]
        self.steps = [0] * len(self.state)

    def check_settings(self, group: Group) -> None:
        """Raise ArgumentError if a setting of the group is out of range; by default, accept every value."""

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        owned = ((parameter, group) for group in self.param_groups for parameter in group["params"])
        for i, (parameter, group) in enumerate(owned):
            if parameter.grad is None:
                continue
            for name in self.state_names:
                if name not in self.state[i]:
                    self.state[i][name] = array_module(parameter.data).zeros_like(parameter.data)
            self.steps[i] += 1
            self.update(parameter.data, parameter.grad.data, group, self.steps[i], **self.state[i])
            parameter.mark_written()

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        """Change one parameter and its state, in place.

        Args:
            weight: the parameter's array.
            grad: its gradient, in its shape and dtype.
            group: the settings.
            step: this parameter's update count, starting at 1.
            state: one array for each of `state_names`, in the parameter's shape; zeros at first.
        """
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self._parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the groups' settings, and each parameter's update count and state arrays (shared, not copied)."""
        groups = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        return {"steps": list(self.steps), "groups": groups, "state": [dict(state) for state in self.state]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Copy what `state_dict` returned into this optimizer; if it does not fit, change nothing.

        Raises:
            CheckpointError: it belongs to other parameters or to another optimizer.
        """
        parameters = self._parameters()
        self._check(saved, parameters)
        self.steps = list(saved["steps"])
        for group, settings in zip(self.param_groups, saved["groups"], strict=True):
            group.update(settings)
        for i, (parameter, state) in enumerate(zip(parameters, saved["state"], strict=True)):
            xp = array_module(parameter.data)
            self.state[i] = {name: xp.array(array, dtype=parameter.dtype) for name, array in state.items()}

    def __repr__(self) -> str:
        groups = [{**group, "params": len(group["params"])} for group in self.param_groups]
        shown = [", ".join(f"{name}={value}" for name, value in group.items()) for group in groups]
        return f"{type(self).__name__}({'; '.join(shown)})"

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _check(self, saved: dict[str, Any], parameters: list[Tensor]) -> None:
        start = f"{type(self).__name__}: saved state"
        groups, states, steps = (len(saved.get(key, ())) for key in ("groups", "state", "steps"))
        if groups != len(self.param_groups) or states != len(parameters) or steps != len(parameters):
            found = f"has {groups} groups and {states} parameters, with {steps} update counts"
            expected = f"expected {len(self.param_groups)} and {len(parameters)}"
            raise CheckpointError(f"{start} {found}, {expected}")
        for i, (parameter, state) in enumerate(zip(parameters, saved["state"], strict=True)):
            if any(name not in self.state_names or array.shape != parameter.shape for name, array in state.items()):
                raise CheckpointError(f"{start} of parameter {i} does not fit {parameter.shape}")


def as_list(owner: str, params: Any) -> list[Any]:
    """Return the parameters as a list. Raises ArgumentError for one Tensor, a Module or a set, naming the owner."""
    # A Tensor would yield its rows, which are not leaves. The order of a set differs from run to run.
    if isinstance(params, Tensor | set) or not isinstance(params, Iterable):
        expected = "expected a list of Tensors, such as model.parameters()"
        raise ArgumentError(f"{owner}: params is a {type(params).__name__}, {expected}")
    return list(params)


def _require_trainable(owner: str, parameters: list[Any]) -> None:
    """Raise ArgumentError unless the parameters are different floating leaf Tensors, at least one."""
    if not parameters:
        raise ArgumentError(f"{owner}: no parameters to optimize")
    seen: dict[int, int] = {}
    for i, x in enumerate(parameters):
        if not isinstance(x, Tensor):
            raise ArgumentError(f"{owner}: parameter {i} is a {type(x).__name__}, expected a Tensor")
        if x.node is not None:
            raise ArgumentError(f"{owner}: parameter {i} is the result of {x.node.operation!r}, expected a leaf Tensor")
        if x.dtype.kind != "f":
            raise ArgumentError(f"{owner}: parameter {i} has dtype {x.dtype}, expected a floating dtype")
        if seen.setdefault(id(x), i) != i:
            raise ArgumentError(f"{owner}: parameter {i} is parameter {seen[id(x)]} again")
