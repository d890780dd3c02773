"""Square: its schedule and windows against a naive loop, its margin, its start in each norm."""

import numpy
import pytest

from adv import attacks, search, square_step
from adv.base import of_image
from models import compute
from train.seeds import stream

pytestmark = pytest.mark.backends

EPSILON = 0.03


@pytest.fixture(scope="module")
def robust(net):
    """Images and the labels that the net predicts."""
    x = numpy.random.default_rng(21).random((24, 8, 8, 2), dtype="float32")
    return x, search.classes(net, x).astype("int32")


def margins(net, x, labels):
    return compute.predict(compute.compiled(net, square_step.judge), x, labels)[0]


def test_the_schedule_is_that_of_autoattack():
    sides = square_step.sides(9000, 32, 32, "linf", 0.8)
    expected = {0: 29, 10: 29, 11: 20, 50: 20, 51: 14, 201: 10, 501: 7, 1001: 5, 2001: 4, 4001: 3, 6001: 2, 8001: 1}
    assert {query: sides[query] for query in expected} == expected
    odd = square_step.sides(9000, 32, 32, "l2", 0.8)
    assert {query: odd[query] for query in (0, 11, 51, 201, 501, 1001, 8999)} == {
        **{0: 29, 11: 21, 51: 15, 201: 11, 501: 7, 1001: 5, 8999: 3}
    }
    assert square_step.sides(20, 8, 4, "linf", 1.0).max() == 4


@pytest.mark.parametrize("released", [False, True])
def test_linf_is_the_naive_loop(released, net, robust):
    x, labels = robust
    queries = 60
    attack = attacks.Square(queries=queries, as_released=released)
    attacked, compared = attack.within(net, x, labels, epsilon=EPSILON), 0
    for image, label, point in zip(x, labels, attacked, strict=True):
        signs = of_image(image, 0, "square start").choice(numpy.float32([-1, 1]), (1, 8, 2))
        best, tied = numpy.clip(image + numpy.float32(EPSILON) * signs, 0, 1), False
        least = margins(net, best[None], label[None])[0]
        generator = stream(0, "square", 0) if released else of_image(image, 0, "square", 0)
        draws = generator.integers(0, 1 << 16, (queries, 4), numpy.uint16).astype(int)
        for query in range(queries):
            if least <= 0:
                break
            side = round((0.8 / (1 if query <= 10 else 2 if query <= 50 else 4) * 64) ** 0.5)
            row, column = (int(draw / 65536 * (8 - side + (not released))) for draw in draws[query, :2])
            moved = best.copy()
            moved[row : row + side, column : column + side] += (
                2 * numpy.float32(EPSILON) * numpy.where(draws[query, 2:] < 32768, -1, 1)
            )
            moved = numpy.clip(moved, image - numpy.float32(EPSILON), image + numpy.float32(EPSILON)).clip(0, 1)
            value = margins(net, moved[None], label[None])[0]
            # Which of two is less the rounding of another size of batch may decide.
            tied |= abs(value - least) < 1e-6 and not numpy.allclose(moved, best, atol=1e-5)
            if value < least:
                best, least = moved, value
        if not tied:
            numpy.testing.assert_allclose(point, best, atol=2e-6)
            compared += 1
    assert compared > len(x) / 2


def naive_pattern(side):
    """The L2 window of a side, value by value: float64 (side, side) of norm 1."""
    values = numpy.zeros((side, side))
    upper = side // 2
    for top, height, sign in ((0, upper, 1), (upper, side - upper, -1)):
        half = numpy.zeros((height, side))
        for row in range(height):
            for column in range(side):
                ring = max(abs(row - height // 2), abs(column - side // 2))
                rings = max(height // 2, side // 2)
                half[row, column] = sum(1 / (k + 1) ** 2 for k in range(ring, rings + 1))
        values[top : top + height] = sign * half / max(numpy.sqrt((half**2).sum()), 1e-12)
    return values / numpy.sqrt((values**2).sum())


def naive_grid(image):
    """The first L2 perturbation of an image, window by window: float64 (H, W, C) of norm 1."""
    height, width, channels = image.shape
    generator, grid = of_image(image, 0, "square start"), numpy.zeros(image.shape)
    side = max(min(height, width) // 5, 1)
    begin = max(height - 5 * side, 0) // 2
    for row in range(begin, height - side + 1, side):
        for column in range(begin, width - side + 1, side):
            window = naive_pattern(side).T if generator.random() > 0.5 else naive_pattern(side)
            signs = generator.choice(numpy.float32([-1, 1]), channels)
            for channel in range(channels):
                grid[row : row + side, column : column + side, channel] += signs[channel] * window
    return grid / numpy.sqrt((grid**2).sum())


def naive_l2(image, best, numbers, side, epsilon, released):
    """The proposal of an L2 query, pixel by pixel: float64 (H, W, C)."""
    height, width, channels = image.shape
    places = [max(size - side + (not released), 1) for size in (height, width)] * 2
    row, column, other_row, other_column = (
        int(number) * place // 65536 for number, place in zip(numbers, places, strict=False)
    )
    inside, other = numpy.zeros((height, width), bool), numpy.zeros((height, width), bool)
    inside[row : row + side, column : column + side] = True
    other[other_row : other_row + side, other_column : other_column + side] = True
    window = naive_pattern(side).T if numbers[4] < 32768 else naive_pattern(side)
    change = best - image
    unused = max(epsilon**2 - (change**2).sum(), 0) / channels
    budget = numpy.sqrt(unused + (change[inside | other] ** 2).sum())
    proposed = numpy.where((other & ~inside)[..., None], 0.0, change)
    for channel in range(channels):
        old = change[row : row + side, column : column + side, channel]
        new = (1 if numbers[5 + channel] >= 32768 else -1) * window + old / (1e-12 + numpy.sqrt((old**2).sum()))
        new *= budget / (1e-12 + numpy.sqrt((new**2).sum()))
        proposed[row : row + side, column : column + side, channel] = new
    proposed *= epsilon / (1e-12 + numpy.sqrt((proposed**2).sum()))
    return numpy.clip(image + proposed, 0, 1)


def extreme_images():
    """Black, white, and random black and white images, and images at the ends of [0, 1] but for rounding."""
    generator = numpy.random.default_rng(22)
    binary = generator.integers(0, 2, (4, 8, 8, 2)).astype("float32")
    near = numpy.abs(generator.integers(0, 2, (2, 8, 8, 2)) - 1e-7).astype("float32")
    return numpy.concatenate([numpy.zeros((1, 8, 8, 2), "float32"), numpy.ones((1, 8, 8, 2), "float32"), binary, near])


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize(("kind", "epsilon"), [("random", 0.3), ("random", 0.02), ("extreme", 0.6), ("extreme", 4.0)])
def test_l2_is_the_naive_loop(kind, epsilon, released, net, robust):
    x = robust[0][:12] if kind == "random" else extreme_images()
    labels = search.classes(net, x).astype("int32")
    queries = 60
    attack = attacks.Square(norm="l2", queries=queries, as_released=released)
    attacked, compared, moves = attack.within(net, x, labels, epsilon=epsilon), 0, 0
    for image, label, point in zip(x, labels, attacked, strict=True):
        exact = image.astype(float)
        best, tied = numpy.clip(exact + epsilon * naive_grid(image), 0, 1), False
        least = margins(net, best[None].astype("float32"), label[None])[0]
        generator = stream(0, "square", 0) if released else of_image(image, 0, "square", 0)
        numbers = generator.integers(0, 1 << 16, (queries, 7), numpy.uint16).astype(int)
        for query in range(queries):
            tied |= abs(least) < 1e-6
            if least <= 0:
                break
            side = round((0.8 / (1 if query <= 10 else 2 if query <= 50 else 4) * 64) ** 0.5)
            side = min(max(side, 3) // 2 * 2 + 1, 8)
            moved = naive_l2(exact, best, numbers[query], side, epsilon, released)
            value = margins(net, moved[None].astype("float32"), label[None])[0]
            # Rounding may decide which of two margins is less.
            tied |= abs(value - least) < 2e-6 and not numpy.allclose(moved, best, atol=1e-5)
            if value < least:
                best, least, moves = moved, value, moves + 1
        if not tied:
            numpy.testing.assert_allclose(point, best, atol=1e-5)
            compared += 1
    assert compared > len(x) / 2 and moves > len(x) / 2


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_margin_never_rises_and_images_keep_to_the_ball(norm, net, robust):
    x, labels = robust
    epsilon = {"linf": EPSILON, "l2": 0.3}[norm]
    before = numpy.inf
    for queries in (1, 10, 60, 300):
        attacked = attacks.Square(norm=norm, queries=queries).within(net, x, labels, epsilon=epsilon)
        assert (
            search.norm(attacked - x.astype(float), norm).max() <= epsilon
            and 0 <= attacked.min()
            and attacked.max() <= 1
        )
        margin = margins(net, attacked, labels)
        assert (margin <= before + 1e-5).all()
        before = margin
    assert 2 < (margin > 0).sum() < 23


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_is_the_same_in_every_batch(norm, net, robust):
    x, labels = robust
    attack, epsilon = attacks.Square(norm=norm, queries=60), {"linf": EPSILON, "l2": 0.3}[norm]
    whole = attack.within(net, x, labels, epsilon=epsilon)
    parts = attack.within(net, x[::-1], labels[::-1], epsilon=epsilon, batch_size=5)[::-1]
    numpy.testing.assert_allclose(whole, parts, atol=2e-6)


def test_the_blocks_of_draws_go_on(net, robust, monkeypatch):
    monkeypatch.setattr("adv.square.BLOCK", 7)
    x, labels = robust
    seen = []
    monkeypatch.setattr(compute, "repeat", lambda model, step, state, n, **how: seen.append((n, how)) or state)
    attacks.Square(queries=16).within(net, x[:2], labels[:2], epsilon=1e-6)
    assert [n for n, _ in seen] == [7, 7, 2]
    assert [how["constants"][-1].tolist() for _, how in seen] == [[0, 0], [7, 7], [14, 14]]
    assert (seen[0][1]["constants"][3][:, :2] != seen[1][1]["constants"][3][:, :2]).any()


def test_starts_are_stripes_and_windows_of_norm_1():
    x = numpy.random.default_rng(0).random((3, 16, 16, 2), dtype="float32")
    stripes = square_step.start(x, 0, "linf")
    assert (numpy.abs(stripes) == 1).all() and (stripes == stripes[:, :1]).all() and len(numpy.unique(stripes)) == 2
    windows = square_step.start(x, 0, "l2")
    numpy.testing.assert_allclose(search.norm(windows, "l2"), 1, rtol=1e-5)
    assert (square_step.start(x, 1, "l2") != windows).any()


@pytest.mark.parametrize("side", [1, 2, 3, 6, 29])
def test_a_pattern_is_two_halves_of_opposite_sign(side):
    window = square_step.pattern(side)
    numpy.testing.assert_allclose(numpy.linalg.norm(window), 1, rtol=1e-5)
    assert (window[: side // 2] > 0).all() and (window[side // 2 :] < 0).all()


def test_hyper_parameters_out_of_range():
    for refused in ({"norm": "l1"}, {"queries": 0}, {"p": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(refused))):
            attacks.Square(**refused)
