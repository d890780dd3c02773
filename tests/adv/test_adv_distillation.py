"""Defensive distillation against naive references and against plain training; killed and continued."""

import keras
import numpy
import pytest

import data
import models
from adv import distillation
from train import history, params
from train.fit import fit

RECIPE = params.Recipe(learning_rates=(0.05, 0.01), milestones=(0.5,), batch_size=8, shift=0.1, fill="constant")
HOT = distillation.Distillation(temperature=4.0, epochs=2)


@pytest.fixture(scope="module")
def split():
    x = numpy.random.default_rng(0).integers(0, 256, (48, 12, 12, 2), dtype="uint8")
    y = numpy.arange(48) % 3
    dataset = data.Dataset(x, y.astype("int64"), x[:9], y[:9].astype("int64"), ("a", "b", "c"), True, "random")
    return data.half_split(dataset, seed=0)


@pytest.fixture(scope="module")
def tiny():
    """A classifier of 12x12x2 images into three classes, with dropout."""
    inputs = keras.Input((12, 12, 2))
    x = keras.layers.Dense(6, activation="relu")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dropout(0.5)(x)))


@pytest.fixture(scope="module")
def pair(tiny):
    """``pair()``: a teacher and a student of one architecture with different weights, the same at every call."""
    start = tiny.get_weights()

    def pair():
        teacher, student = (keras.models.clone_model(tiny) for _ in range(2))
        teacher.set_weights(start)
        student.set_weights([0.9 * array for array in start])
        return teacher, student

    return pair


@pytest.fixture(scope="module")
def distilled(tmp_path_factory, pair, split):
    """(teacher, student, the student's history, folder), uninterrupted."""
    folder = tmp_path_factory.mktemp("distilled")
    return *distil(pair, split, folder), folder


def distil(pair, split, folder, settings=HOT, **options):
    teacher, student = pair()
    recorded = distillation.distil(
        teacher, student, split, recipe=RECIPE, folder=folder, seed=3, settings=settings, **options
    )
    return teacher, student, recorded


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_the_loss_is_its_formula(temperature):
    generator = numpy.random.default_rng(0)
    logits, targets = generator.normal(0, 30, (6, 4)).astype("float32"), generator.dirichlet(numpy.ones(4), 6)
    powers = numpy.exp(logits.astype(float) / temperature)
    naive = [
        -temperature * (row * numpy.log(power / power.sum())).sum() for row, power in zip(targets, powers, strict=True)
    ]
    losses = distillation.loss_at(temperature)(keras.ops.convert_to_tensor(logits), targets.astype("float32"))
    numpy.testing.assert_allclose(losses, naive, rtol=1e-4)


def test_soft_targets_are_the_softmax_at_the_temperature(tiny, split):
    x = split.x_train
    powers = numpy.exp(numpy.asarray(tiny(x.astype("float32") / 255), float) / 2.5)
    soft = distillation.soft_targets(tiny, x, temperature=2.5, batch_size=7)
    assert soft.dtype == numpy.float32
    numpy.testing.assert_allclose(soft, powers / powers.sum(1, keepdims=True), atol=1e-6)


def test_at_temperature_one_the_teacher_is_a_source_model(tmp_path, pair, split):
    plain, _ = pair()
    fit(plain, split, recipe=RECIPE, history=tmp_path / "plain", seed=3, epochs=2)
    teacher, _, _ = distil(pair, split, tmp_path / "both", distillation.Distillation(temperature=1.0, epochs=2))
    for weight, other in zip(teacher.get_weights(), plain.get_weights(), strict=True):
        numpy.testing.assert_allclose(weight, other, atol=1e-4)


def test_the_student_learns_the_teacher_s_outputs(tmp_path, pair, split, distilled):
    teacher, student, recorded, folder = distilled
    _, alone = pair()
    soft = distillation.soft_targets(teacher, split.x_train, temperature=4.0)
    loss = distillation.loss_at(4.0)
    fit(alone, split, recipe=RECIPE, history=tmp_path, seed=3, epochs=2, loss=loss, targets=soft)
    assert models.fingerprint(alone) == models.fingerprint(student)
    assert models.fingerprint(student) != models.fingerprint(teacher)
    assert recorded.epochs == [1, 2] and recorded.stored == [2], "only the newest weights stay"
    assert history.History(folder / "teacher").stored == [2]


def test_a_killed_distillation_continues_to_the_same_bits(tmp_path, pair, split, distilled):
    class Killed(Exception):
        pass

    for moment in ("teacher epoch 2/2", "student epoch 2/2"):
        seen = []

        def kill(done, total, note, moment=moment, seen=seen):
            seen.append(done / total)
            if moment in note:
                raise Killed

        with pytest.raises(Killed):
            distil(pair, split, tmp_path, progress=kill)
        assert seen == sorted(seen) and seen[-1] <= 1
    _, mended, _ = distil(pair, split, tmp_path)
    assert models.fingerprint(mended) == models.fingerprint(distilled[1])


def test_another_temperature_does_not_continue(pair, split, distilled):
    with pytest.raises(ValueError, match="this history has temperature 4.0, not 5.0"):
        distil(pair, split, distilled[3], distillation.Distillation(temperature=5.0, epochs=2))


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_temperatures_that_are_none(temperature):
    with pytest.raises(ValueError, match="above 0"):
        distillation.Distillation(temperature=temperature)
