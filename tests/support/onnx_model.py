"""Tiny ONNX models, written as the format's protobuf messages (onnx.proto of the ONNX project names the fields)."""

from collections.abc import Sequence

FLOAT, UINT8, INT64 = 1, 2, 7  # TensorProto.DataType
_INTS, _INT = 7, 2  # AttributeProto.AttributeType


def brightness(
    shape: Sequence[int | str] = (1, 3, 8, 8),
    *,
    element: int = FLOAT,
    inputs: int = 1,
    factor_ops: Sequence[str] = (),
) -> bytes:
    """A model whose only output is the mean of its picture.

    Args:
        shape: of the input; a name for a side that may be of any length.
        factor_ops: operators that are applied to the mean, one after the other, each with one input (`Neg`, `Exp`).
    """
    nodes = [_node("ReduceMean", ["image"], ["mean0"], axes=[1, 2, 3], keepdims=0)]
    nodes += [_node(op, [f"mean{at}"], [f"mean{at + 1}"]) for at, op in enumerate(factor_ops)]
    last = f"mean{len(factor_ops)}"
    names = ["image", *(f"unused{number}" for number in range(1, inputs))]
    graph = (
        b"".join(_field(1, node) for node in nodes)
        + _field(2, b"brightness")
        + b"".join(_field(11, _value(name, shape, element)) for name in names)
        + _field(12, _value(last, shape[:1], element))
    )
    return _number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))


def _node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | list[int]) -> bytes:
    return (
        b"".join(_field(1, name.encode()) for name in inputs)
        + b"".join(_field(2, name.encode()) for name in outputs)
        + _field(4, op.encode())
        + b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())
    )


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, list):
        return _field(1, name.encode()) + b"".join(_number(8, item) for item in value) + _number(20, _INTS)
    return _field(1, name.encode()) + _number(3, value) + _number(20, _INT)


def _value(name: str, shape: Sequence[int | str], element: int) -> bytes:
    sides = b"".join(
        _field(1, _number(1, side) if isinstance(side, int) else _field(2, side.encode())) for side in shape
    )
    tensor = _number(1, element) + _field(2, sides)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
