"""Numeric arrays of MATLAB 5 files, with every length checked before it is used.

SciPy's reader can crash the process with a segmentation fault on a damaged header; here a damaged file raises
ValueError [D].
Source: MathWorks, MAT-File Format, chapter 1 (Level 5).
"""

import math
import pathlib
import struct
import zlib
from collections.abc import Iterable

import numpy

from data import damage

STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
MATRIX, COMPRESSED = 14, 15
COMPLEX = 0x800
MOST = 1 << 30  # bytes of a file; the largest published one has a fifth of it


class _Elements:
    """The data elements in a buffer, in order, as (type, content)."""

    def __init__(self, buffer, order):
        self.buffer, self.order, self.position = memoryview(buffer), order, 0

    def __iter__(self):
        while self.position < len(self.buffer):
            yield self.next()

    def next(self):
        """The next element; ValueError if the buffer ends inside it."""
        start = self.position
        if len(self.buffer) - start < 8:
            raise ValueError("it ends inside a tag")
        kind, size = struct.unpack_from(self.order + "II", self.buffer, start)
        if kind >> 16:
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, start + 4, 8
            if size > 4:
                raise ValueError(f"a small element announces {size} bytes")
        else:
            begin = start + 8
            step = 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if size > len(self.buffer) - begin:
            raise ValueError(f"an element announces {size} bytes, but {len(self.buffer) - begin} are left")
        self.position = start + step
        return kind, self.buffer[begin : begin + size]


def _numbers(element, order, admitted=STORED):
    """The numbers of an element whose type is in `admitted`."""
    kind, content = element
    if kind not in admitted:
        raise ValueError(f"an element has type {kind}, expected numbers")
    dtype = numpy.dtype(order + STORED[kind])
    if len(content) % dtype.itemsize:
        raise ValueError(f"{len(content)} bytes of {dtype.itemsize}-byte numbers")
    return numpy.frombuffer(content, dtype)


def _matrix(content, order, names, allowed):
    """(name, array) of one matrix element; the array is None if the name is not in `names`."""
    elements = _Elements(content, order)
    flags = _numbers(elements.next(), order, (6,))
    shape = tuple(_numbers(elements.next(), order, (5,)).tolist())
    name = bytes(elements.next()[1]).decode("latin1")
    if name not in names:
        return name, None
    if len(flags) != 2 or int(flags[0]) & 0xFF not in CLASSES or int(flags[0]) & COMPLEX:
        raise ValueError(f"{name} is no array of real numbers")
    values = _numbers(elements.next(), order)
    if len(shape) < 2 or min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{name} has shape {str(shape)[:80]} but {len(values)} values")
    dtype = numpy.dtype(CLASSES[int(flags[0]) & 0xFF])
    if len(values) * dtype.itemsize > allowed:
        raise ValueError(f"{name} has {len(values)} numbers, which is too large for a file of this size")
    return name, _as(dtype, name, values).reshape(shape, order="F")


def _as(dtype, name, values):
    """The values as `dtype`. Raises ValueError where a value, such as 300.7, is not a number of an integer dtype."""
    with numpy.errstate(invalid="ignore"):
        cast = values.astype(dtype, copy=False)
    changed = values[cast != values] if dtype.kind in "iu" else values[:0]
    if changed.size:
        raise ValueError(f"{name} holds {changed[0]}, expected numbers of {dtype.name}")
    return cast


def _unpack(content, allowed):
    """The decompressed content, of at most `allowed` bytes."""
    decompressor = zlib.decompressobj()
    unpacked = decompressor.decompress(content, max(allowed, 1))
    if not decompressor.eof:
        raise ValueError("a compressed variable is cut, or too large for a file of this size")
    return unpacked


def read(path: str | pathlib.Path, names: Iterable[str]) -> dict[str, numpy.ndarray]:
    """name -> array of real numbers, of the variables `names` that a MATLAB 5 file has. Others are ignored.

    Raises ValueError, naming the file, if it is cut, damaged, not of this version, or unpacks to more bytes than its
    size allows, or if one of these variables is not an array of real numbers of its class.
    """
    content = damage.content(path, MOST)
    allowed = damage.most(len(content))
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:128])  # version 0x0100 and the byte order
    if order is None:
        raise ValueError(f"{path}: not a MATLAB 5 file (it begins with {content[:10]!r}): is this the right file?")
    arrays = {}
    with damage.named(path, "not a whole MATLAB 5 file", "fetch it again"):
        for kind, element in _Elements(memoryview(content)[128:], order):
            if kind == COMPRESSED:
                unpacked = _unpack(element, allowed)
                allowed -= len(unpacked)
                kind, element = _Elements(unpacked, order).next()
            if kind != MATRIX:
                raise ValueError(f"an element has type {kind}, expected a variable")
            name, array = _matrix(element, order, names, damage.most(len(content)))
            if array is not None:
                arrays[name] = array
    return arrays
