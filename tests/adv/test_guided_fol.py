"""FOL against plain float64, at saturated logits too, and the selectors of RobOT with their edges."""

import keras
import numpy
import pytest

from adv.guided import fol, ordering, selection


def linear(kernel, bias):
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Dense(kernel.shape[1])(keras.layers.Flatten()(inputs)))
    model.layers[-1].set_weights([kernel.astype("float32"), bias.astype("float32")])
    return model


def naive(kernel, bias, attacked, x, y, epsilon, norm):
    """In float64 and an input at a time; 1 - p_y is a sum over the other classes."""
    kernel, bias = kernel.astype("float32").astype(float), bias.astype("float32").astype(float)
    values = []
    for image, centre, label, radius in zip(attacked.astype(float), x.astype(float), y, epsilon, strict=True):
        z = image.ravel() @ kernel + bias
        p = numpy.exp(z - z.max()) / numpy.exp(z - z.max()).sum()
        others = numpy.arange(len(p)) != label
        size = p[others].max() or 1.0
        gradient = kernel[:, others] @ (p[others] / size) - kernel[:, label] * (p[others] / size).sum()
        dual = abs(gradient).sum() if norm == "linf" else numpy.sqrt((gradient**2).sum())
        values.append(size * (radius * dual - gradient @ (image - centre).ravel()))
    return numpy.array(values)


def inside(x, epsilon, norm, generator):
    change = generator.uniform(-1, 1, x.shape)
    sizes = abs(change).max(axis=(1, 2, 3)) if norm == "linf" else numpy.sqrt((change**2).sum(axis=(1, 2, 3)))
    return (x + change * (0.99 * epsilon / sizes)[:, None, None, None]).astype("float32")


@pytest.mark.parametrize("norm", fol.NORMS)
@pytest.mark.parametrize("scale", [1.0, 30.0, 100.0])
def test_fol_is_that_of_float64_at_any_scale_of_the_logits(norm, scale):
    generator = numpy.random.default_rng(0)
    kernel, bias = scale * generator.normal(size=(16, 5)), scale * generator.normal(size=5)
    x = generator.uniform(0.3, 0.7, (40, 4, 4, 1)).astype("float32")
    y, epsilon = numpy.arange(40) % 5, numpy.linspace(0.01, 0.3, 40)
    attacked = inside(x, epsilon, norm, generator)
    model = linear(kernel, bias)
    y[:20] = numpy.asarray(model(attacked[:20])).argmax(axis=1)  # correct, and saturated where the scale is large
    expected = naive(kernel, bias, attacked, x, y, epsilon, norm)
    values = fol.fol(model, attacked, x, y, epsilon=epsilon, norm=norm, batch_size=7)
    assert values.dtype == numpy.float64
    numpy.testing.assert_allclose(values, expected, rtol=2e-5 * scale, atol=1e-300)
    if scale > 1:
        assert 0 < values[:20].min() < 1e-8, "tiny, but not 0: float32 rounds 1 - p_y to 0 here"


def test_fol_is_zero_at_the_worst_of_the_ball_alone():
    generator = numpy.random.default_rng(1)
    kernel = generator.normal(size=(16, 2))
    model, x, y = linear(kernel, numpy.zeros(2)), numpy.full((3, 4, 4, 1), 0.5, "float32"), numpy.array([0, 0, 0])
    worst = 0.1 * numpy.sign(kernel[:, 1] - kernel[:, 0]).reshape(4, 4, 1)
    attacked = (x + numpy.array([1, 0, -1])[:, None, None, None] * worst).astype("float32")
    values = fol.fol(model, attacked, x, y, epsilon=0.1)
    assert values[0] == pytest.approx(0, abs=1e-6) and values[1:].min() > 0.1


def test_fol_does_not_depend_on_the_block(monkeypatch):
    generator = numpy.random.default_rng(2)
    model = linear(generator.normal(size=(16, 3)), numpy.zeros(3))
    x = generator.random((10, 4, 4, 1), dtype="float32")
    whole = fol.fol(model, x, x, numpy.arange(10) % 3, epsilon=0.1)
    monkeypatch.setattr(fol, "BLOCK", 4)
    numpy.testing.assert_allclose(fol.fol(model, x, x, numpy.arange(10) % 3, epsilon=0.1), whole, rtol=1e-6)


def test_what_fol_refuses():
    model, x, y = linear(numpy.eye(16)[:, :3], numpy.zeros(3)), numpy.full((2, 4, 4, 1), 0.5, "float32"), [0, 1]
    with pytest.raises(ValueError, match="2 inputs lie outside their ball of epsilon 0.1 in linf, by up to 0.1"):
        fol.fol(model, x + 0.2, x, y, epsilon=0.1)
    with pytest.raises(ValueError, match="norm is 'l1', expected one of linf, l2"):
        fol.fol(model, x, x, y, epsilon=0.1, norm="l1")
    with pytest.raises(ValueError, match="expected the same"):
        fol.fol(model, x, x[:1], y, epsilon=0.1)
    for epsilon in (numpy.inf, "0.1", numpy.ones(3), None):
        with pytest.raises(ValueError, match="epsilon is .*, expected a finite number, or one for each of 2 images"):
            fol.fol(model, x, x, y, epsilon=epsilon)
    with pytest.raises(ValueError, match="NaN or infinite for 2 of 2"):
        fol.fol(linear(numpy.full((16, 3), numpy.inf), numpy.zeros(3)), x, x, y, epsilon=0.1)


VALUES = numpy.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8])


def test_both_ends_in_turn():
    assert selection.be_st(VALUES).tolist() == [1, 2, 5, 6, 3, 4, 0]
    for n in (2, 4, 6):
        ranked, half = numpy.argsort(VALUES), n // 2
        assert set(selection.be_st(VALUES)[:n]) == {*ranked[:half], *ranked[-half:]}
    assert selection.be_st(numpy.zeros(5)).tolist() == [0, 4, 1, 3, 2] and selection.be_st([2.0]).tolist() == [0]


@pytest.mark.parametrize("order", [selection.km_st, selection.km_st_released])
@pytest.mark.parametrize("values", [VALUES, numpy.zeros(7), numpy.array([1e-300, 1, 1e300, 1e300, 2, 0, 5])])
@pytest.mark.parametrize("sections", [1, 3, 7])
def test_an_order_has_every_input_once(order, values, sections):
    once = order(values, sections=sections, seed=4)
    assert sorted(once) == list(range(7)) and once.tolist() == order(values, sections=sections, seed=4).tolist()


def test_sections_of_the_range_give_one_input_in_turn():
    values = numpy.concatenate([numpy.linspace(0, 0.2, 50), [0.5, 0.55], [0.9, 1.0]])  # the third of five is empty
    order = selection.km_st(values, sections=4, seed=1)
    section = numpy.minimum((values * 4).astype(int), 3)[order]
    assert sorted(section[:3]) == [0, 2, 3] == sorted(section[3:6]) and (section[6:] == 0).all()
    firsts = {int(selection.km_st(values, sections=4, seed=seed)[0]) >= 50 for seed in range(20)}
    assert firsts == {True, False}, "the sections come in random order"


def test_blocks_of_ranks_are_taken_whole():
    values = numpy.random.default_rng(0).permutation(23).astype(float)
    order = values[selection.km_st_released(values, sections=5, seed=0)]
    blocks = order[:20].reshape(5, 4)
    assert (numpy.diff(blocks, axis=1) == 1).all() and sorted(blocks[:, 0]) == [0, 4, 8, 12, 16]
    assert order[20:].tolist() == [20, 21, 22], "never taken by the released code"


def test_take_and_the_traps_of_the_released_code():
    p = numpy.array([[0.5, 0.5], [1, 0], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2], [0.7, 0.3]])
    chosen = {"fol": VALUES, "probabilities": p}
    assert selection.take("gini", 4, **chosen).tolist() == [0, 4, 3, 6], "of equal ones the first"
    assert selection.take("be-st", 1, **chosen).tolist() == [1]
    assert len(selection.take("be-st", 1, **chosen, as_released=True)) == 7
    assert len(selection.take("km-st-released", 5, **chosen, sections=3)) == 4, "whole blocks of two"
    assert len(selection.take("km-st", 5, **chosen, sections=3)) == 5
    assert len(set(selection.take("random", 7, **chosen))) == 7
    with pytest.raises(ValueError, match="7 inputs in 1000 blocks, expected at least one input a block"):
        selection.take("km-st-released", 5, **chosen)
    for n, name in ((0, "gini"), (8, "gini"), (3, "st")):
        with pytest.raises(ValueError, match=f"{n} of 7 inputs by '{name}', expected at least one"):
            selection.take(name, n, **chosen)
    for scores, words in (([numpy.nan], "expected finite"), ([], "at least one"), (None, "no FOL: this order needs")):
        with pytest.raises(ValueError, match=words):
            selection.be_st(scores)


def test_selectors_are_metrics_whose_prefixes_are_the_selections():
    activations, classes = numpy.random.default_rng(0).normal(size=(7, 3)), numpy.arange(7) % 2
    context = ordering.Context(activations, classes, activations, classes, numpy.eye(2)[classes], fol=VALUES)
    ranked = {
        name: metric.arrange(metric.score(context), 0) for name, metric in ordering.METRICS.items() if metric.by_fol
    }
    assert list(ranked) == ["be-st", "km-st", "km-st-released"]
    assert ranked["be-st"].tolist() == selection.be_st(VALUES).tolist()
    assert all(sorted(order) == list(range(7)) for order in ranked.values())
