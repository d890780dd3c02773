"""Adversarial sets: which images are attacked, what is kept of them, and how a killed run continues."""

import dataclasses
import types

import numpy
import pytest

import data
from adv import adversarial_set, generate_adv, search
from adv.adversarial_set import PARTS, AdversarialSet, Part

COUNTS = {"train": 5, "validation": 3, "test": 4, "heldout": 2}


@pytest.fixture
def split(net, images):
    """48 training and 10 test images of 8x8x2, labelled by the net; every fifth is misclassified."""
    generator = numpy.random.default_rng(8)
    x = generator.integers(0, 256, (58, 8, 8, 2), dtype="uint8")
    y = search.classes(net, data.to_unit(x)).astype("int64")
    y[::5] = (y[::5] + 1) % 4
    rows = numpy.arange(48)
    return data.Split(
        x[:48], y[:48], x[:0], y[:0], x[48:], y[48:], rows, rows[:0], tuple("abcd"), 0, "d" * 64, True, "random"
    )


@pytest.mark.parametrize(
    ("total", "held_out", "expected"),
    [
        (25_000, 10_000, (4000, 1000, 5000, 1000)),
        (10_000, 1000, (4000, 1000, 5000, 1000)),
        (719, 359, (288, 72, 359, 359)),
        (9, 0, (4, 1, 4, 0)),
        (1, 1, (0, 1, 0, 1)),
    ],
)
def test_the_default_parts_are_the_published_or_what_there_is_room_for(total, held_out, expected):
    counts = adversarial_set.fitting(total, held_out)
    assert counts == dict(zip(PARTS, expected, strict=True))
    images = numpy.zeros((total, 1)), numpy.zeros((held_out, 1))
    rows = adversarial_set.draw(types.SimpleNamespace(x_train=images[0], x_test=images[1]), counts, 0)
    assert len({*rows["train"], *rows["validation"], *rows["test"]}) == sum(expected[:3])


@dataclasses.dataclass
class Stub:
    """An attack whose candidate is the inverted image, and which fails on bright images."""

    seen: list = dataclasses.field(default_factory=list)

    def specification(self):
        return {"attack": "stub", "norm": "linf"}

    def closest(self, model, images, labels, *, batch_size):
        self.seen.append(images.copy())
        return 1 - images, images.mean((1, 2, 3)) < 0.5


class Killed(Exception):
    pass


def craft(net, split, folder, attack=None, counts=COUNTS, **settings):
    return generate_adv.generate(net, split, "stub", attack or Stub(), counts=counts, seed=0, folder=folder, **settings)


def same(first, other):
    for part in PARTS:
        for field in ("images", "labels", "index"):
            a, b = getattr(first.parts[part], field), getattr(other.parts[part], field)
            assert a.dtype == b.dtype
            numpy.testing.assert_array_equal(a, b)
    assert (first.drawn, first.attack, first.model, first.data) == (other.drawn, other.attack, other.model, other.data)


def test_parts_are_disjoint_sorted_and_of_the_asked_size(split):
    rows = adversarial_set.draw(split, COUNTS, seed=0)
    assert {part: len(index) for part, index in rows.items()} == COUNTS
    inside = numpy.concatenate([rows[part] for part in ("train", "validation", "test")])
    assert len(set(inside.tolist())) == len(inside) and inside.max() < 48
    assert rows["heldout"].max() < 10
    assert all((numpy.diff(index) > 0).all() for index in rows.values())


def test_the_draw_depends_on_the_seed_alone(split):
    first, again, other = (adversarial_set.draw(split, COUNTS, seed=seed) for seed in (0, 0, 1))
    assert all((first[part] == again[part]).all() for part in PARTS)
    assert any((first[part] != other[part]).any() for part in PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_larger_part_holds_a_smaller_one_whatever_the_others_are(split, part):
    """So a slow attack can use fewer images, none of which the others train on."""
    small = adversarial_set.draw(split, {"train": 2, "validation": 0, "test": 3, "heldout": 4} | {part: 3}, seed=0)
    large = adversarial_set.draw(split, {"train": 11, "validation": 9, "test": 20, "heldout": 10}, seed=0)
    assert set(small[part]) < set(large[part])


def test_all_images_can_be_drawn(split):
    rows = adversarial_set.draw(split, {"train": 14, "validation": 10, "test": 24, "heldout": 10}, seed=0)
    assert sorted(numpy.concatenate([rows[part] for part in PARTS[:3]])) == list(range(48))
    assert list(rows["heldout"]) == list(range(10))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"train": 22}, "3 and 22 for validation and train, but x_train has 48"),
        ({"test": 25}, "25 images to attack for the test part"),
        ({"heldout": 11}, "11 images to attack, but x_test has 10"),
    ],
)
def test_more_images_than_there_are_is_an_error(split, counts, words):
    with pytest.raises(ValueError, match=words):
        adversarial_set.draw(split, COUNTS | counts, seed=0)


def test_misclassified_images_stay_and_failed_ones_go(net, split, tmp_path):
    crafted = craft(net, split, tmp_path, counts={"train": 16, "validation": 8, "test": 24, "heldout": 10})
    rows = adversarial_set.draw(split, crafted.drawn, seed=0)
    kinds = set()
    for name, part in crafted.parts.items():
        x, y = (split.x_test, split.y_test) if name == "heldout" else (split.x_train, split.y_train)
        images, labels, index = [], [], []
        for row in rows[name]:
            image = data.to_unit(x[row : row + 1])
            opposite = 1 - image
            if search.classes(net, image)[0] != y[row]:
                kinds.add("misclassified")
                images.append(image)
            elif image.mean() < 0.5 and search.classes(net, opposite)[0] != y[row]:
                kinds.add("adversarial")
                images.append(opposite)
            else:
                kinds.add("failed")
                continue
            labels.append(y[row])
            index.append(row)
        numpy.testing.assert_array_equal(part.images, numpy.concatenate(images))
        assert part.labels.tolist() == labels and part.index.tolist() == index
        assert part.images.dtype == numpy.float32 and part.labels.dtype == numpy.int64
        assert (search.classes(net, part.images) != part.labels).all()
    assert kinds == {"misclassified", "adversarial", "failed"}


def test_every_attack_gets_the_same_images(net, split, tmp_path):
    first, other = Stub(), Stub()
    craft(net, split, tmp_path / "one", first)
    craft(net, split, tmp_path / "other", other)
    for a, b in zip(first.seen, other.seen, strict=True):
        numpy.testing.assert_array_equal(a, b)


def test_a_killed_call_continues_at_its_first_missing_block(net, split, tmp_path, monkeypatch):
    monkeypatch.setattr(generate_adv, "BLOCK", 2)
    whole = craft(net, split, tmp_path / "whole")
    assert len(list((tmp_path / "whole").glob("block-*"))) == 3 + 2 + 2 + 1

    def kill(done, total, note):
        assert total == sum(COUNTS.values())
        if done == 7:
            raise Killed

    first, second = Stub(), Stub()
    with pytest.raises(Killed):
        craft(net, split, tmp_path / "cut", first, progress=kill)
    same(craft(net, split, tmp_path / "cut", second), whole)
    assert len(first.seen) + len(second.seen) == 8 - skipped(net, split)
    generate_adv.remove_blocks(tmp_path / "cut")
    assert not list((tmp_path / "cut").iterdir())


def test_blocks_of_another_size_are_made_anew(net, split, tmp_path, monkeypatch):
    whole = craft(net, split, tmp_path)
    monkeypatch.setattr(generate_adv, "BLOCK", 2)
    attack = Stub()
    same(craft(net, split, tmp_path, attack), whole)
    assert attack.seen


def skipped(net, split):
    """How many blocks of two have only misclassified images, which no attack receives."""
    rows = adversarial_set.draw(split, COUNTS, seed=0)
    count = 0
    for part, index in rows.items():
        x, y = (split.x_test, split.y_test) if part == "heldout" else (split.x_train, split.y_train)
        fooled = search.classes(net, data.to_unit(x[index])) != y[index]
        count += sum(fooled[start : start + 2].all() for start in range(0, len(index), 2))
    return count


def test_an_empty_part_is_an_empty_part(net, split, tmp_path):
    crafted = craft(net, split, tmp_path, counts=COUNTS | {"validation": 0, "heldout": 0})
    crafted.save(tmp_path / "set.h5")
    loaded = adversarial_set.load(tmp_path / "set.h5")
    same(loaded, crafted)
    assert loaded.parts["validation"].images.shape == (0, 8, 8, 2) and len(loaded.parts["heldout"].index) == 0


def small():
    """A set of random images, two a part."""
    generator = numpy.random.default_rng(0)
    parts = {
        part: Part(generator.random((2, 4, 4, 1), "float32"), numpy.array([0, 1]), numpy.array([3, 5]))
        for part in PARTS
    }
    return AdversarialSet(parts, dict.fromkeys(PARTS, 3), {"name": "stub"}, "m" * 64, "d" * 64)


def test_a_saved_set_comes_back(tmp_path):
    small().save(tmp_path / "set.h5")
    same(adversarial_set.load(tmp_path / "set.h5", model="m" * 64, data="d" * 64), small())


@pytest.mark.parametrize("what", ["model", "data"])
def test_a_set_of_another_model_or_data_is_refused(tmp_path, what):
    small().save(tmp_path / "set.h5")
    with pytest.raises(ValueError, match=f"set.h5: made for {what} .*but this is ffffffffffff: make it again"):
        adversarial_set.load(tmp_path / "set.h5", **{what: "f" * 64})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": numpy.full((2, 4, 4, 1), 1.01, "float32")}, r"outside \[0, 1\]"),
        ({"images": numpy.full((2, 4, 4, 1), numpy.nan, "float32")}, r"outside \[0, 1\]"),
        ({"images": numpy.zeros((3, 4, 4, 1), "float32")}, "expected one of each"),
        ({"labels": numpy.array([1])}, "expected one of each"),
        ({"index": numpy.array([1, 2, 3])}, "expected one of each"),
        ({"images": numpy.float32(0)}, "expected one of each"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, change, words):
    crafted = small()
    broken = crafted.parts | {"test": dataclasses.replace(crafted.parts["test"], **change)}
    dataclasses.replace(crafted, parts=broken).save(tmp_path / "set.h5")
    with pytest.raises(ValueError, match=f"set.h5: part test .*{words}"):
        adversarial_set.load(tmp_path / "set.h5")
