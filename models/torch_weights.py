"""Load weights published for PyTorch into models of the catalogue, by name and transposed to Keras's order.

The names are those of the implementations that studies of adversarial training share:

preact_resnet18    conv1, layer1.0.bn1, .conv1, .bn2, .conv2, .shortcut.0, bn, linear (YOPO: linear.fc)
resnet18, resnet50 conv1, bn1, layer1.0.conv1, .bn1, ..., .shortcut.0 and .1, linear; or .downsample.0 and .1, fc
wrn_34_10          conv1, block1.layer.0.bn1, .conv1, .bn2, .conv2, .convShortcut, bn1, fc
"""

from __future__ import annotations

import collections.abc
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping

import keras
import numpy

from data import archive, damage

NETS = ("preact_resnet18", "resnet18", "resnet50", "wrn_34_10")
HEADS = ("linear", "fc", "linear.fc")
NESTED = ("state_dict", "model_state_dict", "net", "model")  # keys under which checkpoints store weights
# A counter; a block that TRADES creates but never uses; the same weights under a second name in YOPO.
UNUSED = re.compile(r"(.*\.)?num_batches_tracked|sub_block1\..*|layers\.\d+\..*")
HOW = "pip install torch (its CPU build will do), or save the arrays elsewhere with numpy.savez(path, **arrays)"


def read(source: Mapping | pathlib.Path | str) -> dict[str, numpy.ndarray]:
    """Read name -> array from a mapping or a file. Source and errors as models.load_torch."""
    state = _read(pathlib.Path(source)) if isinstance(source, str | os.PathLike) else source
    for wrapper in NESTED:
        if isinstance(state, collections.abc.Mapping) and isinstance(state.get(wrapper), collections.abc.Mapping):
            state = state[wrapper]
    if not isinstance(state, collections.abc.Mapping) or not all(isinstance(name, str) for name in state):
        raise ValueError(f"weights of type {type(state).__name__}, expected a mapping of names to arrays")
    arrays = {name.removeprefix("module."): value for name, value in state.items()}
    return {name: _array(value) for name, value in arrays.items() if not UNUSED.fullmatch(name)}


def head(state: dict[str, numpy.ndarray]) -> str:
    """The name of the last layer, whose weights are (classes, inputs)."""
    for name in HEADS:
        if numpy.ndim(state.get(f"{name}.weight")) == 2:
            return name
    raise ValueError(f"no last layer among {_listed(state)}; expected {' or '.join(HEADS)}.weight of (classes, inputs)")


def assign(model: keras.Model, net: str, state: dict[str, numpy.ndarray]) -> None:
    """Set the weights of every layer of a model of NETS from `state`; each array must be used once.

    model: the Keras model; net: its name; state: as of `read`.
    """
    remaining, downsampled = dict(state), any(".downsample." in name for name in state)
    for layer in model.layers:
        if layer.weights:
            module = head(state) if layer.name == "logits" else _module(layer.name, net, downsampled)
            layer.set_weights(_take(layer, module, remaining))
    if remaining:
        extra = f"{len(remaining)} weights that {model.name} has no place for ({_listed(remaining)})"
        raise ValueError(f"{extra}, expected none left over: name another net, or its options")


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    with damage.named(path, "no file of weights", "expected .npz, or what torch.save wrote"):
        if zipfile.is_zipfile(path):
            archive.check_zip(path)
        if path.suffix == ".npz":
            with numpy.load(path, allow_pickle=False) as file:
                return dict(file)
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{path}: only torch reads this file: {HOW}") from error
    with damage.named(path, "no file of weights", "expected .npz, or what torch.save wrote"):
        return torch.load(path, map_location="cpu", weights_only=True)


def _array(value):
    return value.detach().cpu().double().numpy() if hasattr(value, "detach") else numpy.asarray(value)


def _module(layer, net, downsampled):
    """The PyTorch module of a layer: "layer1.0.conv1" for "conv2_1a"."""
    wide = net == "wrn_34_10"
    whole = {"bn_last": "bn1" if wide else "bn", "conv1": "conv1", "bn1": "bn1"}
    if layer in whole:
        return whole[layer]
    parts = re.fullmatch(r"(conv|bn|project)(\d)_(\d+)([abc]?)(_project)?", layer)
    kind, stage, step, place, projected = parts.groups()
    block = f"block{int(stage) - 1}.layer.{int(step) - 1}" if wide else f"layer{int(stage) - 1}.{int(step) - 1}"
    if kind == "project" and wide:
        return f"{block}.convShortcut"
    if kind == "project" or projected:
        return f"{block}.{'downsample' if downsampled else 'shortcut'}.{1 if projected else 0}"
    return f"{block}.{kind}{'abc'.index(place) + 1}"


def _take(layer, module, remaining):
    """Remove a layer's weights from `remaining` and return them in Keras's order."""
    norm = isinstance(layer, keras.layers.BatchNormalization)
    parts = ("weight", "bias", "running_mean", "running_var") if norm else ("weight", "bias")[: len(layer.weights)]
    values = []
    for part, variable in zip(parts, layer.weights, strict=True):
        name = f"{module}.{part}"
        if name not in remaining:
            raise ValueError(
                f"no {name} for layer {layer.name} among {_listed(remaining)}: name another net, or its options"
            )
        value = remaining.pop(name)
        # From (outputs, inputs, ...).
        turned = value.transpose(*range(2, value.ndim), 1, 0) if value.ndim > 1 else value
        if turned.shape != tuple(variable.shape):
            actual = f"{name} has shape {value.shape}, so {turned.shape} here; layer {layer.name} expects"
            raise ValueError(f"{actual} {tuple(variable.shape)}: name another net, or its options")
        if turned.dtype.kind not in "fiu" or not numpy.isfinite(turned).all():
            raise ValueError(f"{name} holds weights that are no finite numbers: damaged, or its training diverged")
        values.append(turned)
    return values


def _listed(names, most=4):
    """The first few names and the number of further names."""
    shown = ", ".join(list(names)[:most]) or "none"
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
