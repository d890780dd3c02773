"""The logits of many candidates for the values of some kernel entries, from activations that are computed once.

Where all entries are in the last dense layer, the logits of a candidate are z + a[:, i] dw, and those of all candidates
one matrix product. Elsewhere the part of the net behind the first of their layers is run for each candidate.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import keras
import numpy

import models
from dare.repair import cut as cuts
from dare.repair import kernels as kernels_of

TOGETHER = 1 << 22  # logits held at once


class Candidates:
    """The images of a search and what of the net does not change.

    model: with the weights `original`, which it keeps.
    entries: kernels.Entries, at least one.
    images: arrays of images (n, H, W, C); their logits follow each other.
    """

    def __init__(self, model: keras.Model, original: list, entries: kernels_of.Entries, images: list):
        if not len(entries):
            raise ValueError("no weight is located: there is nothing to search")
        self.model, self.original, self.entries = model, original, entries
        self.place = kernels_of.places(model, entries.layers)
        self.values = entries.read(model, original).astype("float64")
        self.linear = entries.layers == [last_dense(model)]
        self.cut = cuts.before(model, entries.layers)
        parts = [self.cut.activations(x) for x in images if len(x)]
        self.activations = [numpy.concatenate(column) for column in zip(*parts, strict=True)]
        self.count = len(self.activations[0])
        self.classes = model.output_shape[-1]
        if self.linear:
            self.logits_before = self.cut.logits(self.activations)

    @property
    def together(self) -> int:
        """Candidates whose logits fit into memory at once."""
        return max(1, TOGETHER // (self.count * self.classes))

    def logits(self, positions: numpy.ndarray) -> numpy.ndarray:
        """The logits of candidates, float32 (P, n, K). positions: values of the entries (P, m)."""
        positions = numpy.asarray(positions).astype("float32")
        return self._product(positions) if self.linear else self._passes(positions)

    def _product(self, positions):
        name = self.entries.layers[0]
        kernel = self.original[self.place[name]]
        inputs, outputs = numpy.unravel_index(self.entries.of[name], kernel.shape)
        used, row = numpy.unique(inputs, return_inverse=True)
        change = numpy.zeros((len(used), len(positions), self.classes), "float32")
        change[row, :, outputs] = (positions - kernel[inputs, outputs]).T
        product = self.activations[0][:, used] @ change.reshape(len(used), -1)
        shape = self.count, len(positions), self.classes
        return numpy.swapaxes(product.reshape(shape), 0, 1) + self.logits_before

    def _passes(self, positions):
        result = numpy.empty((len(positions), self.count, self.classes), "float32")
        variables = {name: self.model.get_layer(name).kernel for name in self.entries.layers}
        with models.keeping_weights(self.model, self.original):
            for logits, values in zip(result, positions, strict=True):
                for name, part in self.entries.split(values):
                    kernel = numpy.array(self.original[self.place[name]])
                    kernel.reshape(-1)[self.entries.of[name]] = part
                    variables[name].assign(kernel)
                logits[:] = self.cut.logits(self.activations, batch_size=1024)
        return result


def last_dense(model: keras.Model) -> str | None:
    """The name of the dense layer whose linear output is the logits; None where they come from another layer."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense) and layer.output is model.outputs[0]:
            return layer.name if layer.activation is keras.activations.linear else None
    return None


def outcomes(logits: numpy.ndarray, labels: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(whether each candidate is correct, its cross-entropy in nats): bool and float64 (P, n).

    logits: (P, n, K); labels: integers (n,). A candidate without finite logits is not correct, and its loss infinite.
    """
    finite = numpy.isfinite(logits).all(axis=2)
    shifted = numpy.where(finite[..., None], logits, 0).astype("float64")
    top = shifted.max(axis=2)
    total = numpy.log(numpy.exp(shifted - top[..., None]).sum(axis=2)) + top
    own = numpy.take_along_axis(shifted, numpy.asarray(labels)[None, :, None], axis=2)[..., 0]
    correct = (shifted.argmax(axis=2) == labels) & finite
    return correct, numpy.where(finite, total - own, numpy.inf)
