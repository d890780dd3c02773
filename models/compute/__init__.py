"""Compiled passes through a model, and the loop of every attack. Only this package knows Keras's backend.

Numeric code is written once, in keras.ops, as functions of a `call`: the model's forward pass in inference mode.
`compiled` compiles such a function into a single graph of forward and backward pass, which makes attacks fast; `repeat`
repeats a compiled step. Weights are read at every run, so new weights need no new trace. models/updates.py compiles
training updates.
"""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy

from models.compute.variables import Tensor, assign  # noqa: F401 (assign is a part of this package)

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    from models.compute import tensorflow as backend
elif BACKEND == "jax":
    from models.compute import jax as backend
else:
    raise ValueError(f"keras runs on {BACKEND!r}: set KERAS_BACKEND to tensorflow or jax")

ON_ACCELERATOR = backend.ON_ACCELERATOR
SHAPES_COMPILE = backend.SHAPES_COMPILE
SMALLEST = 16  # batches of `repeat` are padded to this where each new shape is a compilation
DEVICE = "/GPU:0" if ON_ACCELERATOR else "/CPU:0"
ARGMAX_DTYPE = backend.ARGMAX_DTYPE
IMAGES_BETWEEN_SAVES = 250 if ON_ACCELERATOR else 50  # of a slow attack whose results are saved part by part
deterministic, accelerators, ERRORS = backend.deterministic, backend.accelerators, backend.ERRORS


def of_backend(**values: typing.Any) -> typing.Any:
    """The value for Keras's backend, of tensorflow=... and jax=...: for packages with a class for each backend."""
    return values[BACKEND]


def origin() -> dict:
    """What decides the rounding of results: a part of the identity of saved results that a later call resumes."""
    return {"backend": BACKEND}


def compiled(model: keras.Model, function: Callable, *, training: bool = False, any_count: bool = False) -> Callable:
    """Compile ``function(call, *arrays)``, where ``call(x)`` is the model's output in inference mode.

    Returns ``run(*arrays)``; arrays are NumPy or backend tensors, results are backend tensors. Compiled once for each
    (model, function): pass module-level functions, or the same object each time. The cache is an attribute of the model
    whose name begins with two underscores, which Keras does not save.
    training: run the model in training mode, where each call normalises by its batch and updates the moving statistics
        (pass `call` to a `gradient` inside). In inference mode the statistics are only read.
    any_count: all arrays but scalars have a row for each image; TensorFlow traces a single graph for any number.
    """
    cache = model.__dict__.setdefault("__compiled_functions", {})
    if (function, training) not in cache:
        cache[function, training] = backend.compile(model, function, training, any_count)
    return cache[function, training]


def forward(model: keras.Model) -> Callable:
    """The compiled forward pass: ``run(x) -> model(x)`` in inference mode."""
    return compiled(model, _forward)


def input_gradient(model: keras.Model, loss: Callable) -> Callable:
    """The compiled gradient of the input: ``run(x, y, ...)`` -> d sum(loss(logits, y, ...)) / dx, the shape of x."""
    cache = model.__dict__.setdefault("__input_gradients", {})
    if loss not in cache:
        cache[loss] = functools.partial(_input_gradient, loss)
    return compiled(model, cache[loss])


def _forward(call, x):
    return call(x)


def _input_gradient(loss, call, x, *targets):
    return gradient(lambda image: (loss(call(image), *targets), None), x)[1]


def gradient(function: Callable, x: Tensor, call: Callable | None = None) -> tuple[tuple, Tensor]:
    """Inside a compiled function: ``((values, extra), d sum(values) / dx)`` of ``function(x) -> (values, extra)``.

    call: the compiled function's, if `function` uses it in training mode, so that its moving statistics are updated.
    """
    return backend.gradient(function, x, call)


def jacobian(function: Callable, x: Tensor) -> tuple[tuple, Tensor]:
    """Inside a compiled function: differentiate each column of ``function(x) -> (values (N, K), extra)`` by x.

    Returns ``((values, extra), d sum over images of values[:, k] / dx)``, the latter (N, K, *x.shape[1:]).
    """
    return backend.jacobian(function, x)


def redrawn(call: Callable, number: Tensor) -> Callable:
    """Inside a compiled function: the `call` with other random numbers, equal for an equal `number`.

    On TensorFlow each call draws new numbers, so this returns `call` itself. On jax a model's random layers draw the
    same numbers at every call in inference mode.
    """
    return backend.redrawn(call, number)


def repeat(
    model: keras.Model,
    step: Callable,
    state: Sequence,
    n: int,
    *,
    constants: Sequence = (),
    until: int | None = None,
    leave: Iterable[int] | None = None,
    last: Callable | None = None,
    draw: Callable | None = None,
    batch_size: int = 256,
) -> tuple[numpy.ndarray, ...]:
    """Take `n` steps with each image, fewer if it ends before: the final state, a tuple of NumPy arrays.

    step: ``step(call, index, *constants, *state) -> state``, compiled here; index counts from 0.
    state, constants: arrays with a row for each image.
    until: place in the state of a flag, bool (N,), that ends an image; the step must not change ended images (None:
        no image ends early).
    leave: ascending numbers of steps after which ended images leave the batch (default: after each step; on an
        accelerator after 1, 2, 4, ...).
    last: ``last(call, *constants, *state) -> state``, compiled here, called at the end on the images not ended.
    draw: ``draw(count)`` -> random array for the images of a step, passed as its first constant.
    batch_size: images that take a step together.
    On a CPU each step is a compiled call: some compiled loops of TensorFlow are 1.4 times slower than their steps. On
    an accelerator the steps between two departures are a single call.
    """
    state, constants = [numpy.array(part) for part in state], [numpy.asarray(part) for part in constants]
    rows = numpy.arange(len(state[0]))

    def update(run, *random):
        at = numpy.arange(len(rows))
        if SHAPES_COMPILE:
            at = numpy.resize(at, max(len(rows), min(batch_size, SMALLEST)))
        arrays = [part[at] for part in random] + [part[rows[at]] for part in (*constants, *state)]
        for part, new in zip(state, predict(run, *arrays, batch_size=batch_size), strict=True):
            part[rows[at]] = new
        return rows if until is None else rows[~state[until][rows]]

    fixed = len(constants) + (draw is not None)  # arrays before the state
    any_count = leave != ()  # images leave: a graph for any number; else a graph of the single batch size is faster
    for first, end in itertools.pairwise(_leaves(n, leave, each=draw is not None)):
        if len(rows):
            rows = update(
                _steps(model, step, fixed, until, first, end, any_count), *([draw(len(rows))] if draw else [])
            )
    if last is not None and len(rows):
        update(compiled(model, last, any_count=True))
    return tuple(state)


def _leaves(n, leave, each):
    """The numbers of steps after which ended images leave, from 0 to n."""
    if leave is None:
        leave = range(1, n) if each or not ON_ACCELERATOR else (2**power for power in range(n.bit_length()))
    return sorted({0, n, *(end for end in leave if end < n)})


def _steps(model, step, fixed, until, first, end, any_count):
    """``run(*constants, *state) -> state``: steps first .. end - 1, fewer if all images end.

    fixed: number of constants.
    """
    if ON_ACCELERATOR:
        loop = compiled(model, _loop(step, fixed, until))
        return functools.partial(loop, numpy.int32(first), numpy.int32(end))
    step = compiled(model, step, any_count=any_count)

    def run(*arrays):
        arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
        for index in range(first, end):
            arrays[fixed:] = step(numpy.int32(index), *arrays)
            if until is not None and index + 1 < end and numpy.asarray(arrays[fixed + until]).all():
                break
        return tuple(arrays[fixed:])

    return run


@functools.cache
def _loop(step, fixed, until):
    """The steps as a single compiled function: ``loop(call, first, end, *constants, *state) -> state``."""

    def loop(call, first, end, *arrays):
        constants, state = arrays[:fixed], arrays[fixed:]

        def go_on(index, *state):
            going = index < end
            return going if until is None else going & keras.ops.logical_not(keras.ops.all(state[until]))

        def advance(index, *state):
            return index + 1, *step(call, index, *constants, *state)

        return tuple(keras.ops.while_loop(go_on, advance, (first, *state))[1:])

    return loop


def predict(
    run: Callable, *arrays: numpy.ndarray, batch_size: int = 256, prepare: Callable | None = None
) -> numpy.ndarray | tuple[numpy.ndarray, ...]:
    """Apply a compiled `run` to arrays batch by batch: NumPy arrays (a tuple if `run` returns a tuple).

    arrays: indexed by row, possibly lazy (HDF5).
    prepare: applied to each batch of the first array, such as data.to_unit.
    Where each new shape is a compilation, short batches are padded to a power of two.
    Raises ValueError for arrays without rows and for a batch_size below 1.
    """
    check_batch_size(batch_size)
    count = len(arrays[0])
    parts = []
    for start in range(0, count, batch_size):
        batch = [numpy.asarray(array[start : start + batch_size]) for array in arrays]
        rows = len(batch[0])
        if prepare is not None:
            batch[0] = prepare(batch[0])
        if SHAPES_COMPILE and rows < batch_size:
            padded = min(batch_size, 1 << (rows - 1).bit_length())
            batch = [numpy.concatenate([part, numpy.repeat(part[:1], padded - rows, 0)]) for part in batch]
        result = run(*batch)
        single = not isinstance(result, tuple | list)
        parts.append([numpy.asarray(part)[:rows] for part in ((result,) if single else result)])
    if not parts:
        raise ValueError("nothing to predict: the array has no rows")
    columns = tuple(numpy.concatenate(column) for column in zip(*parts, strict=True))
    return columns[0] if single else columns


def check_batch_size(size: int) -> None:
    """Raise ValueError unless a batch size is a whole number of at least 1."""
    if not isinstance(size, int | numpy.integer) or size < 1:
        raise ValueError(f"batch_size is {size}, expected a whole number of at least 1")
