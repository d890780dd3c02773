"""AutoAttack compared with two public implementations on PyTorch, on the same weights and images.

    python benchmarks/autoattack.py --torch-python <python of an environment with torch, torchattacks and ART>

A seeded convolutional net is trained for a few epochs and copied to PyTorch, which runs in a process of its own
(benchmarks/autoattack_torch.py), so that the libraries need not share an environment:

- torchattacks: its APGD, APGDT, FAB and Square, the authors' released code, each on the survivors of those before;
- adversarial-robustness-toolbox (ART): its AutoAttack, whose four attacks are APGD on two losses, DeepFool and Square.

Robust accuracies are of all images, in percent. An attack counts if the Keras model misclassifies the stored float32
image and it is in the ball. Times are processor times of all cores, which other work on the machine disturbs less;
compilation is not timed.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import keras
import numpy

import data
from adv import search
from adv.autoattack import AutoAttack
from adv.pgd import PGD
from models import compute

SIDE = pathlib.Path(__file__).with_name("autoattack_torch.py")
OTHERS = ("torchattacks", "art")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="of the catalogue of data")
    parser.add_argument("--images", type=int, default=200, help="test images, the first of the set")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of training first")
    parser.add_argument("--training-images", type=int, help="the first of the set (default: all)")
    parser.add_argument("--robust", action="store_true", help="train on PGD's images of the weights before each epoch")
    parser.add_argument("--norm", choices=["linf", "l2"], default="linf")
    parser.add_argument("--epsilon", type=float, default=16 / 255, help="in [0, 1] pixel scale")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--torch-python", help="the interpreter that has torch; without it only ours runs")
    parser.add_argument("--other", nargs="*", choices=OTHERS, default=OTHERS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    model, x, y = prepare(arguments)
    kind = "robust" if arguments.robust else "plain"
    print(f"{compute.BACKEND}, {arguments.dataset}, {kind}, {len(x)} images, {arguments.norm} {arguments.epsilon:.4g}")
    mine = ours(model, x, y, arguments)
    show("ours", mine, mine)
    for name in arguments.other if arguments.torch_python else ():
        show(name, theirs(name, model, x, y, arguments), mine)


def prepare(arguments: argparse.Namespace) -> tuple[keras.Model, numpy.ndarray, numpy.ndarray]:
    """A trained net of two convolutions, float32 test images and their int32 labels."""
    keras.utils.set_random_seed(arguments.seed)
    dataset, layers = data.load(arguments.dataset), keras.layers
    x, y = data.to_unit(dataset.x_train[: arguments.training_images]), dataset.y_train[: arguments.training_images]
    net = [keras.Input(x.shape[1:])]
    for filters in (16, 32):
        net += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    net += [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(len(dataset.classes))]
    model = keras.Sequential(net)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    ascent = PGD(steps=7, rel_stepsize=0.25, random_start=True)
    sizes = {"epsilon": arguments.epsilon, "batch_size": 256}
    for epoch in range(arguments.epochs):
        attacked = ascent.within(model, x, y.astype(numpy.int32), **sizes) if arguments.robust and epoch else x
        model.fit(attacked, y, batch_size=64, verbose=0)
    labels = dataset.y_test[: arguments.images].astype(numpy.int32)
    return model, data.to_unit(dataset.x_test[: arguments.images]), labels


def ours(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, arguments: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """name of each attack -> (robust accuracy after it in percent, processor seconds)."""
    sizes = {"epsilon": arguments.epsilon, "batch_size": arguments.batch_size}
    robust, results = search.classes(model, x) == y, {}
    for name, attack in AutoAttack(norm=arguments.norm, seed=arguments.seed).attacks.items():
        rows = numpy.flatnonzero(robust)
        for count in (2, 3):  # batches of two sizes are traced as any size
            attack.within(model, x[rows[:count]], y[rows[:count]], **sizes)
        started_at = time.process_time()
        attacked = attack.within(model, x[rows], y[rows], **sizes)
        seconds = time.process_time() - started_at
        robust[rows] = search.classes(model, attacked) == y[rows]
        results[name] = 100 * robust.mean(), seconds
    return results


def theirs(
    name: str, model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, arguments: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """The same of another implementation, run by the other interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = pathlib.Path(folder) / "inputs.npz", pathlib.Path(folder) / "outputs.npz"
        weights = {f"w{place}": weight for place, weight in enumerate(model.get_weights())}
        rows = numpy.flatnonzero(search.classes(model, x) == y)
        probe = compute.predict(compute.forward(model), x[:4])
        numpy.savez(inputs, x=x[rows], y=y[rows].astype(numpy.int64), probe_x=x[:4], probe=probe, **weights)
        settings = {"which": name, "norm": arguments.norm, "epsilon": arguments.epsilon, "seed": arguments.seed}
        settings |= {"batch_size": arguments.batch_size, "inputs": str(inputs), "outputs": str(outputs)}
        subprocess.run([arguments.torch_python, str(SIDE), json.dumps(settings)], check=True)
        arrays = numpy.load(outputs)
        robust, results = numpy.ones(len(rows), bool), {}
        for attack in arrays["names"]:
            images = arrays[f"{attack}-images"]
            inside = search.norm(images - x[rows].astype(float), arguments.norm) <= arguments.epsilon * (1 + 1e-5)
            robust &= ~((search.classes(model, images) != y[rows]) & inside)
            results[str(attack)] = 100 * robust.sum() / len(x), float(arrays[f"{attack}-seconds"])
    return results


def show(name: str, results: dict[str, tuple[float, float]], mine: dict[str, tuple[float, float]]) -> None:
    """Print the accuracies, the times, and the ratio of the whole to ours."""
    for attack, (robust, seconds) in results.items():
        print(f"{name:13} {attack:9} robust {robust:6.2f} %  {seconds:8.1f} s")
    whole, own = (sum(seconds for _, seconds in table.values()) for table in (results, mine))
    print(f"{name:13} whole     robust {robust:6.2f} %  {whole:8.1f} s = {whole / own:.2f} x ours", flush=True)


if __name__ == "__main__":
    main()
