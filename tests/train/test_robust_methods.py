"""Every method of the catalogue on a tiny net: balls, closed forms, limits in which one method is another."""

import dataclasses

import keras
import numpy
import pytest

from models import compute, perturb, updates
from train.robust import METHODS, SETUPS
from train.robust.adversarial import Adversarial
from train.robust.friendly import Friendly
from train.robust.optimizer import CoupledSGD
from train.robust.perturbation import StepSize, begin
from train.robust.replay import Replay
from train.robust.yopo import Yopo

EPSILON = 0.1


def kind(strategy):
    """What a strategy is but for its numbers: methods that differ in those, or in the controller, do the same."""
    if isinstance(strategy, Adversarial):
        parts = strategy.loss, strategy.climbed, strategy.attack_mode, strategy.friendly is None, strategy.update_order
        return Adversarial, *parts
    return type(strategy), strategy.start, getattr(strategy, "persistent", None)


# One name a kind, and the control; under jax, where every one takes seconds to compile, fewer.
STRATEGIES = ["standard", *{kind(METHODS[name].strategy): name for name in METHODS if name != "standard"}.values()]
if compute.BACKEND == "jax":
    STRATEGIES = ["m+mart", "f+trades", "free-8-persistent", "yopo-5-3"]
SCALE = numpy.float32([0.5, 2.0])


def build(*, dropout=False):
    """8x8x2 -> 3 logits, with batch norm."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, name="conv1")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="bn1", momentum=0.9)(x))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.5)(x) if dropout else x
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="tiny")


@pytest.fixture
def batch():
    generator = numpy.random.default_rng(3)
    labels = (numpy.arange(12) % 3).astype("int32")
    images = generator.random((12, 8, 8, 2), "float32")
    images[0], images[1] = 0, 1  # at both ends of the box
    return images, labels


def prepared(strategy, model, rate=0.05, **settings):
    optimizer = CoupledSGD(rate)
    return strategy.batch(model, optimizer, epsilon=EPSILON, scale=SCALE, **settings)


def weights(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


def seen(monkeypatch, place):
    """Record the images that every compiled update is given: its argument number `place`."""
    images = []
    for name in ("train_step", "gradients"):
        original = getattr(updates, name)

        def made(*arguments, _original=original, **settings):
            step = _original(*arguments, **settings)

            def run(*arrays):
                images.append(numpy.asarray(arrays[place]))
                return step(*arrays)

            return run

        monkeypatch.setattr(updates, name, made)
    return images


@pytest.mark.parametrize("name", STRATEGIES)
def test_perturbations_stay_in_the_ball_and_the_box(name, batch, monkeypatch):
    images, labels = batch
    strategy, _ = METHODS[name].tailored(SETUPS["standard"])
    given = seen(monkeypatch, 1 if isinstance(strategy, Yopo) else 0)
    run = prepared(strategy, build(), measure=not isinstance(strategy, Yopo))
    carried, generator = None, numpy.random.default_rng(0)
    for _ in range(2):
        outcome = run(images, labels, 3, generator, carried)
        carried = outcome.carried
    given = [one for one in given if one.shape == images.shape]
    assert given
    begun = given[::3] if isinstance(strategy, Yopo) else []  # of each batch the start, which is not clipped
    for one in given:
        assert abs(one - images).max() <= EPSILON + 1e-6
        assert any(one is start for start in begun) or (one.min() >= 0 and one.max() <= 1)
    moved = max(abs(one - images).max() for one in given)
    assert moved > 0.02 * EPSILON
    assert numpy.isfinite(float(outcome.loss)) and numpy.asarray(outcome.correct).shape == (12,)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_method_overfits_one_batch_robustly(name, batch):
    images, labels = batch
    model, method = build(), METHODS[name]
    optimizer = CoupledSGD(0.05)
    strategy, _ = method.tailored(SETUPS["standard"])
    run = strategy.batch(model, optimizer, epsilon=0.01, scale=SCALE)
    steps = 0 if name == "standard" else 2
    carried, generator = None, numpy.random.default_rng(0)
    for _ in range(60):
        carried = run(images, labels, steps, generator, carried).carried
    attack = compute.compiled(model, attacked)
    assert (numpy.argmax(compute.forward(model)(attack(images, labels)), -1) == labels).all()


def attacked(call, images, labels):
    return perturb.pgd(call, images, labels, epsilon=0.01, step_size=0.0025, steps=10)


def naive_pgd(model, images, labels, start, steps, size, loss):
    """Projected sign steps, in NumPy around the gradient of the input."""
    gradient, current = compute.input_gradient(model, loss), start
    for _ in range(steps):
        moved = current + numpy.float32(size) * numpy.sign(numpy.asarray(gradient(current, labels)))
        current = (images + (moved - images).clip(-EPSILON, EPSILON)).clip(0, 1)
    return current


@pytest.mark.parametrize("name", ["pgd-7", "trades", "mart"])
def test_the_attack_in_eval_mode_equals_the_loop_written_out(name, batch, monkeypatch):
    images, labels = batch
    model = build()
    strategy = dataclasses.replace(METHODS[name].strategy, attack_mode="eval")
    given = seen(monkeypatch, 0)
    run = prepared(strategy, model)
    targets, loss = labels, perturb.cross_entropy
    if name == "trades":
        clean = numpy.asarray(compute.forward(model)(images))
        targets = numpy.exp(clean) / numpy.exp(clean).sum(-1, keepdims=True)

        def loss(logits, p):
            return keras.ops.sum(p * (keras.ops.log(p) - keras.ops.log_softmax(logits)), axis=-1)

    start = begin(images, EPSILON, strategy.start, numpy.random.default_rng(7), clip=strategy.clip_start)
    size = EPSILON * strategy.step.share
    expected = naive_pgd(model, images, targets, start, 4, size, loss)
    run(images, labels, 4, numpy.random.default_rng(7))
    different = abs(given[0] - expected) > 1e-6  # a gradient of zero has no sign worth comparing
    assert different.mean() < 0.01


def test_a_start_is_clipped_to_the_box_where_the_set_up_says_so(batch, monkeypatch):
    images, labels = batch
    given = seen(monkeypatch, 0)
    for setup in ("fast", "standard"):
        strategy, _ = METHODS["m+deat"].tailored(SETUPS[setup])
        prepared(strategy, build())(images, labels, 1, numpy.random.default_rng(5))
    noise = EPSILON * (2 * numpy.random.default_rng(5).random(images.shape, "float32") - 1)
    assert given[0].min() < 0 and given[0].max() > 1
    numpy.testing.assert_allclose(given[0], images + noise, atol=1e-6)
    numpy.testing.assert_allclose(given[1], (images + noise).clip(0, 1), atol=1e-6)


@pytest.mark.parametrize("name", ["trades", "mart", "f+trades", "f+mart", "trades-deat"])
def test_images_pass_through_the_net_in_the_order_of_the_authors_code(name, batch, monkeypatch):
    """Batch norm's moving mean after an update of one attack step, passed through in float64."""
    images, labels = batch
    model, given = build(), seen(monkeypatch, 0)
    strategy = METHODS[name].strategy
    convolution = keras.Model(model.input, model.get_layer("conv1").output)
    kernel = [numpy.array(part) for part in convolution.get_weights()]
    prepared(strategy, model)(images, labels, 1, numpy.random.default_rng(2))
    convolution.set_weights(kernel)
    start = begin(images, EPSILON, strategy.start, numpy.random.default_rng(2), clip=strategy.clip_start)
    passed = [start, images] if name == "trades-deat" else []  # at every step, the perturbed images and the clean ones
    passed += [images if one == "clean" else given[0] for one in strategy.update_order]
    moving = numpy.zeros(6)
    for one in passed:
        moving = 0.9 * moving + 0.1 * numpy.asarray(convolution(one), "float64").mean((0, 1, 2))
    assert abs(given[0] - images).max() > 0.01
    numpy.testing.assert_allclose(numpy.array(model.get_layer("bn1").moving_mean), moving, atol=2e-6)


@pytest.mark.parametrize(("loss", "order"), [("mart", ("clean",)), ("cross-entropy", ("clean", "adversarial"))])
def test_another_order_is_refused(loss, order):
    with pytest.raises(ValueError, match=f"order of {loss} is .*expected one of"):
        Adversarial(loss=loss, order=order, step=StepSize(share=0.25))


def test_pgd_in_train_mode_moves_the_statistics_at_every_step(batch):
    moved = {}
    for mode in ("train", "eval"):
        model = build()
        before = numpy.array(model.get_layer("bn1").moving_mean)
        strategy = dataclasses.replace(METHODS["pgd-7"].strategy, attack_mode=mode, start="zero")
        prepared(strategy, model, rate=1e-9)(*batch, 5, numpy.random.default_rng(0))
        moved[mode] = abs(numpy.array(model.get_layer("bn1").moving_mean) - before).max()
    assert moved["train"] > 3 * moved["eval"] > 0


def test_one_replay_from_zero_is_standard_training_to_the_bit(batch):
    models = [build(dropout=True), build(dropout=True)]
    free = prepared(Replay(start="zero", step=StepSize(share=1.0)), models[0])
    standard = prepared(METHODS["standard"].strategy, models[1])
    for _ in range(3):
        free(*batch, 1, numpy.random.default_rng(0))
        standard(*batch, 0, numpy.random.default_rng(0))
    assert all(map(numpy.array_equal, *map(weights, models)))


def test_the_second_replay_trains_on_the_fgsm_images_of_the_weights_before_the_first(batch, monkeypatch):
    images, labels = batch
    model = build()
    given = seen(monkeypatch, 0)

    def in_training(call, images, labels):
        return compute.gradient(lambda x: (perturb.cross_entropy(call(x), labels), ()), images, call)[1]

    run = prepared(Replay(start="zero", step=StepSize(share=1.0)), model)
    before = model.get_weights()
    gradient = numpy.asarray(compute.compiled(model, in_training, training=True)(images, labels))
    model.set_weights(before)
    run(images, labels, 2, numpy.random.default_rng(0))
    numpy.testing.assert_array_equal(given[0], images)
    moved = (images + numpy.float32(EPSILON) * numpy.sign(gradient)).clip(0, 1)
    numpy.testing.assert_allclose(given[1], moved, atol=1e-6)


def test_a_persistent_perturbation_is_carried_to_the_next_batch(batch, monkeypatch):
    images, labels = batch
    given = seen(monkeypatch, 0)
    run = prepared(METHODS["free-8-persistent"].strategy, build())
    first = run(images, labels, 2, numpy.random.default_rng(0))
    run(images[:5], labels[:5], 1, numpy.random.default_rng(0), first.carried)
    carried = numpy.asarray(first.carried)
    expected = (images[:5] + carried[:5]).clip(0, 1)
    numpy.testing.assert_allclose(given[2], expected, atol=1e-6)
    assert abs(carried).max() > 0.5 * EPSILON
    assert (carried[0] < 0).any() and (carried[1] > 0).any()  # past the box of a black and of a white image


def test_a_persistent_perturbation_rests_where_the_box_holds_a_pixel(batch):
    images, labels = batch
    beyond = numpy.full_like(images, -0.5 * EPSILON)  # outside the box of the black image, inside that of most pixels
    run = prepared(METHODS["free-8-persistent"].strategy, build())
    moved = numpy.asarray(run(images, labels, 1, numpy.random.default_rng(0), beyond).carried)
    numpy.testing.assert_array_equal(moved[0], beyond[0])
    assert (moved[1:] != beyond[1:]).mean() > 0.5 and abs(moved).max() <= EPSILON


def test_fat_with_all_its_patience_and_no_noise_is_pgd(batch, monkeypatch):
    given = seen(monkeypatch, 0)
    plain = dataclasses.replace(METHODS["fat"].strategy, friendly=None)
    patient = dataclasses.replace(plain, friendly=Friendly(tau=6, omega=0.0))
    outcomes = [prepared(one, build())(*batch, 6, numpy.random.default_rng(5)) for one in (plain, patient)]
    numpy.testing.assert_allclose(given[0], given[1], atol=1e-6)
    assert outcomes[0].passes == outcomes[1].passes == 7


def test_fat_keeps_an_image_where_its_patience_ends(batch, monkeypatch):
    images, labels = batch
    model = build()
    given = seen(monkeypatch, 0)
    strategy = dataclasses.replace(METHODS["fat"].strategy, friendly=Friendly(tau=0, omega=0.0), start="zero")
    outcome = prepared(strategy, model)(images, labels, 10, numpy.random.default_rng(0))
    later = dataclasses.replace(strategy, friendly=Friendly(tau=0, rises=(0.5,), omega=0.0))
    assert prepared(later, build())(images, labels, 10, numpy.random.default_rng(0)).passes == outcome.passes
    grown = prepared(later, build())(images, labels, 10, numpy.random.default_rng(0), progress=0.5)
    assert grown.passes > outcome.passes
    wrong = numpy.argmax(compute.forward(build())(images), -1) != labels
    assert wrong.any()
    numpy.testing.assert_array_equal(given[0][wrong], images[wrong])  # wrong from the start: not moved at all
    assert 1 < outcome.passes < 11


@pytest.mark.parametrize("tau", [0, 1, 2])
def test_fat_takes_tau_steps_with_what_is_misclassified_from_the_start(tau, batch):
    images, _ = batch
    model = build()
    others = ((numpy.argmax(compute.forward(model)(images), -1) + 1) % 3).astype("int32")
    strategy = dataclasses.replace(METHODS["fat"].strategy, friendly=Friendly(tau=tau, omega=0.0), start="zero")
    outcome = prepared(strategy, model)(images, others, 10, numpy.random.default_rng(0))
    assert outcome.passes == tau + 1 + 1  # the pass that ends it, and the update's


@pytest.mark.parametrize(("rounds", "inner"), [(1, 1), (2, 2)])
def test_yopo_equals_its_definition_on_two_dense_layers(rounds, inner):
    generator = numpy.random.default_rng(rounds)
    x, y = generator.random((6, 4), "float32"), (numpy.arange(6) % 3).astype("int32")
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.ReLU()(hidden)))
    w0, b0, w1, b1 = (part.astype("float64") for part in model.get_weights())
    strategy, rate = Yopo(inner=inner, start="zero", step=StepSize(share=0.25)), 0.1
    run = strategy.batch(model, CoupledSGD(rate), epsilon=EPSILON, scale=numpy.float32(1.0))
    outcome = run(x, y, rounds, numpy.random.default_rng(0))
    total, moved = [numpy.zeros_like(part) for part in (w0, b0, w1, b1)], x
    for _ in range(rounds):  # gradients summed over the rounds
        start, before = moved, moved @ w0 + b0
        active = numpy.maximum(before, 0)
        logits = active @ w1 + b1
        p = numpy.exp(logits) / numpy.exp(logits).sum(-1, keepdims=True)
        error = (p - numpy.eye(3)[y]) / 6  # of the mean loss
        by_hidden = (error @ w1.T) * (before > 0)  # -p of the method, held for the round's steps of the images
        for _ in range(inner):
            change = moved + 0.25 * EPSILON * numpy.sign(by_hidden @ w0.T) - x
            moved = (x + change.clip(-EPSILON, EPSILON)).clip(0, 1)
        slopes = start.T @ by_hidden + moved.T @ by_hidden, 2 * by_hidden.sum(0), active.T @ error, error.sum(0)
        total = [one + slope for one, slope in zip(total, slopes, strict=True)]
    for found, begun, slope in zip(model.get_weights(), (w0, b0, w1, b1), total, strict=True):
        numpy.testing.assert_allclose(found, begun - rate * slope, rtol=1e-4, atol=1e-6)
    numpy.testing.assert_allclose(float(outcome.loss), -numpy.log(p[numpy.arange(6), y]).mean(), rtol=1e-5)


@pytest.mark.parametrize("guide", ["training", "attack"])
def test_the_magnitude_is_that_of_the_gradient_where_it_was_taken(batch, guide):
    images, labels = batch
    model = build()
    strategy = Adversarial(step=StepSize(share=0.25), start="zero", attack_mode="eval", guide=guide)
    expected = numpy.asarray(compute.input_gradient(model, perturb.cross_entropy)(images, labels))
    run = prepared(strategy, model, measure=True)
    if guide == "attack":
        found = run(images, labels, 1, numpy.random.default_rng(0)).magnitude
        size = (abs(expected) * SCALE).sum() / len(images)
        numpy.testing.assert_allclose(float(found), size, rtol=1e-4)
    else:  # of the training loss at the last point, here the images themselves, in training mode
        found = run(images, labels, 0, numpy.random.default_rng(0)).magnitude
        replayed = prepared(Replay(start="zero", step=StepSize(share=1.0)), build())
        again = replayed(images, labels, 1, numpy.random.default_rng(0)).magnitude
        numpy.testing.assert_allclose(float(found), float(again), rtol=1e-4)


@pytest.mark.parametrize("name", STRATEGIES)
def test_passes_are_an_upper_bound_that_is_reached(name, batch):
    method = METHODS[name]
    strategy, controller = method.tailored(SETUPS["standard"])
    outcome = prepared(strategy, build(), rate=1e-6)(*batch, controller.most, numpy.random.default_rng(0))
    friendly = getattr(strategy, "friendly", None) is not None
    assert outcome.passes <= method.passes if friendly else outcome.passes == method.passes


def test_a_controller_that_a_strategy_cannot_serve_is_refused(batch):
    with pytest.raises(ValueError, match="measures no gradient magnitude"):
        prepared(METHODS["yopo-5-3"].strategy, build(), measure=True)
    guided = dataclasses.replace(METHODS["fat"].strategy, guide="attack")
    with pytest.raises(ValueError, match="measures no gradient magnitude"):
        prepared(guided, build(), measure=True)
    for name in ("free-8", "yopo-5-3"):
        with pytest.raises(ValueError, match="expected at least 1"):
            prepared(METHODS[name].strategy, build())(*batch, 0, numpy.random.default_rng(0))


def test_a_nets_own_weight_decay_is_left_out(batch):
    models = [build(), build()]
    models[1].get_layer("conv1").kernel_regularizer = keras.regularizers.L2(0.1)
    models[1].get_layer("conv1").kernel.regularizer = keras.regularizers.L2(0.1)
    assert float(sum(models[1].losses)) > 0
    for name in ("pgd-7", "free-8"):
        for model in models:
            prepared(METHODS[name].strategy, model)(*batch, 2, numpy.random.default_rng(0))
    assert all(map(numpy.array_equal, *map(weights, models)))


def test_friendly_steps_are_compiled_for_few_sizes(batch, monkeypatch):
    sizes, original = set(), compute.predict

    def counted(run, *arrays, batch_size):
        sizes.add(batch_size)
        return original(run, *arrays, batch_size=batch_size)

    monkeypatch.setattr(compute, "predict", counted)
    prepared(METHODS["fat"].strategy, build())(*batch, 10, numpy.random.default_rng(0))
    assert sizes == {12}  # predict pads a shorter batch to a power of two where a new shape is a new compilation
