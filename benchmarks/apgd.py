"""APGD's robust accuracy and speed, compared with two public implementations on the same weights and images.

    python benchmarks/apgd.py --dataset fashion_mnist --images 1000 --epsilon 0.02

One process: a seeded AlexNet is trained for a few epochs; images of the test set that it classifies correctly are
attacked, 100 steps a run. Two others run if they are installed (the project needs neither):

- adversarial-robustness-toolbox: its AutoProjectedGradientDescent (cross-entropy, one start) on the same Keras model,
  TensorFlow backend only. It predicts only the last iterate, and has no targeted DLR;
- torchattacks: its APGD and APGDT, the authors' released code, on a PyTorch copy of the network.

Robust accuracies are of all images, in percent, by the predictions of the Keras model. Times are wall times and
processor times of all cores; ratios are of the latter, which other work on the machine disturbs less. Compilation is
not timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import types
from collections.abc import Callable

import keras
import numpy

import data
import models
from adv import apgd, evaluate, search
from models import compute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="of the catalogue of data")
    parser.add_argument("--images", type=int, default=200, help="test images, the first of the set")
    parser.add_argument("--model", default="alexnet@0.25", help="an AlexNet of any width")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of training first")
    parser.add_argument("--epsilon", type=float, default=0.02, help="Linf, in [0, 1] pixel scale")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--losses", nargs="+", choices=["ce", "dlr-targeted"], default=["ce", "dlr-targeted"])
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch's kernels")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    model, x, y = prepare(arguments)
    rows = numpy.flatnonzero(evaluate.correct(model, x, y))
    images, labels = x[rows], y[rows].astype(numpy.int32)
    print(f"{compute.BACKEND}, {arguments.model} on {arguments.dataset}, {len(x)} images, {len(rows)} of them correct,")
    print(f"Linf {arguments.epsilon:g}, {arguments.steps} steps, batches of {arguments.batch_size}")
    for loss in arguments.losses:
        attack = apgd.APGD(loss=loss, steps=arguments.steps, seed=arguments.seed)
        jobs = {"ours": lambda *a, attack=attack: attack.within(model, *a, **_settings(arguments))}
        jobs |= art_jobs(model, attack, arguments) | torch_jobs(model, attack, arguments)
        times = {}
        for name, job in jobs.items():
            for count in (3, 5) if compute.BACKEND == "tensorflow" else (3, arguments.batch_size):
                job(images[:count], labels[:count])
            begin, begin_cpu = time.perf_counter(), time.process_time()
            attacked = job(images, labels)
            wall, times[name] = time.perf_counter() - begin, time.process_time() - begin_cpu
            robust = (search.classes(model, attacked) == labels).sum() / len(x)
            size = search.norm(attacked - images, "linf").max()
            print(
                f"{attack.title:8} {name:14} robust {100 * robust:5.1f} %  {wall:7.1f} s, on all cores together "
                f"{times[name]:7.1f} s = {times[name] / times['ours']:5.2f} x ours; largest perturbation {size:.4f}"
            )


def prepare(arguments: argparse.Namespace) -> tuple[keras.Model, numpy.ndarray, numpy.ndarray]:
    """A trained model, float32 test images and their labels."""
    keras.utils.set_random_seed(arguments.seed)
    dataset = data.load(arguments.dataset)
    x = data.to_unit(dataset.x_train)
    model = models.build(arguments.model, x.shape[1:], len(dataset.classes), data.statistics(dataset.x_train))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    model.fit(x, dataset.y_train, batch_size=128, epochs=arguments.epochs, verbose=0)
    return model, data.to_unit(dataset.x_test[: arguments.images]), dataset.y_test[: arguments.images]


def _settings(arguments):
    return {"epsilon": arguments.epsilon, "batch_size": arguments.batch_size}


def art_jobs(model: keras.Model, attack: apgd.APGD, arguments: argparse.Namespace) -> dict[str, Callable]:
    """name -> function of images and labels: ART's attack with the same settings; {} if it cannot run."""
    if attack.loss != "ce" or compute.BACKEND != "tensorflow" or not importlib.util.find_spec("art"):
        return {}
    import tensorflow
    from art.attacks.evasion import AutoProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    if not hasattr(tensorflow.keras.losses, "Reduction"):  # gone in Keras 3, and ART reads it
        tensorflow.keras.losses.Reduction = types.SimpleNamespace(
            NONE="none", SUM="sum", SUM_OVER_BATCH_SIZE="sum_over_batch_size"
        )
    classifier = TensorFlowV2Classifier(
        model=model,
        nb_classes=model.output_shape[1],
        input_shape=model.input_shape[1:],
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    theirs = AutoProjectedGradientDescent(
        classifier,
        eps=arguments.epsilon,
        eps_step=2 * arguments.epsilon,
        max_iter=arguments.steps,
        nb_random_init=1,
        batch_size=arguments.batch_size,
        verbose=False,
    )

    def run(images, labels):
        numpy.random.seed(arguments.seed)  # noqa: NPY002 - ART draws its start from the global generator
        return theirs.generate(images, keras.utils.to_categorical(labels, model.output_shape[1]))

    return {"ART": run}


def torch_jobs(model: keras.Model, attack: apgd.APGD, arguments: argparse.Namespace) -> dict[str, Callable]:
    """name -> function of images and labels: torchattacks' copy of the authors' code; {} if it is not installed."""
    if not importlib.util.find_spec("torch") or not importlib.util.find_spec("torchattacks"):
        return {}
    import torch
    import torchattacks

    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    network = torch_alexnet(model)
    options = {"eps": arguments.epsilon, "steps": arguments.steps, "n_restarts": 1, "seed": arguments.seed}
    if attack.loss == "ce":
        theirs = torchattacks.APGD(network, loss="ce", **options)
    else:
        theirs = torchattacks.APGDT(network, n_classes=model.output_shape[1], **options)

    def run(images, labels):
        parts = []
        for start in range(0, len(images), arguments.batch_size):
            block = torch.tensor(images[start : start + arguments.batch_size].transpose(0, 3, 1, 2).copy())
            classes = torch.tensor(labels[start : start + arguments.batch_size].astype(numpy.int64))
            parts.append(theirs(block, classes).detach().numpy().transpose(0, 2, 3, 1))
        return numpy.concatenate(parts)

    return {"torchattacks": run}


def torch_alexnet(model: keras.Model) -> Callable:
    """A PyTorch copy of models.alexnet for images (N, C, H, W), in inference mode."""
    import torch
    from torch.nn import functional

    weights = {layer.name: [torch.tensor(w) for w in layer.get_weights()] for layer in model.layers}
    mean = torch.tensor(numpy.asarray(model.get_layer("mean_image").mean)[0].transpose(2, 0, 1).copy())
    kernels = {name: parts[0].permute(3, 2, 0, 1).contiguous() for name, parts in weights.items() if "conv" in name}

    class AlexNet(torch.nn.Module):
        def forward(self, x):
            x = x - mean
            for block in (1, 2):
                x = functional.conv2d(x, kernels[f"conv{block}"], weights[f"conv{block}"][1])
                gamma, beta, centre, variance = weights[f"bn{block}"]
                x = functional.batch_norm(x, centre, variance, gamma, beta, eps=1e-3)
                x = functional.max_pool2d(functional.relu(x), 3, 2)
            for block in (3, 4, 5):
                name = f"conv{block}"
                x = functional.relu(functional.conv2d(x, kernels[name], weights[name][1], padding=1))
            x = functional.max_pool2d(x, 3, 2).permute(0, 2, 3, 1).flatten(1)
            for name in ("dense1", "dense2"):
                x = functional.relu(x @ weights[name][0] + weights[name][1])
            return x @ weights["logits"][0] + weights["logits"][1]

    network = AlexNet().eval()
    network.register_parameter("anchor", torch.nn.Parameter(torch.zeros(1)))  # torchattacks looks for a device
    check = numpy.random.default_rng(0).random((4, *model.input_shape[1:]), dtype=numpy.float32)
    with torch.no_grad():
        difference = network(torch.tensor(check.transpose(0, 3, 1, 2).copy())).numpy() - numpy.asarray(model(check))
    if numpy.abs(difference).max() > 1e-3:
        raise ValueError(f"the PyTorch copy's logits differ by {numpy.abs(difference).max()}, expected at most 1e-3")
    return network


if __name__ == "__main__":
    main()
