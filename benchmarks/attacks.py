"""Time of our attacks compared with foolbox's and ART's, on the same weights and images.

    python benchmarks/attacks.py --images 16 --model alexnet@0.25

One process: a seeded AlexNet is trained for a few epochs on the bundled digits; the attacked images are correct. Each
job runs once to compile, then in turn with the others; the fastest of --repeats counts. foolbox gets a compiled forward
pass, and our search over epsilon where ours searches. ART (adversarial-robustness-toolbox) runs if it is installed and
Keras runs on TensorFlow; the project does not need it. Times depend on the machine and its other work: compare ratios
("/ ours") within a run. "result" is the fraction still correct at a fixed epsilon, or the median perturbation.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import logging
import time
from collections.abc import Callable
from typing import Any

import eagerpy
import foolbox
import keras
import numpy
import timing

import data
import models
from adv import attacks, foolbox_model, jsma, search
from models import compute, perturb

LONG = 10  # seconds
ROW = "{:34} {:>9} {:>9} {:>9} {:>9} {:>7} {:>11} {:>11} {:>11}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16, help="images attacked, all in one batch")
    parser.add_argument("--model", default="alexnet@0.25", help="an AlexNet of any width")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of training first")
    parser.add_argument("--bisections", type=int, default=2, help="trials after the growth (the attack itself: 20)")
    parser.add_argument(
        "--steps",
        type=int,
        default=50,
        help="steps a search of C&W, of ten times its step size",
    )
    parser.add_argument("--repeats", type=int, default=1, help="timed runs, in turn; the fastest of each counts")
    parser.add_argument(
        "--cpu-time", action="store_true", help="seconds of all cores, which a busy machine disturbs less"
    )
    parser.add_argument("--only", nargs="+", help="rows whose name begins so")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    model, images, labels = prepare(arguments)
    half = attacks.PGD(bisections=4).closest(model, images, labels)[0]
    epsilon = float(numpy.median(search.norm(half - images, "linf")))
    print(f"{compute.BACKEND}, {arguments.model}, {len(images)} images of 28x28x1, epsilon {epsilon:.3f}")
    print(ROW.format("", "ours s", "foolbox s", "/ ours", "ART s", "/ ours", "result", "foolbox", "ART"))
    for name, (norm, jobs) in rows(model, images, labels, epsilon, arguments).items():
        if not arguments.only or any(name.startswith(begin) for begin in arguments.only):
            report(name, norm, *timing.fastest(jobs, arguments.repeats, clock=clock, long=LONG), model, images, labels)
    for name, (aim, jobs) in pairs(model, images, labels, epsilon).items():
        if not arguments.only or any(name.startswith(begin) for begin in arguments.only):
            seconds, attacked = timing.fastest(jobs, arguments.repeats, clock=clock, long=LONG)
            (first, first_seconds), (second, second_seconds) = seconds.items()
            same = numpy.mean([(image == twin).all() for image, twin in zip(*attacked.values(), strict=True)])
            print(
                f"{name}: {second} {second_seconds:.2f} s, {first} {first_seconds:.2f} s: "
                f"{second_seconds / first_seconds:.2f} (aim {aim}); same {same:.0%}"
            )


def prepare(arguments: argparse.Namespace) -> tuple[keras.Model, numpy.ndarray, numpy.ndarray]:
    """(trained model, correctly classified float32 images, their labels)."""
    keras.utils.set_random_seed(arguments.seed)
    digits = data.load("digits")
    x = data.to_unit(digits.x_train)
    model = models.build(arguments.model, x.shape[1:], 10, preprocessing=data.statistics(digits.x_train))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    model.fit(x, digits.y_train, batch_size=32, epochs=arguments.epochs, verbose=0)
    rows = numpy.flatnonzero(search.classes(model, x) == digits.y_train)[: arguments.images]
    return model, x[rows], digits.y_train[rows].astype(numpy.int32)


def report(
    name: str,
    norm: str | None,
    seconds: dict[str, float],
    attacked: dict[str, numpy.ndarray],
    model: keras.Model,
    images: numpy.ndarray,
    labels: numpy.ndarray,
) -> None:
    """Print one line: the seconds of each library and what its attack achieved."""
    ours = seconds["ours"]
    times = [f"{ours:.2f}"]
    for library in ("foolbox", "art"):
        times += [f"{seconds[library]:.2f}", f"{seconds[library] / ours:.2f}"] if library in seconds else ["-", "-"]
    results = [result(attacked[whose], norm, model, images, labels) if whose in attacked else "-" for whose in
               ("ours", "foolbox", "art")]  # fmt: skip
    print(ROW.format(name, *times, *results), flush=True)


def result(
    attacked: numpy.ndarray, norm: str | None, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray
) -> str:
    """What an attack achieved, in words. norm: of a minimal attack; None for an attack of fixed epsilon."""
    correct = search.classes(model, attacked) == labels
    if norm is None:
        return f"{correct.mean():.1%}"
    size = search.norm(attacked - images, norm)[~correct]
    return f"{numpy.median(size):.4f} {1 - correct.mean():.0%}" if len(size) else "none"


def rows(
    model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, epsilon: float, arguments: argparse.Namespace
) -> dict[str, tuple]:
    """name -> (norm of a minimal attack or None, name -> job)."""
    size = {"batch_size": len(images)}
    short = {"growths": 4, "bisections": arguments.bisections}
    pgd, strong = attacks.PGD(**short), attacks.PGD(rel_stepsize=0.1)
    bim, cw = attacks.BIM(**short), attacks.CW(steps=arguments.steps, stepsize=0.05)
    fgsm, whole = attacks.FGSM(epsilons=200), images[0].size
    box = foolbox.attacks
    cw_settings = {name: getattr(cw, name) for name in ("binary_search_steps", "steps", "stepsize", "initial_const")}
    linf = functools.partial(box.LinfPGD, random_start=False)
    l1 = L1(rel_stepsize=bim.rel_stepsize, steps=bim.steps, random_start=False)
    art = art_attacks(model, images, labels, cw_settings)

    def within(attack, foolbox_attack, epsilon):
        return {
            "ours": lambda: attack.within(model, images, labels, epsilon=epsilon, **size),
            "foolbox": lambda: foolbox_model.run(foolbox_attack, model, images, labels, epsilon=epsilon, **size),
        }

    def closest(attack, foolbox_job):
        jobs = {"ours": lambda: attack.closest(model, images, labels, **size)[0], "foolbox": foolbox_job}
        return attack.norm, jobs

    def theirs(attack):
        return functools.partial(foolbox_model.run, attack, model, images, labels, **size)

    table = {
        "fgsm, one step": (None, within(fgsm, box.FGSM(random_start=False), epsilon) | art("fgsm", epsilon)),
        "fgsm, grid of 200": closest(fgsm, lambda: gradient_sign(model, images, labels, fgsm)),
        "pgd, 40 steps": (
            None, within(strong, linf(rel_stepsize=0.1, steps=40), epsilon) | art("pgd", epsilon)),
        "pgd, search": closest(pgd, lambda: searched(
            model, images, labels, pgd, linf(rel_stepsize=pgd.rel_stepsize, steps=pgd.steps), 1)),
        "bim (L1), 10 steps, mean .1": (None, within(bim, l1, 0.1 * whole)),
        "bim (L1), search": closest(bim, lambda: searched(model, images, labels, bim, l1, whole)),
        "deepfool": closest(attacks.get("deepfool"), theirs(box.L2DeepFoolAttack(steps=100, overshoot=0.05))),
        "deepfool-linf": closest(
            attacks.get("deepfool-linf"), theirs(box.LinfDeepFoolAttack(steps=100, overshoot=0.05))),
        f"cw, 5 searches of {cw.steps} steps": closest(cw, theirs(box.L2CarliniWagnerAttack(**cw_settings))),
    }  # fmt: skip
    for name, row in table.items():
        row[1].update(art(name.split(",")[0]) if row[0] == "l2" else {})
    return table


def searched(
    model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, attack: Any, foolbox_attack: Any, whole: int
) -> numpy.ndarray:
    """search.bisection around a foolbox attack; each trial takes all steps."""

    def trial(rows, epsilon):
        sizes = keras.ops.convert_to_tensor((whole * epsilon).astype(numpy.float32)[:, None, None, None])
        attacked = foolbox_model.run(
            foolbox_attack, model, images[rows], labels[rows], batch_size=len(images), epsilon=sizes
        )
        return attacked, search.classes(model, attacked) != labels[rows]

    settings = {name: getattr(attack, name) for name in ("epsilon", "growth", "growths", "bisections")}
    return search.bisection(trial, images, **settings)[0]


class L1(foolbox.attacks.L1BasicIterativeAttack):
    """foolbox's attack with an epsilon for each image."""

    def normalize(self, gradients: Any, *, x: Any, bounds: Any) -> Any:
        """As foolbox's, as a raw tensor."""
        return super().normalize(gradients, x=x, bounds=bounds).raw

    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        """As foolbox's, with an epsilon for each image."""
        return super().project(x, x0, eagerpy.astensor(keras.ops.reshape(epsilon, -1)))


def gradient_sign(
    model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, attack: attacks.FGSM
) -> numpy.ndarray:
    """search.grid around foolbox's FGSM, a single epsilon at a time."""
    fgsm = foolbox.attacks.FGSM(random_start=False)

    def step(rows, epsilon):
        sizes = keras.ops.convert_to_tensor(epsilon.astype(numpy.float32)[:, None, None, None])
        return foolbox_model.run(fgsm, model, images[rows], labels[rows], batch_size=len(images), epsilon=sizes)

    def trial(rows, epsilon):
        return (search.classes(model, step(rows, epsilon[:, 0])) != labels[rows])[:, None]

    smallest = search.grid(trial, len(images), epsilons=attack.epsilons, fine=attack.fine, block=1)
    return step(numpy.arange(len(images)), numpy.nan_to_num(smallest))


def art_attacks(model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, cw: dict) -> Callable:
    """``art(name, epsilon=None)`` -> {"art": job}, or {} if ART has no such attack or cannot run."""
    if importlib.util.find_spec("art") is None or compute.BACKEND != "tensorflow":
        print("ART: not installed" if compute.BACKEND == "tensorflow" else "ART: needs KERAS_BACKEND=tensorflow")
        return lambda name, epsilon=None: {}
    from art.attacks import evasion
    from art.estimators.classification import TensorFlowV2Classifier

    logging.getLogger("art").setLevel(logging.ERROR)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    shape = {"nb_classes": 10, "input_shape": images.shape[1:], "clip_values": (0, 1)}
    judge = TensorFlowV2Classifier(model=model, loss_object=loss, **shape)
    batch, hot = {"batch_size": len(images)}, numpy.eye(10, dtype=numpy.float32)[labels]
    quiet, steps = batch | {"verbose": False}, evasion.ProjectedGradientDescent
    make = {
        "fgsm": lambda e: evasion.FastGradientMethod(judge, eps=e, **batch),
        "pgd": lambda e: steps(judge, norm=numpy.inf, eps=e, eps_step=0.1 * e, max_iter=40, **quiet),
        "deepfool": lambda e: evasion.DeepFool(judge, max_iter=100, epsilon=0.05, nb_grads=10, **quiet),
        "cw": lambda e: evasion.CarliniL2Method(
            judge, max_iter=cw["steps"], learning_rate=cw["stepsize"], initial_const=cw["initial_const"],
            binary_search_steps=cw["binary_search_steps"], **quiet),
    }  # fmt: skip
    return lambda name, e=None: {"art": lambda: make[name](e).generate(images, hot)} if name in make else {}


def pairs(model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, epsilon: float) -> dict[str, tuple]:
    """Two ways to the same images: name -> (aim, jobs: ours and the simple way)."""
    size = {"batch_size": len(images)}
    strong = attacks.get("pgd-strong")
    few = slice(0, 3)

    def every_restart():
        """All restarts on all images; the first success of each image counts."""
        attacked, fooled = images.copy(), numpy.zeros(len(images), bool)
        for draw in range(strong.restarts):
            sizes = numpy.full(len(images), epsilon)
            iterates, misclassified = strong._restart(model, images, labels, sizes, draw, len(images))
            new = ~fooled
            attacked[new], fooled = iterates[new], fooled | misclassified
        return attacked

    return {
        "pgd-strong, 5 restarts": (1.5, {
            "survivors only": lambda: strong.within(model, images, labels, epsilon=epsilon, **size),
            "all images": every_restart,
        }),
        "jsma": (5, {
            "batch": lambda: jsma.JSMA(steps=200).closest(model, images[few], labels[few], **size)[0],
            "one image at a time": lambda: saliency(model, images[few], labels[few]),
        }),
    }  # fmt: skip


def saliency(model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    """foolbox 2.3.0's SaliencyMapAttack: an image at a time, an uncompiled gradient a step."""
    attack, attacked = jsma.JSMA(steps=200), images.copy()
    targets = jsma.target_classes(model, images, labels, seed=attack.seed)

    def logits_and_gradient(x, target):
        def loss(x):
            logits = model(x, training=False)
            return perturb.cross_entropy(logits, target), logits

        (_, logits), gradient = compute.gradient(loss, keras.ops.convert_to_tensor(x))
        return numpy.asarray(logits)[0], numpy.asarray(gradient).ravel()

    for row, image in enumerate(images):
        current, allowed, counts = image.ravel().copy(), numpy.ones(image.size), numpy.zeros(image.size)
        for _ in range(attack.steps):
            logits, gradient = logits_and_gradient(current.reshape(1, *image.shape), targets[row : row + 1])
            if logits.argmax() != labels[row]:
                attacked[row] = current.reshape(image.shape)
                break
            element = (gradient * allowed).argmax()
            sign = float(numpy.sign((gradient * allowed)[element]))
            current[element] = float(current[element]) - sign * attack.theta
            counts[element] += 1
            if not 0 < current[element] < 1 or counts[element] >= attack.repeats:
                allowed[element] = 0
            current = numpy.clip(current, 0, 1)
    return attacked


if __name__ == "__main__":
    main()
