"""Slicing: the connections of a trained classifier that matter for each class.

The analysis starts at the output neuron of a class and walks back through the network. At every dense or convolutional
layer it keeps, for each neuron, the incoming connections that contribute most to the difference between the class and
the average image (NNSlicer, FSE 2020, arXiv 2009.13747, section 4; DARE, ASE 2022, and TOSEM 33(3) 2024, section on
slicing). A neuron is a dense unit or a conv channel; conv kernels are summed over positions. Images are read once
(`dare.profile`); the rest is matrix algebra (`dare.contribution`).

W[j, i] is the weight from neuron j to neuron i, d_in and d are the differences of the class before and after the layer,
and C is the contribution of the layer's outputs. A connection has the local contribution C_i * d_i * W[j, i] * d_in[j].

`rule="dare"`: C of the class's logit is its own d. Of n incoming connections the int((1 - per) * n + 1e-9) with the
smallest local contribution are cut, ties by index. The contribution of an input of the logits is the local contribution
itself, 0 where cut; of an input of any other layer, the sum of the signs of its local contributions.
`rule="nnslicer"`: C of the logit is 1. Connections are dropped by ascending |W * d_in|, ties by index, while
|sum of the dropped| < theta * |d_i|. The contribution of an input is the sum of the signs over its kept connections.

Differences from the papers:
1. [D] The cut orders raw values; DARE's released code sorts their signs, which cuts low indices first.
2. [I] In a hidden layer the cut connections of `rule="dare"` still count in the contributions of the inputs.
3. [I] NNSlicer's |y_n| is read as the neuron's difference |d_i|; [D] a neuron with d_i = 0 keeps everything.
4. [D] Branches, Flatten and depthwise layers: see `dare.graph`; class means and rounding: see `dare.profile`.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import itertools
import numbers
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy

import models
from dare import contribution, graph, profile
from data import files
from models import compute, contract

LAYERS = {
    # model name -> names of the layers to slice; None, or a model that is not listed: every dense and convolutional
    # layer
    "alexnet": None,
    "vgg16": None,
    "vgg19": None,
}
RULES = ("dare", "nnslicer")
COMBINES = ("union", "majority", "intersection")
KIND = "slice"


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """The connections that each class keeps.

    kept: layer name -> bool (classes, inputs, outputs), of a depthwise layer (classes, inputs, multiplier): the
        classes, then the last two axes of the layer's kernel. In the output layer class c has column c only; its
        other columns are False.
    per, rule, theta, representative: arguments of slice_model (theta is None under rule "dare").
    model, data: SHA-256 of the model (models.fingerprint) and of the images and labels (files.fingerprint).
    output: name of the output layer, None where it is not in `kept`.
    """

    kept: dict
    per: float
    rule: str
    theta: float | None
    representative: str
    model: str
    data: str
    output: str | None = None

    def mask(self, layer: str, combine: str) -> numpy.ndarray:
        """The mask of a layer over all classes: bool (inputs, outputs), True where a connection is kept.

        combine: "union" (kept by any class), "majority" (by more than half) or "intersection" (by all). A column of
            the output layer belongs to one class, which decides alone in all three.
        Raises ValueError for a layer that is not in the slice, and another `combine`.
        """
        if layer not in self.kept:
            raise ValueError(f"layer {layer!r} is not in the slice; it holds {', '.join(self.kept)}")
        if combine not in COMBINES:
            raise ValueError(f"combine is {combine!r}, expected one of {', '.join(COMBINES)}")
        kept = self.kept[layer]
        if combine == "union" or layer == self.output:
            return kept.any(axis=0)
        if combine == "majority":
            return 2 * kept.sum(axis=0, dtype=numpy.int32) > len(kept)
        return kept.all(axis=0)

    def kept_share(self) -> dict:
        """layer -> fraction in [0, 1] of the analysed connections that each class keeps, a list."""
        return {
            layer: [float((part[:, c] if layer == self.output else part).mean()) for c, part in enumerate(kept)]
            for layer, kept in self.kept.items()
        }

    def frozen_share(self) -> dict:
        """layer -> combine -> fraction in [0, 1] of the connections that the mask freezes."""
        return {
            layer: {combine: float(1 - self.mask(layer, combine).mean()) for combine in COMBINES} for layer in self.kept
        }

    def save(self, path: str | pathlib.Path) -> None:
        """Write the slice to `path` (HDF5, one bit a connection), whole or not at all."""
        bits = numpy.concatenate([numpy.packbits(kept) for kept in self.kept.values()])
        facts = {field: getattr(self, field.name) for field in dataclasses.fields(self)[1:]}
        attributes = {field.name: fact for field, fact in facts.items() if fact != field.default}
        attributes["layers"] = {layer: kept.shape for layer, kept in self.kept.items()}
        attributes["digest"] = files.fingerprint(bits)
        files.save_artefact(path, KIND, {"bits": bits}, attributes)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Slice:
        """Read a saved slice. Raises FileNotFoundError, and ValueError for a damaged or foreign file."""
        fields = {field.name: field.default for field in dataclasses.fields(cls)[1:]}
        needed = [name for name, default in fields.items() if default is dataclasses.MISSING]
        arrays, attributes = files.load_artefact(path, KIND, ["bits"], facts=[*needed, "layers", "digest"])
        shapes = attributes["layers"]
        bits = arrays["bits"]
        ends = numpy.cumsum([(numpy.prod(shape, dtype=int) + 7) // 8 for shape in shapes.values()])
        if files.fingerprint(bits) != attributes["digest"] or ends[-1] != bits.size:
            raise ValueError(f"{path}: damaged (its digest does not match): delete it and slice again")
        kept = {
            layer: numpy.unpackbits(part, count=int(numpy.prod(shape))).view(bool).reshape(shape)
            for (layer, shape), part in zip(shapes.items(), numpy.split(bits, ends[:-1]), strict=True)
        }
        return cls(kept, **{name: attributes.get(name, default) for name, default in fields.items()})


def slice_model(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    per: float = 0.95,
    rule: str = "dare",
    theta: float | None = None,
    representative: str = "mean",
    layers: Sequence[str] | str | None = None,
    batch_size: int = 128,
    progress: Callable | None = None,
) -> Slice:
    """Slice a classifier for each of its classes.

    model: functional model from pixels in [0, 1] (N, H, W, C) to logits (N, classes).
    x: uint8 images, or float32 in [0, 1]; y: integer labels (N,). Every class needs an image.
    rule: how connections are cut, "dare" or "nnslicer" (see the top of this file).
    per: fraction in (0, 1] of each neuron's incoming connections that is kept (rule "dare").
    theta: fraction >= 0 of a neuron's difference that may be dropped (required by rule "nnslicer").
    representative: how a class is represented: by the "mean" of its images, or by its "first" image.
    layers: names of the layers to report; default LAYERS[model name], else every weighted layer.
    batch_size: images in one forward pass.
    progress: called as progress(done, total) after every batch and layer.

    Cost: one forward pass over x, and one partial sort of the connections for each class and layer.
    Raises ValueError for arguments, images or labels outside the above, and for layers that cannot be sliced.
    """
    # The layers with weights, and the checks of all arguments.
    contract.check_model(model)
    table = graph.read(model)
    classes = table.model.outputs[0].shape[-1]
    layers = _chosen_layers(model.name, layers, table)
    _check_options(per, rule, theta, representative, batch_size)
    x, y = profile.check(table.model, x, y, classes)
    batches = -(-len(x) // min(batch_size, len(x)))

    def report(done):
        if progress is not None:
            progress(done, batches + len(table.weighted))

    # Differences d of every class at the input and output of every layer, in one pass over the images.
    tensors = [tensor for item in table.weighted.values() for tensor in (item.input, item.output)]
    tensors = {id(tensor): tensor for tensor in tensors}
    differences = profile.relative_activations(
        table.model,
        list(tensors.values()),
        x,
        y,
        classes=classes,
        representative=representative,
        batch_size=batch_size,
        progress=report,
    )
    differences = dict(zip(tensors, differences, strict=True))

    # From the logits back to the input: cut the connections of each layer, and pass its contributions on.
    kept = {}
    done = itertools.count(batches + 1)

    def at_layer(name, item, of_outputs):
        arrays = item.weights(), differences[id(item.input)], differences[id(item.output)], of_outputs
        if item.depthwise:
            part, of_inputs = contribution.slice_depthwise(*arrays, per=per, theta=theta)
        else:
            part, of_inputs = contribution.slice_layer(*arrays, per=per, theta=theta, output=name == table.output)
        if name in layers:
            kept[name] = part
        report(next(done))
        return of_inputs

    graph.walk_back(table, numpy.eye(classes), at_layer)
    return Slice(
        kept={name: kept[name] for name in table.weighted if name in kept},
        per=float(per),
        rule=rule,
        theta=None if theta is None else float(theta),
        representative=representative,
        model=models.fingerprint(model),
        data=files.fingerprint(x, y),
        output=table.output if table.output in kept else None,
    )


def _chosen_layers(name, layers, table):
    """The names of the layers to report. Raises ValueError for others than the model has."""
    if layers is None:
        layers = LAYERS.get(name)
    if layers is None:
        return tuple(table.weighted)
    layers = (layers,) if isinstance(layers, str) else tuple(layers)
    unknown = [layer for layer in layers if layer not in table.weighted]
    if unknown or not layers:
        raise ValueError(
            f"layers to slice: {', '.join(map(repr, unknown)) or 'none'} given, but model {name!r} "
            f"has {', '.join(table.weighted)}"
        )
    return layers


def _check_options(per, rule, theta, representative, batch_size):
    """Raise ValueError for options that slice_model does not admit."""
    if not (isinstance(per, numbers.Real) and 0 < per <= 1):
        raise ValueError(f"per is {per!r}, expected the kept fraction in (0, 1]")
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}, expected one of {', '.join(RULES)}")
    if rule == "dare" and theta is not None:
        raise ValueError(f"theta is {theta}, but rule 'dare' cuts by per: leave theta out")
    if rule == "nnslicer" and not (isinstance(theta, numbers.Real) and 0 <= theta < float("inf")):
        raise ValueError(f"theta is {theta!r}, but rule 'nnslicer' needs a fraction >= 0: give theta, such as 0.1")
    if representative not in profile.REPRESENTATIVES:
        expected = ", ".join(profile.REPRESENTATIVES)
        raise ValueError(f"representative is {representative!r}, expected one of {expected}")
    compute.check_batch_size(batch_size)
