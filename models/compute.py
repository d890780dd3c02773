"""Compiled passes through a model. This file and updates.py alone know which backend runs (tensorflow or jax).

Everything numeric is written once in keras.ops against a `call`, the model's inference-mode forward pass as a
traceable function; this file turns such a function into one compiled graph (forward and backward together, which is
what makes an attack fast), updates.py a training update. Weights are read at every run, so loading another epoch's
weights needs no new trace. XLA is used on accelerators only: on a CPU it is several times slower than TensorFlow's own
kernels.
"""

import functools

import keras
import numpy

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow

    ON_ACCELERATOR = bool(tensorflow.config.list_physical_devices("GPU"))
    # Whole float32: a boundary's distance and a tie of log-probabilities drown in TF32's ten bits.
    tensorflow.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in tensorflow.config.list_physical_devices("GPU"):  # several cells may share one
        tensorflow.config.experimental.set_memory_growth(gpu, True)
elif BACKEND == "jax":
    import jax

    ON_ACCELERATOR = jax.default_backend() != "cpu"
    jax.config.update("jax_default_matmul_precision", "highest")
else:
    raise ValueError(f"keras runs on {BACKEND!r}: set KERAS_BACKEND to tensorflow or jax")


def compiled(model, function, *, training=False):
    """Compile ``function(call, *arrays)``, where ``call(x)`` is the model's output in inference mode.

    Returns ``run(*arrays)``; arrays are NumPy or backend tensors, results are backend tensors. Compiled once
    for each (model, function), so pass module-level functions or keep the object you pass. Batch-norm
    statistics are read, never written. What is compiled is kept in an attribute of the model whose name begins with two
    underscores, which Keras does not save. training=True runs the model in training mode instead, where each call
    normalises by its batch and moves the statistics (a `gradient` inside has to be given the `call`).
    """
    cache = model.__dict__.setdefault("__compiled_functions", {})
    if (function, training) not in cache:
        cache[function, training] = _compile(model, function, training)
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
    if BACKEND == "jax":
        moving = getattr(call, "training", False)

        def total(x):
            values, extra = function(x)
            return keras.ops.sum(values), (values, extra, call.frozen if moving else None)

        (_, (values, extra, frozen)), slope = jax.value_and_grad(total, has_aux=True)(x)
        if moving:
            call.frozen = frozen
        return (values, extra), slope
    with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values, extra = function(x)
    return (values, extra), tape.gradient(values, x, unconnected_gradients="zero")  # as jax does


def predict(run, *arrays, batch_size=256, prepare=None):
    """Apply a compiled `run` to the arrays batch by batch; returns NumPy (a tuple where `run` returns one).

    Arrays are indexed by row and may be lazy (HDF5). prepare: applied to each batch of the first array
    (data.to_unit, say). Under jax and XLA a short batch is padded to a power of two, since every new shape is a new
    compilation. Raises ValueError for arrays without rows and a batch_size below 1.
    """
    check_batch_size(batch_size)
    count = len(arrays[0])
    parts = []
    for start in range(0, count, batch_size):
        batch = [numpy.asarray(array[start : start + batch_size]) for array in arrays]
        rows = len(batch[0])
        if prepare is not None:
            batch[0] = prepare(batch[0])
        if (BACKEND == "jax" or ON_ACCELERATOR) and rows < batch_size:
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


class Call:
    """A jax model's forward pass inside a compiled function: the state that it moves is kept in `frozen`."""

    def __init__(self, model, trainable, frozen, training):
        self.model, self.trainable, self.frozen, self.training = model, trainable, frozen, training
        self.losses = ()

    def __call__(self, x):
        outputs, frozen, self.losses = self.model.stateless_call(
            self.trainable, self.frozen, x, training=self.training, return_losses=True
        )
        if self.training:
            self.frozen = frozen
        return outputs


def _compile(model, function, training):
    if BACKEND == "jax":

        @jax.jit
        def pure(trainable, frozen, *arrays):
            call = Call(model, trainable, frozen, training)
            result = function(call, *arrays)
            return result, call.frozen if training else None

        def run(*arrays):
            frozen = model.non_trainable_variables
            result, moved = pure(values_of(model.trainable_variables), values_of(frozen), *arrays)
            if training:
                assign(frozen, moved)
            return result

        return run

    graph = tensorflow.function(
        functools.partial(function, functools.partial(model, training=training)),
        jit_compile=ON_ACCELERATOR,
        reduce_retracing=True,
    )
    return lambda *arrays: graph(*(tensorflow.convert_to_tensor(array) for array in arrays))


def values_of(variables):
    """The values of variables, as a list."""
    return [variable.value for variable in variables]


def assign(variables, values):
    """Give each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
