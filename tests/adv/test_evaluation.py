"""AutoAttack and its benchmark: the worst case of its attacks, saved flags, and failing checks."""

import keras
import numpy
import pytest

from adv import attacks, autoattack, evaluate, evaluation, search, suspicions

EPSILON = {"linf": 0.03, "l2": 0.3}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """The versions with fewer steps and queries than the paper's."""
    for version, listed in autoattack.VERSIONS.items():
        few = {
            name: (kind, settings | ({"queries": 100} if kind is attacks.Square else {"steps": 10}))
            for name, (kind, settings) in listed.items()
        }
        monkeypatch.setitem(autoattack.VERSIONS, version, few)


@pytest.fixture(scope="module")
def labelled(net):
    """Forty images; the net misclassifies one."""
    x = numpy.random.default_rng(12).random((40, 8, 8, 2), dtype=numpy.float32)
    y = search.classes(net, x)
    y[5] = (y[5] + 1) % 4
    return x, y


class Noise(keras.layers.Layer):
    """Adds random numbers, also at inference."""

    def __init__(self, size=0.05):
        super().__init__()
        self.size, self.seed_generator = size, keras.random.SeedGenerator(3)

    def call(self, x):
        return x + self.size * keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)

    def compute_output_shape(self, shape):
        return shape


def before(net, function):
    """The net with a function of the images in front of it."""
    inputs = keras.Input(net.input_shape[1:])
    return keras.Model(inputs, net(function(inputs)))


@pytest.mark.backends
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_whole_is_the_worst_case_of_its_attacks(norm, net, labelled):
    result = evaluation.benchmark(net, *labelled, norm=norm, epsilon=EPSILON[norm])
    alone = {
        name: evaluate.robust_flags(net, *labelled, attack, epsilon=EPSILON[norm])
        for name, attack in autoattack.AutoAttack(norm=norm).attacks.items()
    }
    numpy.testing.assert_array_equal(result.flags["square"], numpy.all([*alone.values()], axis=0))
    assert (result.clean.count, result.robust.count) == (39, int(result.flags["square"].sum()))
    assert 0 < result.robust.count < 39
    assert list(result.flags) == ["clean", "apgd-ce", "apgd-t", "fab-t", "square"]
    whole = evaluate.robust_flags(net, *labelled, autoattack.AutoAttack(norm=norm), epsilon=EPSILON[norm])
    numpy.testing.assert_array_equal(whole, result.flags["square"])


def test_what_it_makes_is_in_the_ball(net, labelled):
    x, labels = labelled[0], search.classes(net, labelled[0]).astype("int32")
    attacked = autoattack.AutoAttack().within(net, x, labels, epsilon=0.03)
    assert search.norm(attacked - x.astype(float), "linf").max() <= 0.03 and 0 <= attacked.min() and attacked.max() <= 1


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("standard", ["apgd-ce", "apgd-t", "fab-t", "square"]),
        ("plus", ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]),
        ("rand", ["apgd-ce", "apgd-dlr"]),
    ],
)
def test_the_versions_are_the_papers(version, names):
    members = autoattack.AutoAttack(version=version, norm="l2", seed=7).attacks
    assert list(members) == names
    assert {attack.norm for attack in members.values()} == {"l2"} and {member.seed for member in members.values()} == {
        7
    }
    runs = [attack.passes if version == "rand" else getattr(attack, "restarts", 1) for attack in members.values()]
    assert runs == {"standard": [1, 1, 1, 1], "plus": [5, 5, 5, 1, 1, 1], "rand": [20, 20]}[version]


def test_flags_are_kept_and_read_back(net, labelled, tmp_path):
    done = []
    how = {"epsilon": 0.03, "folder": tmp_path, "progress": lambda *state: done.append(state)}
    first = evaluation.benchmark(net, *labelled, **how)
    assert done[0] == (39, 39, "apgd-ce") and [name for *_, name in done] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    (tmp_path / "square.h5").unlink()
    done.clear()
    again = evaluation.benchmark(net, *labelled, **how)
    assert [name for *_, name in done] == ["square"]
    for name, flags in first.flags.items():
        numpy.testing.assert_array_equal(flags, again.flags[name])
    assert first.row() == again.row()
    assert "clean       97.50 %" in first.table() and "check few-classes: 4 classes" in first.table()
    with pytest.raises(ValueError, match="flags of another epsilon: choose another folder"):
        evaluation.benchmark(net, *labelled, **(how | {"epsilon": 0.02}))
    with pytest.raises(ValueError, match="another data"):
        evaluation.benchmark(net, labelled[0][::-1], labelled[1], **how)


def test_a_call_killed_within_an_attack_goes_on_there(net, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "TOGETHER", 8)
    how = {"epsilon": 0.03, "batch_size": 8}
    whole = evaluation.benchmark(net, *labelled, **how)
    attacked, run = [], evaluate.attacked_classes

    def until_the_third(model, x, *arguments, **options):
        if len(attacked) == 3:
            raise KeyboardInterrupt
        attacked.append(len(x))
        return run(model, x, *arguments, **options)

    monkeypatch.setattr(evaluate, "attacked_classes", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        evaluation.benchmark(net, *labelled, **how, folder=tmp_path)
    monkeypatch.setattr(evaluate, "attacked_classes", run)
    done = []
    again = evaluation.benchmark(net, *labelled, **how, folder=tmp_path, progress=lambda *state: done.append(state))
    assert attacked == [8, 8, 8] and done[:2] == [(8, 15, "apgd-ce"), (15, 15, "apgd-ce")]
    for name, flags in whole.flags.items():
        numpy.testing.assert_array_equal(flags, again.flags[name])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_flags_do_not_depend_on_the_batch(norm, net, labelled):
    many, few = (
        evaluation.benchmark(net, *labelled, norm=norm, epsilon=EPSILON[norm], batch_size=size) for size in (256, 5)
    )
    for name, flags in many.flags.items():
        numpy.testing.assert_array_equal(flags, few.flags[name], err_msg=name)


def test_images_beyond_one_part_are_attacked_too(net, labelled, monkeypatch):
    whole = evaluation.benchmark(net, *labelled, epsilon=0.03)
    monkeypatch.setattr(evaluation, "TOGETHER", 16)
    parts = evaluation.benchmark(net, *labelled, epsilon=0.03, batch_size=16)
    numpy.testing.assert_array_equal(whole.flags["square"], parts.flags["square"])


def raised(model, images, version="standard"):
    attack = autoattack.AutoAttack(version=version)
    return {check.name for check in suspicions.before(model, *images, attack=attack, epsilon=0.03) if not check.passed}


def test_a_sound_net_raises_only_its_few_classes(net, labelled):
    assert raised(net, labelled) == {"few-classes"}  # four


def test_a_net_that_rounds_its_input_has_no_gradient(net, labelled):
    assert "zero-gradient" in raised(before(net, lambda x: keras.ops.round(4 * x) / 4), labelled)


def test_a_net_that_adds_noise_is_randomised(net, labelled):
    noisy = before(net, Noise())
    assert "randomised" in raised(noisy, labelled)
    assert "randomised" not in raised(noisy, labelled, version="rand")


def test_a_net_that_ends_in_softmax_is_flagged_and_refused(net, labelled):
    squashed = keras.Model(net.inputs, keras.layers.Softmax()(net.outputs[0]))
    assert "probabilities" in raised(squashed, labelled)
    with pytest.raises(ValueError, match="models.to_logits"):
        evaluation.benchmark(squashed, *labelled)


def test_three_classes_are_too_few_for_the_targeted_ratio(net, labelled):
    three = keras.Model(net.inputs, keras.layers.Lambda(lambda z: z[:, :3], output_shape=(3,))(net.outputs[0]))
    x, y = labelled
    results = suspicions.before(three, x, y % 3, attack=autoattack.AutoAttack(), epsilon=0.03)
    (check,) = (result for result in results if result.name == "few-classes")
    assert not check.passed and check.expected == "at least 10 for apgd-t, at least 10 for fab-t"


def test_square_must_not_lower_what_gradients_left():
    flags = {"clean": [1, 1, 1, 1], "apgd-ce": [1, 1, 1, 0], "square": [1, 1, 1, 0]}
    (same,) = suspicions.after({name: numpy.array(correct, bool) for name, correct in flags.items()})
    flags["square"] = [1, 0, 1, 0]
    (lower,) = suspicions.after({name: numpy.array(correct, bool) for name, correct in flags.items()})
    assert same.passed and not lower.passed and lower.seen.startswith("25.0 points")
    assert suspicions.after({"clean": numpy.ones(3, bool)}) == []


def test_every_check_has_its_name(net, labelled):
    result = evaluation.benchmark(net, *labelled, epsilon=0.03)
    brief = "logits", "gradient", "saturated"
    assert tuple(check.name for check in result.checks) == (*suspicions.NAMES[:-1], *brief, suspicions.NAMES[-1])


def test_the_averaged_gradient_of_a_sure_net_is_its_gradient(net, labelled):
    x, labels = labelled[0], search.classes(net, labelled[0]).astype("int32")
    single, many = (
        kind(steps=5).within(net, x, labels, epsilon=0.02) for kind in (attacks.APGD, autoattack.AveragedAPGD)
    )
    # The mean of twenty equal float32 gradients has the sign of each, but where rounding makes it 0.
    numpy.testing.assert_array_equal(search.classes(net, single) == labels, search.classes(net, many) == labels)


def test_averaging_sees_through_noise(net, labelled):
    """The mean of twenty noisy gradients leads further than a single gradient."""
    noisy = before(net, Noise(0.3))
    x, labels = labelled[0], search.classes(net, labelled[0]).astype("int32")
    left = [
        (search.classes(net, kind(steps=10).within(noisy, x, labels, epsilon=0.03)) == labels).sum()
        for kind in (attacks.APGD, autoattack.AveragedAPGD)
    ]
    assert left[1] < left[0]


@pytest.mark.backends
def test_a_lucky_draw_does_not_end_the_averaged_attack(linear):
    """Noise alone misclassifies many a random start; the images still move to the ball's corner against the weights."""
    model, weights, _ = linear
    noisy = before(model, Noise(1.0))
    x = numpy.random.default_rng(2).uniform(0.3, 0.7, (30, 8, 8, 1)).astype("float32")
    labels = search.classes(model, x).astype("int32")
    attacked = autoattack.AveragedAPGD(steps=15).within(noisy, x, labels, epsilon=0.05)
    towards = numpy.sign(attacked - x) * numpy.sign(weights) * numpy.where(labels, -1, 1)[:, None, None, None]
    agreeing = (towards > 0).mean(axis=(1, 2, 3))
    assert numpy.median(agreeing) > 0.9 and (agreeing > 0.8).mean() > 0.8


def test_what_is_out_of_range():
    for refused in ({"norm": "l1"}, {"version": "fast"}, {"seed": -1}, {"seed": 1.5}):
        with pytest.raises(ValueError, match=next(iter(refused))):
            autoattack.AutoAttack(**refused)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ({"epsilon": "8/255"}, "epsilon is '8/255', expected a number"),
        ({"epsilon": float("inf"), "norm": "l2"}, "epsilon is inf"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"batch_size": 0}, "batch_size is 0, expected a whole number"),
    ],
)
def test_arguments_are_refused_before_any_attack(refused, message, net, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "attacked_classes", None)
    with pytest.raises(ValueError, match=message):
        evaluation.benchmark(net, *labelled, folder=tmp_path / "flags", **refused)
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        evaluation.benchmark(net, *labelled, folder=tmp_path / "file" / "flags")


def test_an_epsilon_in_255ths_is_refused(net, labelled):
    with pytest.raises(ValueError, match="so write 8/255"):
        evaluation.benchmark(net, *labelled, epsilon=8)
