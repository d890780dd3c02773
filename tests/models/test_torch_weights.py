"""Weights published for PyTorch: every net against the same network passed through in NumPy, by PyTorch's names."""

import sys
import types

import keras
import numpy
import pytest

import models
from models import compute


class Named:
    """Random weights by name, made where they are first asked for, and the float64 passes that use them."""

    def __init__(self, seed=0):
        self.generator, self.state = numpy.random.default_rng(seed), {}

    def weight(self, name, shape, scale=None):
        if name not in self.state:
            values = self.generator.normal(size=shape) * (scale or 1 / numpy.sqrt(numpy.prod(shape[1:])))
            self.state[name] = abs(values) + 0.5 if name.endswith("running_var") else values
        return self.state[name]

    def convolution(self, x, name, outputs, kernel=3, stride=1):
        """Conv2d(padding=kernel // 2, bias=False) of (N, C, H, W)."""
        weight = self.weight(f"{name}.weight", (outputs, x.shape[1], kernel, kernel))
        x = numpy.pad(x, ((0, 0), (0, 0), *[(kernel // 2,) * 2] * 2))
        windows = numpy.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
        return numpy.einsum("nchwij,ocij->nohw", windows, weight, optimize=True)

    def norm(self, x, name):
        """BatchNorm2d in eval mode."""
        count = (x.shape[1],)
        weight, bias, mean, variance = (
            self.weight(f"{name}.{part}", count, 1.0) for part in ("weight", "bias", "running_mean", "running_var")
        )
        self.state[f"{name}.num_batches_tracked"] = numpy.int64(7)
        scaled = weight / numpy.sqrt(variance + 1e-5)
        return x * scaled[:, None, None] + (bias - mean * scaled)[:, None, None]

    def linear(self, x, name, outputs):
        pooled = x.mean((2, 3))
        return pooled @ self.weight(f"{name}.weight", (outputs, x.shape[1])).T + self.weight(
            f"{name}.bias", (outputs,), 1
        )


def relu(x):
    return numpy.maximum(x, 0)


def preact(net, x, filters, *, activated=False, last_norm=True, head="linear"):
    x = net.convolution(x, "conv1", filters)
    for stage in range(1, 5):
        for step in range(2):
            name, outputs, stride = f"layer{stage}.{step}", filters << (stage - 1), 2 if stage > 1 and not step else 1
            active = relu(net.norm(x, f"{name}.bn1"))
            shortcut = x
            if stride > 1 or x.shape[1] != outputs:
                shortcut = net.convolution(active if activated else x, f"{name}.shortcut.0", outputs, 1, stride)
            inner = net.convolution(active, f"{name}.conv1", outputs, 3, stride)
            x = net.convolution(relu(net.norm(inner, f"{name}.bn2")), f"{name}.conv2", outputs) + shortcut
    return net.linear(relu(net.norm(x, "bn")) if last_norm else x, head, 7)


def resnet(net, x, filters, depths, *, bottleneck=False, short="shortcut", head="linear"):
    x = relu(net.norm(net.convolution(x, "conv1", filters), "bn1"))
    for stage, depth in enumerate(depths, start=1):
        for step in range(depth):
            name, inside, stride = f"layer{stage}.{step}", filters << (stage - 1), 2 if stage > 1 and not step else 1
            sizes = [(inside, 1, 1), (inside, 3, stride), (4 * inside, 1, 1)]
            sizes = sizes if bottleneck else [(inside, 3, stride), (inside, 3, 1)]
            inner = x
            for place, (outputs, kernel, by) in enumerate(sizes, start=1):
                inner = net.norm(
                    net.convolution(inner, f"{name}.conv{place}", outputs, kernel, by), f"{name}.bn{place}"
                )
                inner = relu(inner) if place < len(sizes) else inner
            if stride > 1 or x.shape[1] != outputs:
                x = net.norm(net.convolution(x, f"{name}.{short}.0", outputs, 1, stride), f"{name}.{short}.1")
            x = relu(inner + x)
    return net.linear(x, head, 7)


def wide(net, x, stem, filters, blocks):
    x = net.convolution(x, "conv1", stem)
    for stage in range(1, 4):
        for step in range(blocks):
            name, outputs, stride = (
                f"block{stage}.layer.{step}",
                filters << (stage - 1),
                2 if stage > 1 and not step else 1,
            )
            active = relu(net.norm(x, f"{name}.bn1"))
            shortcut = x
            if x.shape[1] != outputs:
                shortcut = net.convolution(active, f"{name}.convShortcut", outputs, 1, stride)
            inner = relu(net.norm(net.convolution(active, f"{name}.conv1", outputs, 3, stride), f"{name}.bn2"))
            x = net.convolution(inner, f"{name}.conv2", outputs) + shortcut
    net.weight("sub_block1.layer.0.conv1.weight", (3, 3, 3, 3))  # which TRADES makes and never passes through
    return net.linear(relu(net.norm(x, "bn1")), "fc", 7)


CASES = {  # name of the net, its options, the network
    "preact": ("preact_resnet18@0.0625", {}, lambda net, x: preact(net, x, 4)),
    "preact-activated": (
        "preact_resnet18@0.0625", {"project": "activated"}, lambda net, x: preact(net, x, 4, activated=True),
    ),
    "preact-yopo": (
        "preact_resnet18@0.0625", {"project": "activated", "last_norm": False},
        lambda net, x: preact(net, x, 4, activated=True, last_norm=False, head="linear.fc"),
    ),
    "resnet18": ("resnet18@0.0625", {}, lambda net, x: resnet(net, x, 4, (2, 2, 2, 2))),
    "resnet50": ("resnet50@0.0625", {}, lambda net, x: resnet(net, x, 4, (3, 4, 6, 3), bottleneck=True)),
    "torchvision": (
        "resnet50@0.0625", {},
        lambda net, x: resnet(net, x, 4, (3, 4, 6, 3), bottleneck=True, short="downsample", head="fc"),
    ),
    "wrn": ("wrn_34_10@0.05", {}, lambda net, x: wide(net, x, 1, 8, 5)),
    "wrn-28": ("wrn_34_10@0.05", {"depth": 28, "stem": 16}, lambda net, x: wide(net, x, 16, 8, 4)),
}  # fmt: skip


@pytest.fixture
def x():
    return numpy.random.default_rng(1).random((3, 13, 10, 3), "float32")


def passed(network, x):
    """(state, logits) of a network with random weights."""
    net = Named()
    return net.state, network(net, x.transpose(0, 3, 1, 2).astype("float64"))


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_net_gives_what_the_network_gives(case, x):
    name, options, network = CASES[case]
    state, expected = passed(network, x)
    model = models.load_torch(state, name, x.shape[1:], **options)
    assert model.output_shape == (None, 7) and numpy.abs(expected).max() > 0.5
    outputs = compute.predict(compute.forward(model), x)
    numpy.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-5 * numpy.abs(expected).max())


@pytest.mark.parametrize("wrapped", ["module.", "state_dict", "net", "tensors"])
def test_weights_are_found_in_what_wraps_them(wrapped, x):
    name, _, network = CASES["preact"]
    state, expected = passed(network, x)
    if wrapped == "module.":
        state = {f"module.{name}": value for name, value in state.items()}
    elif wrapped == "tensors":
        state = {name: Tensor(value) for name, value in state.items()}
    else:
        state = {"epoch": 3, wrapped: state}
    model = models.load_torch(state, name, x.shape[1:])
    outputs = compute.predict(compute.forward(model), x)
    numpy.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-5 * numpy.abs(expected).max())


class Tensor(types.SimpleNamespace):
    """What is asked of a tensor."""

    def __init__(self, value):
        super().__init__(value=value)

    def detach(self):
        return self

    cpu = double = detach

    def numpy(self):
        return self.value


def test_weights_are_read_from_a_file_of_arrays_behind_published_means(x, tmp_path):
    name, _, network = CASES["resnet18"]
    mean, std = numpy.float32([0.49, 0.48, 0.45]), numpy.float32([0.25, 0.24, 0.26])
    state, expected = passed(network, (x - mean) / std)
    numpy.savez(tmp_path / "weights.npz", **state)
    preprocessing = types.SimpleNamespace(channel_mean=mean, channel_std=std)
    model = models.load_torch(tmp_path / "weights.npz", name, x.shape[1:], preprocessing=preprocessing)
    outputs = compute.predict(compute.forward(model), x)
    numpy.testing.assert_allclose(outputs, expected, rtol=5e-5, atol=5e-5 * numpy.abs(expected).max())


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("vgg16", dict, "no PyTorch names are known for 'vgg16', expected one of preact_resnet18"),
        ("resnet18@0.0625", dict, "no bn1.weight for layer bn1 among .* more: name another net, or its options"),
        ("preact_resnet18@0.125", dict, r"conv1.weight has shape \(4, 3, 3, 3\), so \(3, 3, 3, 4\) here; layer conv1"),
        (None, lambda s: without(s, "layer2.0.bn1.running_var"), "no layer2.0.bn1.running_var for layer bn3_1a"),
        (None, lambda s: {**s, "layer9.weight": s["bn.weight"]}, r"1 weights .* no place for \(layer9.weight\)"),
        (None, lambda s: without(s, "linear.weight"), "no last layer among conv1.weight, .* expected linear or fc"),
        (None, lambda s: {**s, "bn.bias": s["bn.bias"] * numpy.nan}, "bn.bias holds weights that are no finite"),
        (None, lambda s: [1, 2], "weights of type list, expected a mapping of names"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_in_one_sentence(name, change, message, x):
    state, _ = passed(CASES["preact"][2], x)
    with pytest.raises(ValueError, match=message) as caught:
        models.load_torch(change(state), name or "preact_resnet18@0.0625", x.shape[1:])
    assert "\n" not in str(caught.value)


def test_files_that_are_no_weights(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no such file of weights"):
        models.load_torch(tmp_path / "absent.pt", "resnet18")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="cut.npz: no file of weights .*expected .npz, or what torch.save wrote"):
        models.load_torch(tmp_path / "cut.npz", "resnet18")
    (tmp_path / "net.pt").write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="only torch reads this file: pip install torch"):
        models.load_torch(tmp_path / "net.pt", "resnet18")


def test_what_torch_loads_is_taken(x, tmp_path, monkeypatch):
    name, _, network = CASES["preact"]
    state, expected = passed(network, x)
    (tmp_path / "net.pt").write_bytes(b"")
    load_settings = {}
    fake = types.SimpleNamespace(
        load=lambda path, **settings: (load_settings.update(settings), {"state_dict": state})[1]
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    model = models.load_torch(tmp_path / "net.pt", name, x.shape[1:])
    outputs = keras.ops.convert_to_numpy(model(x))
    numpy.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-5 * numpy.abs(expected).max())
    assert load_settings["weights_only"] is True
