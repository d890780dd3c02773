"""What a stage used of the catalogues, as JSON values: so an edited entry is told from that of an earlier run."""

import dataclasses
import functools
import inspect
import math
import types

import numpy

from data import files

WORDS = ("title", "citation", "published", "ours")  # what an entry is called, and what it is compared with


def resolved(value):
    """A catalogue entry as JSON values: every hyper-parameter, at any depth.

    value: numbers, text, lists and dictionaries; dataclasses (without WORDS) and other objects by their class and
    fields; an attack by its own specification; functions by their name, defaults and what they enclose, a lambda, which
    has no name, also by the names and constants in it; functools.partial; arrays by their digest.
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
        return {str(name): resolved(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(one) for one in value]
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


def difference(before, now):
    """The first difference of two dictionaries of resolved entries, as "<entry>: <field> <old>, not <new>"; None where
    there is none. An entry that is not there counts as None."""
    for entry in sorted({*before, *now}):
        old, new = dict(_leaves(before.get(entry))), dict(_leaves(now.get(entry)))
        for place in sorted({*old, *new}):
            if old.get(place) != new.get(place):
                return f"{entry}: {''.join(f'{name} ' for name in place)}{old.get(place)!r}, not {new.get(place)!r}"
    return None


def _leaves(value, place=()):
    """(path of names, value) of everything in nested dictionaries that is not one itself."""
    if not isinstance(value, dict):
        yield place, value
        return
    for name, one in value.items():
        yield from _leaves(one, (*place, name))


def _fields(fields):
    return {name: resolved(one) for name, one in fields.items() if name not in WORDS}


def _function(function):
    made = {"is": _name(function)}
    if not isinstance(function, types.FunctionType):
        return made
    defaults = inspect.signature(function).parameters.values()
    made |= {one.name: resolved(one.default) for one in defaults if one.default is not one.empty}
    enclosed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    made |= {name: resolved(cell.cell_contents) for name, cell in enclosed}
    if function.__name__ == "<lambda>":
        made["reads"] = list(function.__code__.co_names)
        made["constants"] = [resolved(one) for one in function.__code__.co_consts if isinstance(one, int | float | str)]
    return made


def _name(one):
    return f"{one.__module__}.{one.__qualname__}"
