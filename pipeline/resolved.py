"""Catalogue entries as JSON values, in the record of a stage: so that a later edit of an entry is detected."""

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import platform
import types
from typing import Any

import numpy

from data import files

BODY, NESTED = "body", "nested constants"  # keys of a function's facts
WORDS = ("title", "citation", "published", "ours")  # fields that do not affect a result


def resolved(value: Any) -> Any:
    """A catalogue entry as JSON values: every hyper-parameter, at any depth.

    value: numbers, text, lists and dictionaries, as they are;
        dataclasses (without WORDS) and other objects: class and fields;
        an attack: its specification;
        functions: name, defaults, enclosed variables, and a digest of the body (`_body`); a lambda, which has no name,
            also the names and constants in its code;
        functools.partial: function and arguments;
        arrays: digest.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, numpy.generic):
        return resolved(value.item())
    if isinstance(value, numpy.ndarray):
        return files.fingerprint(value)
    if isinstance(value, dict):
        return {str(name): resolved(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(part) for part in value]
    if isinstance(value, functools.partial):
        return {"is": _name(value.func), "arguments": resolved(value.args), **resolved(value.keywords)}
    if isinstance(value, type):
        return _name(value)
    if hasattr(value, "specification"):
        return resolved(value.specification())
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"is": _name(type(value)), **_fields(fields)}
    if callable(value) and hasattr(value, "__qualname__"):
        return _function(inspect.unwrap(value))
    return {"is": _name(type(value)), **_fields(getattr(value, "__dict__", {}))}


def difference(before: dict, now: dict) -> str | None:
    """The first difference of two dictionaries of resolved entries, as "<entry>: <field> <old>, not <new>", or None.

    A missing entry or field counts as None, and so does an empty list: what was added later and is not used. Bodies of
    functions are compared last, and only where both have one from the same version of Python: older records have none,
    and another version compiles to another code.
    """
    for entry in sorted({*before, *now}):
        old, new = dict(_leaves(before.get(entry))), dict(_leaves(now.get(entry)))
        for place in sorted({*old, *new}, key=lambda place: (place[-1:] == (BODY,), place)):
            was, is_now = (_given(values.get(place)) for values in (old, new))
            where = "".join(f"{name} " for name in place)
            if place[-1:] == (BODY,):
                if was and is_now and was != is_now and was.split()[0] == is_now.split()[0]:
                    return f"{entry}: {where}of {new[(*place[:-1], 'is')]} was edited"
            elif was != is_now and not (place[-1:] == (NESTED,) and was is None and (*place[:-1], BODY) not in old):
                return f"{entry}: {where}{was!r}, not {is_now!r}"
    return None


def _given(value):
    return None if isinstance(value, list) and not value else value


def _leaves(value, place=()):
    """Yield (path of names, value) of all values in nested dictionaries that are not dictionaries."""
    if not isinstance(value, dict):
        yield place, value
        return
    for name, part in value.items():
        yield from _leaves(part, (*place, name))


def _fields(fields):
    """Fields of an object as JSON values, without WORDS."""
    return {name: resolved(value) for name, value in fields.items() if name not in WORDS}


def _function(function):
    """A function as JSON values."""
    facts = {"is": _name(function)}
    if not isinstance(function, types.FunctionType):
        return facts
    parameters = inspect.signature(function).parameters.values()
    facts |= {each.name: resolved(each.default) for each in parameters if each.default is not each.empty}
    enclosed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    facts |= {name: resolved(cell.cell_contents) for name, cell in enclosed}
    if function.__name__ == "<lambda>":
        constants = function.__code__.co_consts
        facts["reads"] = list(function.__code__.co_names)
        facts["constants"] = [resolved(value) for value in constants if isinstance(value, int | float | str)]
        nested = [_constant(value) for value in constants if isinstance(value, tuple | frozenset)]
        facts |= {NESTED: nested} if nested else {}
    if "site-packages" not in function.__code__.co_filename:  # a library's version is recorded elsewhere
        facts[BODY] = f"python{'.'.join(platform.python_version_tuple()[:2])} {_body(function.__code__)}"
    return facts


def _body(code):
    """A digest of what a code object does: instructions, names, constants at any depth; not its lines or docstring.

    co_code is the compiled code, whatever the interpreter specialised it to in the meantime. The docstring is the first
    constant, as long as it is text; a function without one has None there.
    """
    constants = list(code.co_consts)
    if not code.co_name.startswith("<") and constants and isinstance(constants[0], str):
        constants[0] = None
    parts = [code.co_code.hex(), code.co_exceptiontable.hex(), code.co_argcount, code.co_kwonlyargcount, code.co_flags]
    parts += [list(code.co_names), list(code.co_freevars), [_constant(value) for value in constants]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _constant(value):
    """A constant of a code object as JSON values, the same in every process; 1, 1.0 and True differ."""
    if isinstance(value, types.CodeType):
        return {"body": _body(value)}
    if isinstance(value, tuple):
        return [_constant(part) for part in value]
    if isinstance(value, frozenset):
        return {"set": sorted((_constant(part) for part in value), key=json.dumps)}
    return value if isinstance(value, int) else repr(value)


def _name(value):
    """The full name of a class or function."""
    return f"{value.__module__}.{value.__qualname__}"
