"""What a built library exports: the lines of its unit after the kernel file, and the names of its functions."""

import re
from collections.abc import Iterator
from pathlib import Path

from .signature import FileKernels, Signature, kernels_in
from .structs import Struct


def exports(source: Path) -> str:
    """Return the lines that export every kernel and every device variable of a file.

    A template is exported by the macro MINISK_INSTANCE, which names an instantiation: "k<float>".
    """
    return "".join(f"{line}\n" for line in _lines(source))


def _lines(source: Path) -> Iterator[str]:
    found = kernels_in(source)
    for struct in _passed_by_value(found):
        listed = " ".join(
            f'describe_field<decltype(Self::{field.name})>(words, "{field.name}", offsetof(Self, {field.name}));'
            for field in struct.fields
        )
        known = f"using Self = {struct.name}; static constexpr bool are_known = true;"
        body = f"{known} static void list(Words& words) {{ {listed} }}"
        yield f"template <{struct.template or ''}> struct minisk::Fields<{struct.name}> {{ {body} }};"
    for name, signature in found.kernels.items():
        if signature.template is None:
            yield f"MINISK_EXPORT_AS({word(name)}, {name})"
    for name in found.variables:
        yield f"MINISK_EXPORT_VARIABLE({word(name)}, {name})"
    yield "#ifdef MINISK_INSTANCE\nMINISK_EXPORT_AS(instance, MINISK_INSTANCE)\n#endif"


def _passed_by_value(found: FileKernels) -> list[Struct]:
    """Return the structs whose fields are known and that a parameter names, or a field of such a struct."""
    waiting = [parameter.type for signature in found.kernels.values() for parameter in signature.parameters]
    waiting += found.kernels  # the arguments of an instantiation
    numbers: dict[int, None] = {}
    while waiting:
        for number in found.structs_of(waiting.pop()):
            if number not in numbers and not found.structs[number].problem:
                numbers[number] = None
                waiting += [field.type for field in found.structs[number].fields]
    return [found.structs[number] for number in sorted(numbers)]


def symbol(name: str, signature: Signature) -> str:
    """Return the suffix of the library's functions for a kernel, as in `minisk_launch_<suffix>`."""
    return "instance" if signature.template is not None else word(name)


def instance_define(name: str, signature: Signature) -> list[str]:
    """Return the macro that makes a library export an instantiation of a template; none for an ordinary kernel."""
    return [] if signature.template is None else [f"MINISK_INSTANCE={name}"]


def word(name: str) -> str:
    """Return a name with namespaces or template arguments as one word: "ns::k<float>" is "ns_k_float_"."""
    return re.sub(r"\W+", "_", name)
