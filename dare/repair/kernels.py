"""The kernels that repair may change, and the entries of them that a method located.

Only kernels of dense and convolutional layers change, never biases or batch norm.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from collections.abc import Iterable, Iterator

import keras
import numpy

from models import flat


def layers(model: keras.Model, *, convolutions: bool = True) -> dict:
    """name -> layer with a kernel that repair may change, in the order of the model.

    convolutions: False for the dense layers alone.
    Raises ValueError for a model without such a layer, and for a convolution in groups.
    """
    flat.check_open(model)
    kinds = (keras.layers.Dense, keras.layers.Conv2D) if convolutions else keras.layers.Dense
    repairable = {layer.name: layer for layer in model.layers if isinstance(layer, kinds)}
    for name, layer in repairable.items():
        if getattr(layer, "groups", 1) != 1:
            raise ValueError(f"layer {name!r} convolves in {layer.groups} groups: repair needs groups=1")
    if not repairable:
        seen = ", ".join(sorted({type(layer).__name__ for layer in model.layers}))
        kind = "Dense or Conv2D" if convolutions else "Dense"
        raise ValueError(f"{model.name} has no {kind} layer, only {seen}: there is no kernel to repair")
    return repairable


def places(model: keras.Model, names: Iterable[str]) -> dict[str, int]:
    """name of a layer -> place of its kernel in model.get_weights(). names: of the layers."""
    place = {id(variable): number for number, variable in enumerate(model.weights)}
    return {name: place[id(model.get_layer(name).kernel)] for name in names}


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """Kernel entries. of: layer name -> ascending flat positions in its kernel, int64 (m_l,). All values are (m,)."""

    of: dict

    def __len__(self):
        return sum(map(len, self.of.values()))

    @property
    def layers(self) -> list[str]:
        """The layers that have an entry."""
        return [name for name, positions in self.of.items() if len(positions)]

    def read(self, model: keras.Model, weights: list) -> numpy.ndarray:
        """The values of the entries in a weight set (m,), float32. weights: as from model.get_weights()."""
        place = places(model, self.layers)
        parts = [numpy.ravel(weights[place[name]])[self.of[name]] for name in self.layers]
        return numpy.concatenate(parts) if parts else numpy.zeros(0, "float32")

    def written(self, model: keras.Model, weights: list, values: numpy.ndarray) -> list:
        """A copy of a weight set with other values (m,) at the entries; every other weight keeps its bits."""
        place, result = places(model, self.layers), list(weights)
        for name, part in self.split(values):
            changed = numpy.array(weights[place[name]])
            changed.reshape(-1)[self.of[name]] = part
            result[place[name]] = changed
        return result

    def split(self, values: numpy.ndarray) -> Iterator[tuple[str, numpy.ndarray]]:
        """Yield (layer name, its part of the values) for values (..., m)."""
        end = 0
        for name in self.layers:
            begin, end = end, end + len(self.of[name])
            yield name, values[..., begin:end]

    def each(self, by_layer: dict) -> numpy.ndarray:
        """A value for each entry (m,), from one for each layer."""
        parts = [numpy.full(len(self.of[name]), by_layer[name], "float64") for name in self.layers]
        return numpy.concatenate(parts) if parts else numpy.zeros(0)


def at_random(kernels: dict, count: int, generator: numpy.random.Generator) -> Entries:
    """`count` entries drawn without replacement from all entries of all kernels.

    kernels: name -> layer; generator: draws them.
    """
    sizes = [int(numpy.prod(layer.kernel.shape)) for layer in kernels.values()]
    drawn = numpy.sort(generator.choice(sum(sizes), count, replace=False))
    begins = numpy.cumsum([0, *sizes])
    return Entries(
        {
            name: drawn[(drawn >= begins[number]) & (drawn < begins[number + 1])] - begins[number]
            for number, name in enumerate(kernels)
        }
    )
