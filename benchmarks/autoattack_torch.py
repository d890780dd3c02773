"""The PyTorch side of benchmarks/autoattack.py, which starts it: it imports nothing of this project."""

from __future__ import annotations

import json
import sys
import time

import numpy
import torch
from torch.nn import functional


class Net(torch.nn.Module):
    """The net of benchmarks/autoattack.py for images (N, C, H, W), with Keras's weights."""

    def __init__(self, weights):
        super().__init__()
        ordered = [torch.tensor(weights[f"w{place}"]) for place in range(8)]
        ordered[0], ordered[2] = (ordered[place].permute(3, 2, 0, 1).contiguous() for place in (0, 2))
        self.weights = torch.nn.ParameterList([torch.nn.Parameter(weight, requires_grad=False) for weight in ordered])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 10) of images (N, C, H, W)."""
        w = self.weights
        for place in (0, 2):
            x = functional.max_pool2d(functional.relu(functional.conv2d(x, w[place], w[place + 1], padding=1)), 2)
        x = functional.relu(x.permute(0, 2, 3, 1).flatten(1) @ w[4] + w[5])
        return x @ w[6] + w[7]


def main() -> None:
    settings = json.loads(sys.argv[1])
    inputs = numpy.load(settings["inputs"])
    net = Net(inputs).eval()
    with torch.no_grad():
        difference = net(channels_first(inputs["probe_x"])).numpy() - inputs["probe"]
    if numpy.abs(difference).max() > 1e-3:
        raise ValueError(f"the PyTorch copy's logits differ by {numpy.abs(difference).max()}, expected at most 1e-3")
    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.set_num_threads(1)  # waiting threads of a small net would count as processor time
    jobs = {"torchattacks": torchattacks_jobs, "art": art_jobs}[settings["which"]]
    results = jobs(net, inputs["x"], inputs["y"], settings)
    names = [name.removesuffix("-images") for name in results if name.endswith("-images")]
    numpy.savez(settings["outputs"], names=numpy.array(names), **results)


def torchattacks_jobs(net: Net, x: numpy.ndarray, y: numpy.ndarray, settings: dict) -> dict:
    """Each attack on the survivors of those before: "<name>-images" of all and "<name>-seconds"."""
    import torchattacks

    classes, norm = 10, {"linf": "Linf", "l2": "L2"}[settings["norm"]]
    same = {"eps": settings["epsilon"], "norm": norm, "seed": settings["seed"], "n_restarts": 1}
    attacks = {
        "apgd-ce": torchattacks.APGD(net, loss="ce", steps=100, **same),
        "apgd-t": torchattacks.APGDT(net, steps=100, n_classes=classes, **same),
        "fab-t": torchattacks.FAB(net, steps=100, multi_targeted=True, n_classes=classes, **same),
        "square": torchattacks.Square(net, n_queries=5000, **same),
    }
    rows, results = numpy.arange(len(x)), {}
    for name, attack in attacks.items():
        images, started_at = x.copy(), time.process_time()
        for start in range(0, len(rows), settings["batch_size"]):
            part = rows[start : start + settings["batch_size"]]
            images[part] = attack(channels_first(x[part]), torch.tensor(y[part])).detach().numpy().transpose(0, 2, 3, 1)
        results[f"{name}-images"], results[f"{name}-seconds"] = images, time.process_time() - started_at
        with torch.no_grad():
            rows = rows[net(channels_first(images[rows])).argmax(1).numpy() == y[rows]]
    return results


def art_jobs(net: Net, x: numpy.ndarray, y: numpy.ndarray, settings: dict) -> dict:
    """ART's AutoAttack as it is: its four attacks together."""
    from art.attacks.evasion import AutoAttack
    from art.estimators.classification import PyTorchClassifier

    numpy.random.seed(settings["seed"])  # noqa: NPY002 - ART draws from the global generator
    classifier = PyTorchClassifier(
        net, torch.nn.CrossEntropyLoss(), (x.shape[3], *x.shape[1:3]), 10, clip_values=(0, 1), device_type="cpu"
    )
    norm = {"linf": numpy.inf, "l2": 2}[settings["norm"]]
    sizes = {"eps": settings["epsilon"], "eps_step": 2 * settings["epsilon"], "batch_size": settings["batch_size"]}
    attack, started_at = AutoAttack(classifier, norm=norm, **sizes), time.process_time()
    images = attack.generate(x.transpose(0, 3, 1, 2).copy(), numpy.eye(10, dtype=numpy.float32)[y])
    return {"autoattack-images": images.transpose(0, 2, 3, 1), "autoattack-seconds": time.process_time() - started_at}


def channels_first(images: numpy.ndarray) -> torch.Tensor:
    """Images (N, H, W, C) as a tensor (N, C, H, W)."""
    return torch.tensor(images.transpose(0, 3, 1, 2).copy())


if __name__ == "__main__":
    main()
