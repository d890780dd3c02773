"""Other targets of the same samples: against every checkpoint's own activations; draws, streaming, subsets."""

import dataclasses

import h5py
import keras
import numpy
import pytest

import data
import models
from dare import dare, epoch_choice, retarget, transform


def naive(cell, layer, epochs):
    """sample -> the activation under its epoch, computed one by one."""
    probe = keras.Model(cell.model.input, cell.model.get_layer(layer).output)
    weights, activations = cell.model.get_weights(), {}
    for sample, epoch in epochs.items():
        cell.history.load_weights(cell.model, epoch)
        activations[sample] = numpy.asarray(probe(data.to_unit(cell.x[sample : sample + 1]), training=False))[0]
    cell.model.set_weights(weights)
    return activations


def check(cell, targets, layer, epochs):
    """`targets` holds the mined samples, each with the activation at `layer` under its epoch, grouped by epoch."""
    assert (targets.layer, targets.model, targets.data) == (layer, cell.targets.model, cell.targets.data)
    assert sorted(targets.index.tolist()) == sorted(cell.targets.index.tolist())
    assert dict(zip(targets.index.tolist(), targets.epoch.tolist(), strict=True)) == epochs
    order = list(zip(targets.epoch.tolist(), targets.index.tolist(), strict=True))
    assert order == sorted(order)
    expected = naive(cell, layer, epochs)
    for sample, activation in zip(targets.index.tolist(), targets.activation[:], strict=True):
        numpy.testing.assert_allclose(activation, expected[sample], atol=1e-5)


def chosen(cell):
    return dict(zip(cell.targets.index.tolist(), cell.targets.epoch.tolist(), strict=True))


@pytest.mark.parametrize("stored", [False, True])
def test_another_layer_keeps_samples_and_epochs(tmp_path, cell, stored):
    identity = models.fingerprint(cell.model)
    path = tmp_path / "targets.h5" if stored else None
    targets = retarget.at_layer(cell.model, cell.history, cell.targets, cell.x, "dense1", path=path)
    check(cell, targets, "dense1", chosen(cell))
    numpy.testing.assert_array_equal(targets.gain, cell.targets.gain)
    assert models.fingerprint(cell.model) == identity
    same = retarget.at_layer(cell.model, cell.history, cell.targets, cell.x, "conv2")
    numpy.testing.assert_array_equal(same.activation, cell.targets.activation)


def test_random_and_single_epochs(cell):
    targets = retarget.random_epochs(cell.model, cell.history, cell.targets, cell.x, seed=3)
    epochs = dict(zip(targets.index.tolist(), targets.epoch.tolist(), strict=True))
    assert set(epochs.values()) == {3, 4, 5}
    check(cell, targets, "conv2", epochs)
    before = chosen(cell)
    for sample, epoch, gain in zip(targets.index.tolist(), targets.epoch.tolist(), targets.gain, strict=True):
        assert numpy.isnan(gain) == (before[sample] != epoch)
    at_epoch_two = retarget.one_epoch(cell.model, cell.history, cell.targets, cell.x, 2, layer="dense1")
    check(cell, at_epoch_two, "dense1", dict.fromkeys(before, 2))


def test_epochs_are_drawn_uniformly_by_the_seed_whatever_the_order_of_samples():
    index, epochs = numpy.arange(30_000), [7, 5, 6, 8, 9]
    chosen = epoch_choice.at_random(index, epochs, 1)
    numbers, counts = numpy.unique(chosen, return_counts=True)
    assert numbers.tolist() == [5, 6, 7, 8, 9]
    assert (abs(counts - 6000) < 5 * numpy.sqrt(30_000 * 0.2 * 0.8)).all()
    assert abs(numpy.corrcoef(chosen[:-1], chosen[1:])[0, 1]) < 0.03
    numpy.testing.assert_array_equal(epoch_choice.at_random(index, epochs, 1), chosen)
    assert (epoch_choice.at_random(index, epochs, 2) != chosen).mean() == pytest.approx(0.8, abs=0.02)
    order = numpy.random.default_rng(0).permutation(30_000)
    numpy.testing.assert_array_equal(epoch_choice.at_random(index[order], epochs, 1), chosen[order])


def test_a_variant_gets_the_targets_that_it_asks_for(cell):
    def of(name, seed=0):
        variant = dare.VARIANTS[name]
        return retarget.of_variant(variant, cell.model, cell.history, cell.targets, cell.x, seed=seed)

    others = {"dare-last", "dare-rand", "dare-newest"}
    assert {name for name, variant in dare.VARIANTS.items() if variant.retargets} == others
    assert all(of(name) is cell.targets for name in dare.VARIANTS.keys() - others)
    check(cell, of("dare-last"), "dense1", chosen(cell))
    check(cell, of("dare-newest"), "conv2", dict.fromkeys(chosen(cell), 5))
    first, again, other = of("dare-rand", 1), of("dare-rand", 1), of("dare-rand", 2)
    numpy.testing.assert_array_equal(first.activation, again.activation)
    assert first.epoch.tolist() != other.epoch.tolist() or first.index.tolist() != other.index.tolist()


def test_the_last_hidden_layer_is_what_the_logits_read(small_net):
    assert transform.last_hidden(small_net) == "dense1"
    layers = keras.layers
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    net = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Dropout(0.5, name="dropout")(x)))
    assert transform.last_hidden(net) == "pool"


def test_missing_epochs_and_foreign_images_are_named(cell):
    cell.history.drop_weights(4)
    with pytest.raises(FileNotFoundError, match="no weights of epoch 4; stored epochs: 1, 2, 3, 5, 6"):
        retarget.one_epoch(cell.model, cell.history, cell.targets, cell.x, 4)
    with pytest.raises(ValueError, match="mined from other images"):
        retarget.at_layer(cell.model, cell.history, cell.targets, cell.x[::-1], "dense1")
    with pytest.raises(ValueError, match="cannot be the regression layer"):
        retarget.at_layer(cell.model, cell.history, cell.targets, cell.x, "logits")


def test_a_subset_reads_only_its_rows_and_tunes_to_the_same_bits(tmp_path, cell):
    rows = numpy.arange(1, len(cell.targets.index), 2)
    expected = dataclasses.replace(
        cell.targets,
        index=cell.targets.index[rows],
        epoch=cell.targets.epoch[rows],
        activation=cell.targets.activation[rows],
    )
    with h5py.File(tmp_path / "activation.h5", "w") as file:
        file["activation"] = cell.targets.activation
        lazy = dataclasses.replace(cell.targets, activation=file["activation"])
        digests = set()
        for subset in (cell.targets.subset(rows), lazy.subset(rows), expected):
            assert subset.activation.shape == expected.activation.shape and len(subset.activation) == len(rows)
            numpy.testing.assert_array_equal(subset.index, expected.index)
            tuned = dare.tune(cell.model, subset, cell.x, steps=2, batch_size=8, learning_rate=1e-3)
            digests.add(models.fingerprint(tuned))
    assert len(digests) == 1
