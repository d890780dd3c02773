"""The attack loss of training by Temperature-PGD, in training mode, against derivatives in float64."""

import keras
import numpy
import pytest

from models import compute
from train.robust import METHODS, losses, perturbation

pytestmark = pytest.mark.backends

COUNT, FEATURES, CLASSES, VARIANCE = 12, 16, 5, 1e-3
TEMPERATURE = 0.2
SCALES = {"ordinary": 0.3, "some saturated": 2.0, "all saturated": 27.0}  # of the logits
SATURATED = {"ordinary": 0, "some saturated": 4, "all saturated": COUNT}  # images whose p_y rounds to 1, at least


def arrays():
    generator = numpy.random.default_rng(5)
    images = generator.random((COUNT, 4, 4, 1)).astype("float32")
    kernels = [generator.normal(size=shape).astype("float32") for shape in ((FEATURES, 8), (8, CLASSES))]
    return images, *kernels


def outputs(images, first, second, scale):
    """The logits in training mode, of float64 or complex images (N, 16): dense, batch norm, square, dense."""
    hidden = images @ first
    centred = hidden - hidden.mean(axis=0)
    normal = centred / numpy.sqrt((centred**2).mean(axis=0) + VARIANCE)
    return scale * (normal + normal**2 / 2) @ second


def reference(images, first, second, scale, labels):
    """d sum of -log softmax(z / T)_y / d images (N, 16), by complex steps: exact to float64's rounding."""

    def loss(images):
        z = outputs(images, first, second, scale) / TEMPERATURE
        others = numpy.arange(CLASSES) != labels[:, None]
        gaps = (z - z[numpy.arange(COUNT), labels][:, None])[others]
        return numpy.log1p(numpy.exp(gaps).reshape(COUNT, -1).sum(axis=1)).sum()

    gradient = numpy.zeros(images.shape)
    for place in numpy.ndindex(*images.shape):
        moved = images.astype(complex)
        moved[place] += 1e-40j
        gradient[place] = loss(moved).imag / 1e-40
    return gradient


@pytest.mark.parametrize("kind", SCALES)
def test_in_training_mode_it_climbs_the_tempered_cross_entropy(kind):
    images, first, second = arrays()
    scale = SCALES[kind]
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, use_bias=False),
            keras.layers.BatchNormalization(epsilon=VARIANCE),
            keras.layers.Lambda(lambda normal: normal + normal**2 / 2),
            keras.layers.Dense(CLASSES, use_bias=False),
        ]
    )
    model.layers[1].set_weights([first])
    model.layers[-1].set_weights([numpy.float32(scale) * second])
    exact = [array.astype(float) for array in (images.reshape(COUNT, -1), first, second)]
    z = outputs(*exact, scale)
    labels = z.argmax(axis=1).astype("int32")
    gaps = numpy.sort(z, axis=1)[:, -1:] - numpy.sort(z, axis=1)[:, -2:-1]
    assert SATURATED[kind] <= (gaps / TEMPERATURE > 25 * numpy.log(2)).sum() <= (SATURATED[kind] and COUNT)
    expected = reference(*exact, scale, labels)
    ascend = perturbation.STEPS[METHODS["t-pgd-7"].strategy.attack_loss]
    step = compute.compiled(model, ascend, training=True)
    moved, _ = step(images, images, labels, numpy.float32(1), numpy.float32(1e-3), numpy.ones(1, "float32"))
    signs = numpy.sign(numpy.asarray(moved) - images).reshape(COUNT, -1)
    clear = abs(expected) > 1e-3 * abs(expected).max()
    clear &= (exact[0] > 1e-3) & (exact[0] < 1 - 1e-3)  # not at the end of the box
    assert clear.mean() > 0.3
    numpy.testing.assert_array_equal(signs[clear], numpy.sign(expected)[clear])


def test_it_is_one_object_a_temperature_so_that_it_is_compiled_once():
    loss = losses.tempered_cross_entropy(0.2)
    assert loss is losses.tempered_cross_entropy(0.2) is perturbation.ATTACK_LOSSES["tempered-cross-entropy"]
    assert loss is not losses.tempered_cross_entropy(0.5)
