"""Slicing: which connections of a trained classifier matter for each class.

From the output neuron of a class the analysis walks back through the network and, at every dense or
convolutional layer, keeps for each neuron the incoming connections that contribute most to how the class
differs from the average image (NNSlicer, FSE 2020, arXiv 2009.13747, section 4; DARE, ASE 2022, and TOSEM
33(3) 2024, section on slicing). A neuron is a dense unit or a conv channel, whose kernels are summed over
positions. Data enter once (`dare.profile`); the rest is matrix algebra.

With W[j, i] the weight from j to i, d_in and d the class's differences before and after the layer and C the
contribution handed back from the output, a connection's local contribution is C_i * d_i * W[j, i] * d_in[j].

`rule="dare"`: C of the class's logit is its own d. Of n incoming connections the int((1 - per) * n + 1e-9)
with the smallest local contribution are cut, ties by index. The logits hand back the local contribution
itself, and 0 where cut; every other layer the sum of the signs of the local contributions.
`rule="nnslicer"`: C of the logit is 1. Connections are dropped by ascending |W * d_in|, ties by index, while
|sum of the dropped| < theta * |d_i|. Every layer hands back the sum of the signs of what it kept.

Differences from the papers:
1. [D] The cut orders raw values; DARE's released code sorts their signs, which cuts low indices first.
2. [I] In a hidden layer the cut connections of `rule="dare"` still count in what is handed back.
3. [I] NNSlicer's |y_n| is read as the neuron's difference |d_i|; [D] a neuron with d_i = 0 keeps everything.
4. [D] Branches, Flatten and depthwise layers: see `dare.graph`; class means and rounding: see `dare.profile`.
"""

import dataclasses
import itertools
import numbers

import numpy

import models
from dare import contribution, graph, profile
from data import files
from models import compute, contract

LAYERS = {
    # model name -> names of the layers to slice; a model that is not here, or None, is sliced in every
    # dense and convolutional layer.
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

    kept: layer name -> bool (classes, inputs, outputs), after the classes the last two axes of the layer's
    kernel: of a depthwise layer (classes, inputs, multiplier). Of the output layer only column c is analysed
    for class c, its other columns are False.
    per, rule, theta, representative: as given to slice_model (theta is None under rule "dare").
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

    def mask(self, layer, combine):
        """One mask (inputs, outputs), True where kept by any ("union"), more than half ("majority") or all
        ("intersection") of the classes.

        A column of the output layer is analysed for one class alone, which decides on it in each of the three.
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

    def kept_share(self):
        """layer -> share in [0, 1] of the analysed connections that each class keeps, a list."""
        return {
            layer: [float((part[:, c] if layer == self.output else part).mean()) for c, part in enumerate(kept)]
            for layer, kept in self.kept.items()
        }

    def frozen_share(self):
        """layer -> combine -> share in [0, 1] of the connections that the mask freezes."""
        return {
            layer: {combine: float(1 - self.mask(layer, combine).mean()) for combine in COMBINES} for layer in self.kept
        }

    def save(self, path):
        """Write the slice to `path` (HDF5, one bit a connection), whole or not at all."""
        bits = numpy.concatenate([numpy.packbits(kept) for kept in self.kept.values()])
        facts = {field: getattr(self, field.name) for field in dataclasses.fields(self)[1:]}
        attributes = {field.name: fact for field, fact in facts.items() if fact != field.default}
        attributes["layers"] = {layer: kept.shape for layer, kept in self.kept.items()}
        attributes["digest"] = files.fingerprint(bits)
        files.save_artefact(path, KIND, {"bits": bits}, attributes)

    @classmethod
    def load(cls, path):
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
    model,
    x,
    y,
    *,
    per=0.95,
    rule="dare",
    theta=None,
    representative="mean",
    layers=None,
    batch_size=128,
    progress=None,
):
    """Slice a classifier for each of its classes.

    model: functional model from pixels in [0, 1] (N, H, W, C) to logits (N, classes).
    x: uint8 images, or float32 in [0, 1]; y: integer labels (N,). Every class needs an image.
    per: share in (0, 1] of each neuron's incoming connections that is kept (rule "dare").
    theta: share >= 0 of a neuron's difference that may be dropped (rule "nnslicer", where it is required).
    representative: what stands for a class, the "mean" of its images or the "first" of them.
    layers: names of the layers to report; by default those of LAYERS, else every weighted layer.
    progress: called as progress(done, total) after every batch and layer.

    Costs one forward pass over x and, a class and layer, one partial sort of the connections.
    Raises ValueError for arguments, images or labels outside the above, and for layers that cannot be sliced.
    """
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

    tensors = [tensor for item in table.weighted.values() for tensor in (item.received, item.made)]
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
    kept = {}
    done = itertools.count(batches + 1)

    def at_layer(name, item, made):
        arrays = item.weights(), differences[id(item.received)], differences[id(item.made)], made
        if item.depthwise:
            part, handed = contribution.slice_depthwise(*arrays, per=per, theta=theta)
        else:
            part, handed = contribution.slice_layer(*arrays, per=per, theta=theta, output=name == table.output)
        if name in layers:
            kept[name] = part
        report(next(done))
        return handed

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
    if not (isinstance(per, numbers.Real) and 0 < per <= 1):
        raise ValueError(f"per is {per!r}, expected the kept share in (0, 1]")
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}, expected one of {', '.join(RULES)}")
    if rule == "dare" and theta is not None:
        raise ValueError(f"theta is {theta}, but rule 'dare' cuts by per: leave theta out")
    if rule == "nnslicer" and not (isinstance(theta, numbers.Real) and 0 <= theta < float("inf")):
        raise ValueError(f"theta is {theta!r}, but rule 'nnslicer' needs a share >= 0: give theta, such as 0.1")
    if representative not in profile.REPRESENTATIVES:
        expected = ", ".join(profile.REPRESENTATIVES)
        raise ValueError(f"representative is {representative!r}, expected one of {expected}")
    compute.check_batch_size(batch_size)
