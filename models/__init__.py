"""Classifiers: float32 images (N, H, W, C) in [0, 1] -> logits (N, classes), and the catalogue of their builders."""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable

from models import settings, torch_weights
from models.alexnet import alexnet
from models.contract import NonFiniteLogits
from models.densenet import densenet121
from models.fingerprint import fingerprint
from models.guided_cnn import NETS as GUIDED
from models.guided_cnn import builder as guided
from models.load import load
from models.logits import to_logits
from models.resnet import preact_resnet18, resnet18, resnet50
from models.small_cnn import small_cnn
from models.vgg import vgg16, vgg16_bn, vgg19
from models.wide_resnet import wrn_32_10, wrn_34_10

__all__ = [
    "MODELS",
    "Architecture",
    "NonFiniteLogits",
    "build",
    "fingerprint",
    "load",
    "load_torch",
    "parse",
    "to_logits",
]


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


def parse(name):
    """``"<model>"`` or ``"<model>@<width>"`` as (model, width): "alexnet@0.25" has a quarter of the channels and units.

    Raises ValueError for a model that is not in the catalogue, and for a width that is not a number above 0, or not
    written the shortest way, so that one net has one name: 0.25, not .250 or 0_25.
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
    one_name = stem if width == 1 else f"{stem}@{width:.15g}"
    if name != one_name:
        raise ValueError(f"model {name!r} has width {text!r}, expected it as {one_name}")
    return stem, width


PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build(name, input_shape, classes, preprocessing=None, precision="float32", **options):
    """Build the model `name` of the catalogue, or ``"<name>@<width>"`` with every hidden layer so many times as wide.

    input_shape: (H, W, C); classes: number of classes; preprocessing: data.Statistics of the training images,
    or None for pixels as they are; precision: "float32", or "bfloat16" for layers that compute in it, with float32
    weights (and logits, where the builder takes its last layer from models.layers); options: the builder's own.
    Keras's settings of channels_first or another floatx have no effect.
    Raises ValueError for an unknown name or precision, or an image that is too small.
    """
    stem, width = parse(name)
    if width != 1:
        options = {"width": width, **options}
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    with settings.pinned(dtype_policy=PRECISIONS[precision]):
        return MODELS[stem].builder(tuple(input_shape), classes, preprocessing=preprocessing, **options)


def load_torch(source, name, input_shape=(32, 32, 3), *, preprocessing=None, **options):
    """The net `name` of the catalogue ("resnet18", "wrn_34_10@1.5", ...) with weights published for PyTorch.

    source: a mapping of names to arrays or tensors, or a file of one: .npz, or what torch.save wrote, for which torch
    has to be installed. DataParallel's "module." is taken off, and a checkpoint's weights are found under "state_dict",
    "model_state_dict", "net" or "model". input_shape: (H, W, C). preprocessing: data.Statistics of the published means
    and deviations of the channels, where the net was trained behind them; options: the builder's own, such as
    project="activated", last_norm=False, depth=28 or stem=16. The number of classes is that of the weights.

    Raises ValueError for a net whose names are not known (models.torch_weights), and where weights are missing, left
    over, of another shape or not finite; FileNotFoundError; ModuleNotFoundError where torch would be needed.
    """
    net, _ = parse(name)
    if net not in torch_weights.NETS:
        raise ValueError(f"no PyTorch names are known for {name!r}, expected one of {', '.join(torch_weights.NETS)}")
    state = torch_weights.read(source)
    classes = len(state[f"{torch_weights.head(state)}.weight"])
    model = build(name, input_shape, classes, preprocessing, **options)
    torch_weights.assign(model, net, state)
    return model
