"""Pickles of plain data, read without calling their code: containers, numbers, text, and arrays of bytes.

The opcodes are interpreted here, so that a pickle can neither run code nor hang the reader by nesting, sharing or
hashing. Only the names that rebuild NumPy's arrays and numbers are admitted, for whole numbers, and their work is done
here.
"""

import pickletools
from typing import Any

import numpy

MOST = 4_000_000  # most opcodes; a published batch has 30,000 to 200,000
MARK = object()
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"}
TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
BYTES = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # of Python 2
BUFFER = "BYTEARRAY8"  # of protocol 5
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}
RECONSTRUCT, DTYPE, ENCODE = "numpy.core.multiarray _reconstruct", "numpy dtype", "_codecs encode"
FROM_BUFFER, SCALAR = "numpy.core.numeric _frombuffer", "numpy.core.multiarray scalar"
NAMES = {RECONSTRUCT, DTYPE, ENCODE, FROM_BUFFER, SCALAR, "numpy ndarray"}
KINDS = {f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)}  # element types: whole numbers


class Name(str):
    """An admitted name, such as "numpy dtype"."""


class Array:
    """A pickled array of whole numbers; `array` is set once its state was read."""

    array = None


class Kind:
    """A pickled element type, such as "i8"; its byte order is set once its state was read."""

    def __init__(self, code):
        self.code, self.order = code, "="


def load(content: bytes) -> Any:
    """The value of a pickle, made of dictionaries, lists, tuples, int, float, str, bytes, bool, None, and Array.

    Raises ValueError, without a file name, or an error of pickletools, where it is cut or holds anything else.
    """
    stack, memo = [], {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if count == MOST:
            raise ValueError(f"it has more than {MOST} opcodes")
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in PUTS:
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in GETS:
            stack.append(memo[argument])
        elif name not in ("PROTO", "FRAME"):
            _step(name, argument, stack)
    raise ValueError("it does not end")


def _step(name, argument, stack):
    """Apply one opcode to the stack."""
    if name in NUMBERS or name in TEXTS:
        stack.append(argument)
    elif name in BYTES:
        stack.append(argument.encode("latin1"))
    elif name == BUFFER:
        stack.append(bytes(argument))
    elif name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name == "MARK":
        stack.append(MARK)
    elif name in TUPLES:
        stack.append(tuple(_pop(stack, TUPLES[name])))
    elif name == "TUPLE":
        stack.append(tuple(_marked(stack)))
    elif name in ("EMPTY_LIST", "LIST"):
        stack.append(_marked(stack) if name == "LIST" else [])
    elif name in ("APPEND", "APPENDS"):
        items = _marked(stack) if name == "APPENDS" else _pop(stack, 1)
        _expect(stack[-1], list).extend(items)
    elif name in ("EMPTY_DICT", "DICT"):
        stack.append(_mapping(_marked(stack)) if name == "DICT" else {})
    elif name in ("SETITEM", "SETITEMS"):
        items = _marked(stack) if name == "SETITEMS" else _pop(stack, 2)
        _expect(stack[-1], dict).update(_mapping(items))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        stack.append(_name(argument if name == "GLOBAL" else " ".join(_expect(part, str) for part in _pop(stack, 2))))
    elif name == "REDUCE":
        stack.append(_call(*_pop(stack, 2)))
    elif name == "BUILD":
        (state,) = _pop(stack, 1)
        _build(stack[-1], state)
    else:
        raise ValueError(f"it has an opcode {name}, which no batch needs")


def _pop(stack, count):
    """Remove the last `count` objects from the stack, and return them."""
    objects = stack[len(stack) - count :] if count else []
    if len(objects) < count or MARK in objects:
        raise ValueError("its stack is too short")
    del stack[len(stack) - count :]
    return objects


def _marked(stack):
    """Remove the last mark and the objects above it from the stack, and return the objects."""
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] is MARK:
            objects = stack[place + 1 :]
            del stack[place:]
            return objects
    raise ValueError("it lacks a mark")


def _expect(value, kind):
    """The value, which must be of exactly this type."""
    if type(value) is not kind:
        raise ValueError(f"it uses a {type(value).__name__} as a {kind.__name__}")
    return value


def _mapping(items):
    """A dictionary of alternating keys and values."""
    if len(items) % 2 or any(type(key) not in (bytes, str, int) for key in items[::2]):
        raise ValueError("it has keys that are no text or number")
    return dict(zip(items[::2], items[1::2], strict=True))


def _name(name):
    """An admitted name as Name."""
    name = name.replace("numpy._core.", "numpy.core.", 1)
    if name not in NAMES:
        raise ValueError(f"it asks for {name.replace(' ', '.')[:80]}, which no batch needs")
    return Name(name)


def _call(function, arguments):
    """The result of calling an admitted name."""
    arguments = _expect(arguments, tuple)
    if function == ENCODE and len(arguments) == 2 and type(arguments[0]) is str:
        return arguments[0].encode("latin1")
    if function == RECONSTRUCT:
        return Array()
    if function == DTYPE and arguments and type(arguments[0]) in (str, bytes):
        code = _text(arguments[0])
        if code.removeprefix("|") not in KINDS:
            raise ValueError(f"it holds an array of {code[:20]!r}, expected whole numbers, as u1")
        return Kind(code.removeprefix("|"))
    if function == FROM_BUFFER and len(arguments) == 4:
        target, (content, kind, shape, order) = Array(), arguments
        target.array = _values(content, kind, shape, order == "F")
        return target
    if function == SCALAR and len(arguments) == 2:
        return int(_values(arguments[1], arguments[0], (), False))
    raise ValueError("it calls what is no function of a batch")


def _build(target, state):
    """Set the state of a pickled array, or the byte order of an element type."""
    if type(target) is Kind:
        _, order, *_ = _expect(state, tuple)
        if type(order) not in (str, bytes) or _text(order) not in ("<", ">", "|", "="):
            raise ValueError("it holds an element type of no byte order")
        target.order = _text(order)
        return
    _, shape, kind, fortran, content = _expect(state, tuple)
    if type(target) is not Array:
        raise ValueError("it sets the state of an object that is no array")
    target.array = _values(content, kind, shape, fortran)


def _text(value):
    """Text, which Python 2 pickled as bytes."""
    return value.decode("latin1") if type(value) is bytes else value


def _values(content, kind, shape, fortran):
    """The array of a pickled content, element type and shape."""
    if type(kind) is not Kind:
        raise ValueError("it holds an array without an element type")
    values = numpy.frombuffer(_expect(content, bytes), kind.order + kind.code)
    return values.reshape(_expect(shape, tuple), order="F" if fortran else "C")
