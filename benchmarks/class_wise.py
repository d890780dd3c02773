"""Cost of the class-wise study: a step of Temperature-PGD compared with PGD's, and the division by class.

    python benchmarks/class_wise.py --model small_cnn@0.5 --dataset digits

One process, the same weights and images. Each job runs once to compile, then in turn with the others; the fastest of
--repeats counts. Times depend on the machine and its other work: compare ratios within a run; aims are in brackets. The
ball is so small that no attack succeeds, so all take all of their steps.
"""

import argparse

import keras
import numpy
import timing

import data
import models
from adv import attacks, evaluate, search

STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model", default="small_cnn@0.5")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    dataset = data.load(arguments.dataset)
    x = data.to_unit(dataset.x_test[: arguments.images])
    classes = len(dataset.classes)
    model = models.build(arguments.model, x.shape[1:], classes)
    y = search.classes(model, x).astype(numpy.int32)  # within a tiny ball no step fools: all steps are taken

    def attack(name):
        return lambda: attacks.ATTACKS[name].within(model, x, y, epsilon=1e-7)

    def evaluation():
        return evaluate.robust_flags(model, x, y, attacks.ATTACKS["pgd-20"], epsilon=1e-7)

    labels = numpy.arange(len(x)) % classes

    def divided():
        flags = evaluation()
        evaluate.class_wise(flags, labels, classes=classes)
        evaluate.confusion(labels, labels, classes=classes)

    names = ["pgd-20", "cw-linf-20", "t-pgd-1", "t-pgd-5", "t-pgd-50"]
    jobs = {**{name: attack(name) for name in names}, "evaluation": evaluation, "divided": divided}
    seconds, _ = timing.fastest(jobs, arguments.repeats)
    print(f"{models.compute.BACKEND}, {arguments.model} on {arguments.dataset}, {len(x)} images, {STEPS} steps")
    for job, reference, aim in (
        *((name, "pgd-20", "<= 1.05") for name in names[2:]),
        ("cw-linf-20", "pgd-20", "for comparison"),
        ("divided", "evaluation", "<= 1.01"),
    ):
        ratio = f"{seconds[job]:.3f} s / {seconds[reference]:.3f} s = {seconds[job] / seconds[reference]:.3f}"
        print(f"{job} / {reference}: {ratio} ({aim})")


if __name__ == "__main__":
    main()
