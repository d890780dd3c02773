"""Compiled passes through a model, and the loop of every attack. Only this package knows the backend that Keras runs.

Everything numeric is written once in keras.ops against a `call`, the model's inference-mode forward pass as a
traceable function; `compiled` turns such a function into one compiled graph (forward and backward together, which is
what makes an attack fast), `repeat` applies a compiled step again and again. Weights are read at every run, so loading
another epoch's weights needs no new trace. models/updates.py compiles training updates.
"""

import functools
import itertools

import keras
import numpy

from models.compute.variables import assign  # noqa: F401 (as of this package)

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    from models.compute import tensorflow as backend
elif BACKEND == "jax":
    from models.compute import jax as backend
else:
    raise ValueError(f"keras runs on {BACKEND!r}: set KERAS_BACKEND to tensorflow or jax")

ON_ACCELERATOR = backend.ON_ACCELERATOR
SHAPES_COMPILE = backend.SHAPES_COMPILE
SMALLEST = 16  # rows of a batch in a loop, its first ones repeated, where every new shape is a compilation
deterministic, accelerators, ERRORS = backend.deterministic, backend.accelerators, backend.ERRORS


def compiled(model, function, *, training=False, any_count=False):
    """Compile ``function(call, *arrays)``, where ``call(x)`` is the model's output in inference mode.

    Returns ``run(*arrays)``; arrays are NumPy or backend tensors, results are backend tensors. Compiled once for each
    (model, function), so pass module-level functions or keep the object you pass. Batch-norm statistics are read, never
    written. What is compiled is kept in an attribute of the model whose name begins with two underscores, which Keras
    does not save. training=True runs the model in training mode instead, where each call normalises by its batch and
    moves the statistics (a `gradient` inside has to be given the `call`). any_count=True: all arrays but scalars have
    one row an image, and TensorFlow traces one graph for any number of images.
    """
    cache = model.__dict__.setdefault("__compiled_functions", {})
    if (function, training) not in cache:
        cache[function, training] = backend.compile(model, function, training, any_count)
    return cache[function, training]


def forward(model):
    """The compiled forward pass: ``run(x) -> model(x)`` in inference mode."""
    return compiled(model, _forward)


def input_gradient(model, loss):
    """The compiled gradient of the input: ``run(x, y, ...)`` -> d sum(loss(logits, y, ...)) / dx, the shape of x."""
    cache = model.__dict__.setdefault("__input_gradients", {})
    if loss not in cache:
        cache[loss] = functools.partial(_input_gradient, loss)
    return compiled(model, cache[loss])


def _forward(call, x):
    return call(x)


def _input_gradient(loss, call, x, *targets):
    return gradient(lambda image: (loss(call(image), *targets), None), x)[1]


def gradient(function, x, call=None):
    """Inside a compiled function: differentiate ``function(x) -> (values, extra)`` by x.

    call: the compiled function's, where `function` may use it in training mode: its moving statistics pass through.
    Returns ``((values, extra), d sum(values) / dx)``.
    """
    return backend.gradient(function, x, call)


def jacobian(function, x):
    """Inside a compiled function: differentiate each column of ``function(x) -> (values (N, K), extra)`` by x.

    Returns ``((values, extra), d sum over images of values[:, k] / dx)``, the latter (N, K, *x.shape[1:]).
    """
    return backend.jacobian(function, x)


def redrawn(call, number):
    """Inside a compiled function: the `call` with other random numbers, the same ones for the same number.

    On TensorFlow every call draws new ones, and this is the call itself; on jax a model's random layers draw the same
    ones at every call in inference mode.
    """
    return backend.redrawn(call, number)


def repeat(model, step, state, n, *, constants=(), until=None, leave=None, last=None, draw=None, batch_size=256):
    """Take `n` steps with every image, or as many as it needs: the final state, a tuple of NumPy arrays.

    step: ``step(call, index, *constants, *state) -> state``, compiled, index from 0; state, constants: arrays with one
    row an image; until: place in the state of a flag, bool (N,), that ends an image, which the step has to hold then
    (None: all take n steps); leave: ascending numbers of steps after which ended images leave the batch, n the last
    (default: each; on an accelerator 1, 2, 4, ...); last: ``last(call, *constants, *state) -> state``, compiled, of the
    images that no step has ended; draw: ``draw(count)`` -> an array for the images of each step, its first constant.
    On a CPU every step is one compiled call (some of TensorFlow's compiled loops, and not others of the same code, take
    1.4 times as long as their steps in a row), on an accelerator the steps up to the next leave are one.
    """
    state, constants = [numpy.array(part) for part in state], [numpy.asarray(part) for part in constants]
    rows = numpy.arange(len(state[0]))

    def update(run, *drawn):
        at = numpy.arange(len(rows))
        if SHAPES_COMPILE:
            at = numpy.resize(at, max(len(rows), min(batch_size, SMALLEST)))
        arrays = [part[at] for part in drawn] + [part[rows[at]] for part in (*constants, *state)]
        for part, new in zip(state, predict(run, *arrays, batch_size=batch_size), strict=True):
            part[rows[at]] = new
        return rows if until is None else rows[~state[until][rows]]

    given, any_count = len(constants) + (draw is not None), leave != ()  # else one batch size: a graph of it is fastest
    for first, end in itertools.pairwise(_leaves(n, leave, each=draw is not None)):
        if len(rows):
            rows = update(
                _steps(model, step, given, until, first, end, any_count), *([draw(len(rows))] if draw else [])
            )
    if last is not None and len(rows):
        update(compiled(model, last, any_count=True))
    return tuple(state)


def _leaves(n, leave, each):
    """0 and the numbers of steps after which ended images leave, up to n."""
    if leave is None:
        leave = range(1, n) if each or not ON_ACCELERATOR else (2**power for power in range(n.bit_length()))
    return sorted({0, n, *(end for end in leave if end < n)})


def _steps(model, step, given, until, first, end, any_count):
    """``run(*constants, *state) -> state``: the steps first .. end - 1, fewer where all are ended; given: constants."""
    if ON_ACCELERATOR:
        loop = compiled(model, _loop(step, given, until))
        return functools.partial(loop, numpy.int32(first), numpy.int32(end))
    step = compiled(model, step, any_count=any_count)

    def run(*arrays):
        arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
        for index in range(first, end):
            arrays[given:] = step(numpy.int32(index), *arrays)
            if until is not None and index + 1 < end and numpy.asarray(arrays[given + until]).all():
                break
        return tuple(arrays[given:])

    return run


@functools.cache
def _loop(step, given, until):
    """The same in one compiled call: ``loop(call, first, end, *constants, *state) -> state``."""

    def loop(call, first, end, *arrays):
        constants, state = arrays[:given], arrays[given:]

        def go_on(index, *state):
            going = index < end
            return going if until is None else going & keras.ops.logical_not(keras.ops.all(state[until]))

        def advance(index, *state):
            return index + 1, *step(call, index, *constants, *state)

        return tuple(keras.ops.while_loop(go_on, advance, (first, *state))[1:])

    return loop


def predict(run, *arrays, batch_size=256, prepare=None):
    """Apply a compiled `run` to the arrays batch by batch; returns NumPy (a tuple where `run` returns one).

    Arrays are indexed by row and may be lazy (HDF5). prepare: applied to each batch of the first array
    (data.to_unit, say). Where every new shape is a compilation a short batch is padded to a power of two. Raises
    ValueError for arrays without rows and a batch_size below 1.
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


def check_batch_size(size):
    """Raise ValueError unless a batch size is a whole number of at least 1."""
    if not isinstance(size, int | numpy.integer) or size < 1:
        raise ValueError(f"batch_size is {size}, expected a whole number of at least 1")
