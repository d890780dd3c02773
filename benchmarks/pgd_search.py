"""How long the search for minimal PGD adversarials takes, beside foolbox driven through the same search.

    python benchmarks/pgd_search.py --images 64 --width 0.25

One process: a seeded AlexNet, trained for a few epochs on the bundled digits; the same images; the same bisection over
epsilon. foolbox's LinfProjectedGradientDescentAttack gets one epsilon an image and a compiled forward pass; ours runs
a trial in one compiled graph, ending each image at its first misclassified iterate. Times depend on the machine and
on what else it does, so compare the ratios within one run. A pass is forward and backward through one image; the floor
is the passes that the search cannot spare, at the speed of the bare compiled pass.
"""

import argparse
import functools
import time

import foolbox
import keras
import numpy

import data
import models
from adv import attacks, foolbox_model, search
from models import compute, perturb


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="images attacked, all in one batch")
    parser.add_argument("--width", type=float, default=0.25, help="factor on AlexNet's channels and units")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of training first")
    parser.add_argument("--bisections", type=int, default=6, help="trials after the growth (the attack itself: 20)")
    parser.add_argument("--repeats", type=int, default=2, help="timed runs, in turn; the fastest of each counts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    model, images, labels = prepare(arguments)
    attack = attacks.PGD(bisections=arguments.bisections)
    sign = compute.compiled(model, perturb.sign_gradient)
    jobs = {
        "foolbox": lambda attack: theirs(model, images, labels, attack),
        "ours": lambda attack: ours(model, images, labels, attack),
        "bare": lambda attack: [compute.predict(sign, images, labels) for _ in range(attack.steps)],
    }
    result = {name: job(attacks.PGD(growths=2, bisections=1)) for name, job in jobs.items()}  # compiles
    seconds = dict.fromkeys(jobs, numpy.inf)
    for _ in range(arguments.repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            result[name] = job(attack)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    passes = needed(model, images, labels, attack)
    floor = passes * seconds["bare"] / (attack.steps * len(images))

    (found, success), (other, other_success) = result["ours"], result["foolbox"]
    size, other_size = (search.norm(each - images, "linf") for each in (found, other))
    print(f"{compute.BACKEND}, AlexNet x {arguments.width:g}, {len(images)} images of 28x28x1, {passes} passes needed")
    print(f"foolbox, same search   {seconds['foolbox']:7.2f} s")
    print(
        f"ours                   {seconds['ours']:7.2f} s    {seconds['foolbox'] / seconds['ours']:.2f} times as fast"
    )
    print(f"floor                  {floor:7.2f} s    ours takes {seconds['ours'] / floor:.2f} times as long")
    print(
        f"same success {(success == other_success).all()}; perturbations (Linf): median {numpy.median(size):.4f}, "
        f"greatest difference {numpy.abs(size - other_size).max():.1e}"
    )


def prepare(arguments):
    """A trained model, and float32 images that it classifies correctly, with their labels."""
    keras.utils.set_random_seed(arguments.seed)
    digits = data.load("digits")
    x = data.to_unit(digits.x_train)
    model = models.build("alexnet", x.shape[1:], 10, data.statistics(digits.x_train), width=arguments.width)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    model.fit(x, digits.y_train, batch_size=32, epochs=arguments.epochs, verbose=0)
    rows = numpy.flatnonzero(search.classes(model, x) == digits.y_train)[: arguments.images]
    return model, x[rows], digits.y_train[rows].astype(numpy.int32)


def ours(model, images, labels, attack):
    return attack.closest(model, images, labels, batch_size=len(images))


def theirs(model, images, labels, attack):
    """search.bisection around foolbox: every trial takes all the steps."""
    pgd = foolbox.attacks.LinfProjectedGradientDescentAttack(
        steps=attack.steps, rel_stepsize=attack.rel_stepsize, random_start=False
    )

    def trial(rows, epsilon):
        sizes = keras.ops.convert_to_tensor(epsilon.astype(numpy.float32)[:, None, None, None])
        made = foolbox_model.run(pgd, model, images[rows], labels[rows], batch_size=len(images), epsilon=sizes)
        return made, search.classes(model, made) != labels[rows]

    return search.bisection(trial, images, **_settings(attack))


def _settings(attack):
    return {name: getattr(attack, name) for name in ("epsilon", "growth", "growths", "bisections")}


def needed(model, images, labels, attack):
    """Passes of the search: in a trial, one for each step up to the first misclassified iterate."""
    total = 0
    run = compute.compiled(model, functools.partial(_steps_until_wrong, attack.steps))

    def trial(rows, epsilon):
        nonlocal total
        sizes = (size.astype(numpy.float32) for size in (epsilon, attack.rel_stepsize * epsilon))
        made, wrong, steps = compute.predict(run, images[rows], labels[rows], *sizes, batch_size=len(images))
        total += int(steps.sum())
        return made, wrong

    search.bisection(trial, images, **_settings(attack))
    return total


def _steps_until_wrong(steps, call, images, labels, epsilon, step_size):
    taken = keras.ops.zeros_like(labels)
    current = images
    epsilon, step_size = (keras.ops.reshape(size, (-1, 1, 1, 1)) for size in (epsilon, step_size))

    def step(_, state):
        current, taken = state
        wrong = perturb.is_wrong(call(current), labels)
        sign = perturb.sign_gradient(call, current, labels)
        moved = images + keras.ops.clip(current + step_size * sign - images, -epsilon, epsilon)
        held = keras.ops.reshape(wrong, (-1, 1, 1, 1))
        current = keras.ops.where(held, current, keras.ops.clip(moved, 0.0, 1.0))
        return current, taken + keras.ops.cast(keras.ops.logical_not(wrong), taken.dtype)

    current, taken = keras.ops.fori_loop(0, steps, step, (current, taken))
    return current, perturb.is_wrong(call(current), labels), taken


if __name__ == "__main__":
    main()
