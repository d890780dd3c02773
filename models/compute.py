"""Compiled passes through a model: the only file that knows which backend runs (tensorflow or jax).

Everything numeric is written once in keras.ops against a `call`, the model's inference-mode forward pass as a
traceable function; this file turns such a function into one compiled graph (forward and backward together,
which is what makes an attack fast) and runs one training update the same way. Weights are read at every
run, so loading another epoch's weights needs no new trace. XLA is used on accelerators only: on a CPU it is
several times slower than TensorFlow's own kernels.
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


def compiled(model, function):
    """Compile ``function(call, *arrays)``, where ``call(x)`` is the model's output in inference mode.

    Returns ``run(*arrays)``; arrays are NumPy or backend tensors, results are backend tensors. Compiled once
    for each (model, function), so pass module-level functions or keep the object you pass. Batch-norm
    statistics are read, never written.
    """
    cache = model.__dict__.setdefault("_compiled_functions", {})
    if function not in cache:
        cache[function] = _compile(model, function)
    return cache[function]


def forward(model):
    """The compiled forward pass: ``run(x) -> model(x)`` in inference mode."""
    return compiled(model, _forward)


def input_gradient(model, loss):
    """The compiled gradient of the input: ``run(x, y, ...)`` -> d sum(loss(logits, y, ...)) / dx, the shape of x."""
    cache = model.__dict__.setdefault("_input_gradients", {})
    if loss not in cache:
        cache[loss] = functools.partial(_input_gradient, loss)
    return compiled(model, cache[loss])


def _forward(call, x):
    return call(x)


def _input_gradient(loss, call, x, *targets):
    return gradient(lambda image: (loss(call(image), *targets), None), x)[1]


def gradient(function, x):
    """Inside a compiled function: differentiate ``function(x) -> (values, extra)`` by x.

    Returns ``((values, extra), d sum(values) / dx)``.
    """
    if BACKEND == "jax":

        def total(x):
            values, extra = function(x)
            return keras.ops.sum(values), (values, extra)

        (_, result), slope = jax.value_and_grad(total, has_aux=True)(x)
        return result, slope
    with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values, extra = function(x)
    return (values, extra), tape.gradient(values, x, unconnected_gradients="zero")  # as jax does


def predict(run, *arrays, batch_size=256, prepare=None):
    """Apply a compiled `run` to the arrays batch by batch; returns NumPy (a tuple where `run` returns one).

    Arrays are indexed by row and may be lazy (HDF5). prepare: applied to each batch of the first array
    (data.to_unit, say). Under jax and XLA a short batch is padded to a power of two, since every new shape is a new
    compilation. Raises ValueError for arrays without rows.
    """
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


def update(model, optimizer, loss, *, training=True, restore=None, regularise=True):
    """Compile one training update: ``step(x, *targets) -> (mean loss, outputs)``.

    loss: ``loss(outputs, *targets)`` -> one value an example; regularise: add the model's own regularisation.
    training: False keeps dropout off and batch-norm statistics as they are.
    restore: list of (variable, mask): after each step every entry outside the boolean mask is put back to the
        value it has now, bit for bit.
    """
    variables = model.trainable_variables
    optimizer.build(variables)
    keep = [
        (
            next(index for index, variable in enumerate(variables) if variable is target),
            keras.ops.convert_to_tensor(mask),
            keras.ops.convert_to_tensor(numpy.array(keras.ops.convert_to_numpy(target))),
        )
        for target, mask in restore or ()
    ]
    step = _jax_update if BACKEND == "jax" else _tensorflow_update
    return step(model, variables, optimizer, loss, training, regularise, keep)


def _compile(model, function):
    if BACKEND == "jax":

        @jax.jit
        def pure(trainable, frozen, *arrays):
            def call(x):
                return model.stateless_call(trainable, frozen, x, training=False)[0]

            return function(call, *arrays)

        def run(*arrays):
            return pure(_values(model.trainable_variables), _values(model.non_trainable_variables), *arrays)

        return run

    graph = tensorflow.function(
        functools.partial(function, functools.partial(model, training=False)),
        jit_compile=ON_ACCELERATOR,
        reduce_retracing=True,
    )
    return lambda *arrays: graph(*(tensorflow.convert_to_tensor(array) for array in arrays))


def _values(variables):
    return [variable.value for variable in variables]


def _tensorflow_update(model, variables, optimizer, loss, training, regularise, keep):
    @tensorflow.function(jit_compile=ON_ACCELERATOR, reduce_retracing=True)
    def graph(x, *targets):
        with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(_values(variables))
            outputs = model(x, training=training)
            value = keras.ops.mean(loss(outputs, *targets))
            total = value + sum(model.losses) if regularise else value
        optimizer.apply(tape.gradient(total, _values(variables)), variables)
        for index, mask, original in keep:
            variables[index].assign(keras.ops.where(mask, variables[index], original))
        return value, outputs

    return lambda *arrays: graph(*(tensorflow.convert_to_tensor(array) for array in arrays))


def _jax_update(model, variables, optimizer, loss, training, regularise, keep):
    @jax.jit
    def pure(trainable, frozen, state, x, *targets):
        def objective(trainable):
            outputs, new_frozen, losses = model.stateless_call(
                trainable, frozen, x, training=training, return_losses=True
            )
            value = keras.ops.mean(loss(outputs, *targets))
            return value + (sum(losses) if regularise else 0.0), (value, outputs, new_frozen)

        (_, (value, outputs, frozen)), slopes = jax.value_and_grad(objective, has_aux=True)(trainable)
        trainable, state = optimizer.stateless_apply(state, slopes, trainable)
        trainable = list(trainable)
        for index, mask, original in keep:
            trainable[index] = keras.ops.where(mask, trainable[index], original)
        return value, outputs, trainable, frozen, state

    def step(*arrays):
        frozen_variables = model.non_trainable_variables
        value, outputs, *new = pure(
            _values(variables), _values(frozen_variables), _values(optimizer.variables), *arrays
        )
        for targets, values in zip((variables, frozen_variables, optimizer.variables), new, strict=True):
            for variable, new_value in zip(targets, values, strict=True):
                variable.assign(new_value)
        return value, outputs

    return step
