"""Key neurons against a loop over single connections, in chains and branches."""

import types

import keras
import numpy
import pytest

from dare import graph, key_neurons, nnslicer, transform


def random_slice(model, seed, share=0.7, layers=None):
    """Random connections of every weighted layer, as nnslicer.Slice holds them."""
    generator, kept = numpy.random.default_rng(seed), {}
    for name, item in graph.read(model).weighted.items():
        kept[name] = generator.random((3, *item.weights().shape)) < share
    for c in range(3):
        kept["logits"][c, :, numpy.arange(3) != c] = False
    chosen = kept if layers is None else {name: kept[name] for name in layers}
    return types.SimpleNamespace(kept=chosen, output="logits" if "logits" in chosen else None)


def naive(readers, channels, rule):
    """readers: (kept (classes, inputs, outputs), channel of R of each input, outputs analysed of each class)."""
    chosen = numpy.zeros((3, channels), bool)
    for c in range(3):
        kept, leaving = numpy.zeros(channels), numpy.zeros(channels)
        for connections, sources, analysed in readers:
            for place, channel in enumerate(sources):
                for output in range(connections.shape[2]):
                    if analysed is None or output == c:
                        leaving[channel] += 1
                        kept[channel] += connections[c, place, output]
        average = kept.sum() / leaving.sum()
        chosen[c] = kept > 0 if rule == "any" else kept / leaving >= average - 1e-12
    return chosen


@pytest.mark.parametrize("rule", key_neurons.RULES)
@pytest.mark.parametrize("seed", range(3))
def test_a_flattened_layer_has_a_connection_from_each_position(small_net, rule, seed):
    slices = random_slice(small_net, seed, share=0.02 if rule == "any" else 0.7)
    sources = numpy.arange(small_net.get_layer("flatten").output.shape[-1]) % 6
    expected = naive([(slices.kept["dense1"], sources, None)], 6, rule)
    numpy.testing.assert_array_equal(key_neurons.key_channels(small_net, slices, "conv2", rule), expected)


@pytest.mark.parametrize("rule", key_neurons.RULES)
def test_a_convolution_and_the_logits_as_readers(small_net, rule):
    slices = random_slice(small_net, 3)
    expected = naive([(slices.kept["conv2"], numpy.arange(4), None)], 4, rule)
    for layer in ("conv1", "relu1"):
        numpy.testing.assert_array_equal(key_neurons.key_channels(small_net, slices, layer, rule), expected)
    expected = naive([(slices.kept["logits"], numpy.arange(8), "own")], 8, rule)
    for layer in ("dense1", "dropout1"):
        numpy.testing.assert_array_equal(key_neurons.key_channels(small_net, slices, layer, rule), expected)


def branching(join):
    """conv1 is read by conv2, by conv3 and, behind an Add or Concatenate with conv2's output, by conv4."""
    layers = keras.layers
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", name="conv1")(inputs)
    left = layers.Conv2D(4, 3, padding="same", name="conv2")(x)
    side = layers.Conv2D(3, 1, name="conv3")(x)
    joined = layers.ReLU(name="relu")(join([x, left]))
    tail = layers.Conv2D(3, 1, name="conv4")(joined)
    both = layers.GlobalAveragePooling2D(name="pool")(layers.Add(name="sum")([tail, side]))
    return keras.Model(inputs, layers.Dense(3, name="logits")(both))


@pytest.mark.parametrize("rule", key_neurons.RULES)
def test_every_layer_that_reads_it_counts(rule):
    model = branching(keras.layers.Add(name="join"))
    slices = random_slice(model, 4)
    straight = numpy.arange(4)
    expected = naive([(slices.kept[name], straight, None) for name in ("conv2", "conv3", "conv4")], 4, rule)
    numpy.testing.assert_array_equal(key_neurons.key_channels(model, slices, "conv1", rule), expected)


def test_every_class_has_a_key_neuron_under_average_and_a_slice_that_keeps_all_has_all(small_net, images):
    slices = nnslicer.slice_model(small_net, *images, per=0.5)
    layer = transform.regression_layer(small_net)
    assert key_neurons.key_channels(small_net, slices, layer).any(axis=1).all()
    everything = nnslicer.slice_model(small_net, *images, per=1.0)
    assert key_neurons.key_channels(small_net, everything, layer).all()


def test_what_has_no_key_neurons_is_refused(small_net):
    slices = random_slice(small_net, 0)
    with pytest.raises(ValueError, match="rule is 'most', expected one of average, any"):
        key_neurons.key_channels(small_net, slices, "conv2", "most")
    slices.kept["dense1"][1] = False
    with pytest.raises(ValueError, match="classes 1 keep no connection that leaves conv2"):
        key_neurons.key_channels(small_net, slices, "conv2", "any")
    with pytest.raises(ValueError, match="the slice lacks dense1, which reads conv2"):
        key_neurons.key_channels(small_net, random_slice(small_net, 0, layers=["conv1", "logits"]), "conv2")
    model = branching(keras.layers.Concatenate(name="join"))
    with pytest.raises(ValueError, match="join mixes channels of the regression layer with others"):
        key_neurons.key_channels(model, random_slice(model, 0), "conv1")
    with pytest.raises(ValueError, match="conv2 has no key neurons"):
        key_neurons.key_channels(model, random_slice(model, 0), "conv2")
