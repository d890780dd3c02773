"""Adversarial weight perturbation: the move against the authors' proxy net, what is put back, what is not written."""

import keras
import numpy
import pytest

from models import updates
from train.robust import METHODS
from train.robust.adversarial import Adversarial, cross_entropy
from train.robust.awp import Awp
from train.robust.optimizer import CoupledSGD
from train.robust.perturbation import StepSize

GAMMA = 0.05


def plain(model, rate=0.05, **settings):
    return updates.train_step(model, CoupledSGD(rate, momentum=0.0), cross_entropy, regularise=False, **settings)


def gradient(model, images, labels):
    """Gradients of the trainable variables in training mode; the moving statistics are put back."""
    kept = model.get_weights()
    gradients, *_ = updates.gradients(model, cross_entropy)(images, images, labels, 1.0)
    model.set_weights(kept)
    return [numpy.asarray(each, "float64") for each in gradients]


def displaced(awp, gradients, weights):
    tensors = ([keras.ops.convert_to_tensor(numpy.float32(each)) for each in some] for some in (gradients, weights))
    return [numpy.asarray(each, "float64") for each in awp.displace(*tensors)]


def naive(gamma, gradients, weights):
    """The move in float64; norms scaled so that squares do not underflow there either."""
    moves = []
    for g, w in zip(gradients, weights, strict=True):
        g, w = (numpy.asarray(numpy.float32(each), "float64") for each in (g, w))
        norm = numpy.sqrt((g**2).sum())
        moves.append(gamma * numpy.sqrt((w**2).sum()) * g / (norm + 1e-20) if w.ndim > 1 else 0 * w)
    return moves


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_move_is_that_of_the_authors_proxy_whatever_its_rate(tiny, batch, rate):
    images, labels = batch
    model = tiny.build()
    before = [numpy.asarray(each, "float64") for each in model.trainable_variables]
    moves = displaced(Awp(gamma=GAMMA), gradient(model, images, labels), before)
    proxy = tiny.build()  # a step of SGD up the loss, of which the direction alone counts
    optimizer = keras.optimizers.SGD(rate)
    updates.train_step(proxy, optimizer, lambda *arguments: (-cross_entropy(*arguments)[0], ()), regularise=False)(
        images, images, labels, 1.0
    )
    for move, weight, stepped in zip(moves, before, proxy.trainable_variables, strict=True):
        difference = numpy.asarray(stepped, "float64") - weight
        expected = numpy.linalg.norm(weight) * difference / (numpy.linalg.norm(difference) + 1e-20)
        numpy.testing.assert_allclose(move, GAMMA * expected * (weight.ndim > 1), atol=2e-5 * GAMMA)


def extremes():
    generator = numpy.random.default_rng(0)
    kernel, bias = generator.normal(size=(3, 3, 2, 4)), generator.normal(size=4)
    yield "random", [generator.normal(size=kernel.shape), bias], [kernel, bias]
    yield "zero gradient", [0 * kernel, 0 * bias], [kernel, bias]
    yield "zero weights", [kernel, bias], [0 * kernel, bias]
    yield "squares underflow", [1e-25 * kernel, bias], [kernel, bias]
    yield "squares overflow", [1e25 * kernel, bias], [1e22 * kernel, bias]
    yield "near the offset", [1e-20 * kernel, bias], [kernel, bias]


@pytest.mark.parametrize(("gradients", "weights"), [given[1:] for given in extremes()], ids=[e[0] for e in extremes()])
def test_the_move_in_float64_at_the_ends_of_float32(gradients, weights):
    moves = displaced(Awp(gamma=0.01), gradients, weights)
    for move, expected in zip(moves, naive(0.01, gradients, weights), strict=True):
        assert numpy.isfinite(move).all()
        numpy.testing.assert_allclose(move, expected, rtol=1e-4, atol=1e-30)


def test_the_update_is_that_of_the_moved_weights_from_which_the_move_is_taken(tiny, batch):
    images, labels = batch
    model, decay = tiny.build(), 0.1
    start = [numpy.asarray(each, "float64") for each in model.trainable_variables]
    moves = displaced(Awp(gamma=GAMMA), gradient(model, images, labels), start)
    moved = tiny.build()
    for variable, move in zip(moved.trainable_variables, moves, strict=True):
        variable.assign(numpy.float32(numpy.asarray(variable) + move))
    there = gradient(moved, images, labels)
    at = [numpy.asarray(each, "float64") for each in moved.trainable_variables]
    optimizer = CoupledSGD(0.05, momentum=0.0, weight_decay=decay)
    strategy = Adversarial(step=StepSize(share=0.25), start="zero", awp=Awp(gamma=GAMMA))
    strategy.batch(model, optimizer, epsilon=0.1, scale=tiny.scale)(images, labels, 0, numpy.random.default_rng(0))
    for variable, w, g, move in zip(model.trainable_variables, at, there, moves, strict=True):
        expected = w - 0.05 * (g + decay * w) - move
        numpy.testing.assert_allclose(numpy.asarray(variable), expected, atol=1e-5)


def test_weights_are_put_back_and_statistics_are_written_once(tiny, batch):
    images, labels = batch
    models = [tiny.build(), tiny.build()]
    plain(models[0], 0.0)(images, images, labels, 1.0)
    plain(models[1], 0.0, displace=Awp(gamma=1e-6).displace)(images, images, labels, 1.0)
    for first, second in zip(*(tiny.weights(model) for model in models), strict=True):
        numpy.testing.assert_allclose(first, second, atol=1e-6)


def test_the_start_is_in_the_run_and_costs_nothing_before(tiny, batch):
    generator = numpy.random.default_rng
    late = Adversarial(step=StepSize(share=0.25), awp=Awp(gamma=GAMMA, start=0.5))
    without = Adversarial(step=StepSize(share=0.25))
    models = [tiny.build(), tiny.build(), tiny.build()]
    runs = [tiny.prepared(*settings) for settings in zip((late, without, late), models, strict=True)]
    outcomes = [run(*batch, 2, generator(0), progress=0.4) for run in runs[:2]]
    assert [outcome.passes for outcome in outcomes] == [3, 3] and late.passes(2) == 4
    assert all(map(numpy.array_equal, *map(tiny.weights, models[:2])))
    assert runs[2](*batch, 2, generator(0), progress=0.5).passes == 4
    assert not all(map(numpy.array_equal, *map(tiny.weights, models[1:])))


@pytest.mark.parametrize("settings", [{"gamma": 0.0}, {"gamma": 0.01, "start": 1.5}])
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="expected gamma > 0 and a start from 0 to 1"):
        Awp(**settings)


def test_trades_awp_moves_weights_up_the_loss_of_trades(tiny, batch):
    assert METHODS["trades-awp"].strategy.awp == Awp(gamma=0.005, start=0.05)
    model = tiny.build()
    run = tiny.prepared(METHODS["trades-awp"].strategy, model)
    losses = [float(run(*batch, 2, numpy.random.default_rng(0), progress=share).loss) for share in (0.0, 0.5)]
    assert numpy.isfinite(losses).all() and losses[1] != losses[0]
