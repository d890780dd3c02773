"""Catalogue entries as JSON values, in the record of a stage: so that a later edit of an entry is detected."""

import dataclasses
import functools
import inspect
import math
import types

import numpy

from data import files

WORDS = ("title", "citation", "published", "ours")  # fields that do not affect a result


def resolved(value):
    """A catalogue entry as JSON values: every hyper-parameter, at any depth.

    value: numbers, text, lists and dictionaries, as they are;
        dataclasses (without WORDS) and other objects: class and fields;
        an attack: its specification;
        functions: name, defaults and enclosed variables; a lambda, which has no name, also the names and constants in
            its code;
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

    A missing entry counts as None.
    """
    for entry in sorted({*before, *now}):
        old, new = dict(_leaves(before.get(entry))), dict(_leaves(now.get(entry)))
        for place in sorted({*old, *new}):
            if old.get(place) != new.get(place):
                return f"{entry}: {''.join(f'{name} ' for name in place)}{old.get(place)!r}, not {new.get(place)!r}"
    return None


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
    return facts


def _name(value):
    """The full name of a class or function."""
    return f"{value.__module__}.{value.__qualname__}"
