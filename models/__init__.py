"""Classifiers: float32 images (N, H, W, C) in [0, 1] -> logits (N, classes), and the catalogue of their builders."""

import dataclasses
import difflib
from collections.abc import Callable

from models.alexnet import alexnet
from models.load import fingerprint, load
from models.vgg import vgg16, vgg19

__all__ = ["MODELS", "Architecture", "build", "fingerprint", "load"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """One catalogue entry: the builder, what it is called in print, and where it comes from."""

    title: str
    builder: Callable
    citation: str


MODELS = {
    "alexnet": Architecture(
        title="AlexNet",
        builder=alexnet,
        citation="Krizhevsky, Sutskever, Hinton, NeurIPS 2012; sizes as released with DARE, ASE 2022",
    ),
    "vgg16": Architecture(
        title="VGG16",
        builder=vgg16,
        citation="Simonyan, Zisserman, ICLR 2015; sizes as released with DARE, ASE 2022",
    ),
    "vgg19": Architecture(
        title="VGG19",
        builder=vgg19,
        citation="Simonyan, Zisserman, ICLR 2015; sizes as released with DARE, ASE 2022",
    ),
}


def build(name, input_shape, classes, preprocessing=None, **options):
    """Build the model `name` of the catalogue.

    input_shape: (H, W, C); classes: number of classes; preprocessing: data.Statistics of the training images,
    or None for pixels as they are; options: the builder's own (alexnet: ``width``).
    Raises ValueError for an unknown name or an image that is too small.
    """
    if name not in MODELS:
        nearest = difflib.get_close_matches(name, MODELS, 1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(f"unknown model {name!r}: {hint}valid names: {', '.join(MODELS)}")
    return MODELS[name].builder(tuple(input_shape), classes, preprocessing=preprocessing, **options)
