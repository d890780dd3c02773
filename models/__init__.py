"""Classifiers: float32 images (N, H, W, C) in [0, 1] -> logits (N, classes), and the catalogue of their builders."""

from __future__ import annotations

import dataclasses
import difflib
import math
import pathlib
import re
import typing
from collections.abc import Callable, Mapping

import keras

import data
from models import settings, torch_weights
from models.alexnet import alexnet
from models.contract import NonFiniteLogits
from models.densenet import densenet121
from models.fingerprint import fingerprint
from models.guided_cnn import NETS as GUIDED
from models.guided_cnn import builder as guided
from models.load import load
from models.logits import to_logits
from models.published import load_published
from models.resnet import preact_resnet18, resnet18, resnet50
from models.small_cnn import small_cnn
from models.vgg import vgg16, vgg16_bn, vgg19
from models.weights import keeping_weights
from models.wide_resnet import wrn_32_10, wrn_34_10

__all__ = [
    "MODELS",
    "Architecture",
    "NonFiniteLogits",
    "build",
    "fingerprint",
    "keeping_weights",
    "load",
    "load_published",
    "load_torch",
    "parse",
    "to_logits",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """An entry of the catalogue: printed title, builder, and the source of the architecture."""

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
    "vgg16_bn": Architecture(
        title="VGG16 of batch norm and one dense layer", builder=vgg16_bn, citation="Simonyan, Zisserman, ICLR 2015"
    ),
    "preact_resnet18": Architecture(
        title="PreAct-ResNet-18", builder=preact_resnet18, citation="He, Zhang, Ren, Sun, Identity Mappings, ECCV 2016"
    ),
    "resnet18": Architecture(title="ResNet-18", builder=resnet18, citation="He, Zhang, Ren, Sun, CVPR 2016"),
    "resnet50": Architecture(title="ResNet-50", builder=resnet50, citation="He, Zhang, Ren, Sun, CVPR 2016"),
    "wrn_34_10": Architecture(
        title="WRN-34-10",
        builder=wrn_34_10,
        citation="Zagoruyko, Komodakis, BMVC 2016; as released with TRADES, ICML 2019",
    ),
    "wrn_32_10": Architecture(
        title="WRN-32-10",
        builder=wrn_32_10,
        citation="Zagoruyko, Komodakis, BMVC 2016; as released by Madry et al., ICLR 2018",
    ),
    "densenet121": Architecture(
        title="DenseNet-121", builder=densenet121, citation="Huang, Liu, van der Maaten, Weinberger, CVPR 2017"
    ),
    "small_cnn": Architecture(
        title="small CNN", builder=small_cnn, citation="Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, ICML 2019"
    ),
    **{
        name: Architecture(
            title=f"net of guided retraining, {name.partition('_')[0]}",
            builder=guided(name),
            citation="Durán, Martínez-Fernández, Felderer, Franch, PeerJ CS 9:e1454, 2023",
        )
        for name in GUIDED
    },
}


def parse(name: str) -> tuple[str, float]:
    """Split ``"<model>"`` or ``"<model>@<width>"`` into (model, width); "alexnet@0.25" has a quarter of the channels.

    Raises ValueError for a model that is not in the catalogue, and for a width that is not above 0 or not in its
    shortest form (0.25, not .250 or 0_25), so that each net has a single name.
    """
    stem, separator, text = name.partition("@")
    if stem not in MODELS:
        nearest = difflib.get_close_matches(stem.lower(), MODELS, 1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise ValueError(f"unknown model {name!r}: {hint}valid names: {', '.join(MODELS)}, narrower as in alexnet@0.25")
    if not separator:
        return stem, 1.0
    width = float(text) if re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,15}(e[+-]?[0-9]{1,2})?", text) else math.nan
    if not width > 0:
        raise ValueError(f"model {name!r} has width {text!r}, expected a number above 0 as in {stem}@0.25")
    shortest = stem if width == 1 else f"{stem}@{width:.15g}"
    if name != shortest:
        raise ValueError(f"model {name!r} has width {text!r}, expected it as {shortest}")
    return stem, width


PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build(
    name: str,
    input_shape: tuple,
    classes: int,
    preprocessing: data.Statistics | None = None,
    precision: str = "float32",
    **options: typing.Any,
) -> keras.Model:
    """Build a model of the catalogue.

    name: key of MODELS, or ``"<key>@<width>"`` to multiply the width of every hidden layer.
    input_shape: (H, W, C).
    classes: number of classes.
    preprocessing: data.Statistics of the training images, or None to leave pixels unchanged.
    precision: "float32", or "bfloat16" to compute layers in bfloat16 with float32 weights and logits.
    options: the builder's own.
    Keras's settings channels_first and floatx have no effect.
    Raises ValueError for an unknown name or precision, and for images that are too small.
    """
    stem, width = parse(name)
    if width != 1:
        options = {"width": width, **options}
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    with settings.pinned(dtype_policy=PRECISIONS[precision]):
        return MODELS[stem].builder(tuple(input_shape), classes, preprocessing=preprocessing, **options)


def load_torch(
    source: Mapping | pathlib.Path | str,
    name: str,
    input_shape: tuple = (32, 32, 3),
    *,
    preprocessing: data.Statistics | None = None,
    **options: typing.Any,
) -> keras.Model:
    """A model of the catalogue with weights published for PyTorch.

    source: mapping of names to arrays or tensors, or a file of one: .npz, or written by torch.save (needs torch). The
        prefix "module." of DataParallel is removed; the weights of a checkpoint are read from "state_dict",
        "model_state_dict", "net" or "model". They decide the number of classes.
    name: as in `build`, such as "resnet18" or "wrn_34_10@1.5".
    input_shape: (H, W, C).
    preprocessing: data.Statistics of the published channel means and deviations, if the net was trained with them.
    options: the builder's own, such as project="activated", last_norm=False, depth=28 or stem=16.
    Raises ValueError for a net whose names are not known (models.torch_weights), and for weights that are missing, left
    over, of another shape or not finite; FileNotFoundError; ModuleNotFoundError if torch is needed.
    """
    net, _ = parse(name)
    if net not in torch_weights.NETS:
        raise ValueError(f"no PyTorch names are known for {name!r}, expected one of {', '.join(torch_weights.NETS)}")
    state = torch_weights.read(source)
    classes = len(state[f"{torch_weights.head(state)}.weight"])
    model = build(name, input_shape, classes, preprocessing, **options)
    torch_weights.assign(model, net, state)
    return model
