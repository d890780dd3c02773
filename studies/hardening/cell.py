"""A cell of the hardening study: the images for tuning, for choosing learning rates and for attacks; accuracies."""

import numpy

from adv import checks, evaluate, probes, scoring
from dare import controls
from dare.hardening import targets as hardening_targets
from studies.dare import trained_cell
from train import seeds


class Cell:
    """The trained model, images and attacks that all strategies share.

    tested: rows of x_test that are attacked
    held: rows of x_validation that choose the learning rates, at most a quarter of them
    samples: mined samples that all strategies tune on, without the held rows
    epsilons: Linf radii "near" and "far", in [0, 1] pixel scale
    images: part -> number of images of a percentage
    Raises ValueError without APGD-T among the attacks, or without samples.
    """

    def __init__(self, arguments):
        self.arguments, cell = arguments, trained_cell.load(arguments)
        self.split, self.history, self.model = cell.split, cell.history, cell.model
        near, far = scoring.EPSILONS[self.split.x_test.shape[-1]]
        self.epsilons = {"near": arguments.epsilon or near, "far": arguments.far_epsilon or far}
        self.attacks = probes.probes(arguments.attack, steps=arguments.attack_steps, restarts=arguments.restarts)
        self.tested = self._draw(len(self.split.x_test), arguments.images, 10)
        if not any(scoring.at_least_apgd_t(attack.specification()) for attack in self.attacks):
            raise ValueError(
                f"--attack {' '.join(arguments.attack)}: expected apgd-t among them, since without it their worst case "
                "may overestimate robustness: add apgd-t"
            )
        count = len(self.split.x_validation)
        self.held = self._draw(count, min(arguments.held_out, count // 4), 11)
        self.images = {"clean": len(self.split.x_test), "near": len(self.tested), "far": len(self.tested)}
        self.images |= {"usable": len(self.tested), "saturated": len(self.tested)}
        self.images |= {"choice clean": len(self.held), "choice near": min(len(self.held), arguments.choice_images)}
        self.samples = self._select(trained_cell.targets(arguments, cell))

    def averaged(self) -> list:
        """The weights of the control swa, with batch-norm statistics from images of x_train."""
        some = numpy.sort(self._draw(len(self.split.x_train), self.arguments.swa_images, 12))
        return controls.swa(self.model, self.history, self.split.x_train[some])

    def accuracies(self) -> dict[str, float]:
        """Accuracies of the model with its current weights, in percent: clean and attacked, on x_test and held rows.

        usable, saturated: of the attacked images of x_test, as in adv.checks. The attacks of its other checks would
        cost more than those of the study, since every point of every trajectory is attacked.
        """
        x, y = self.split.x_test, self.split.y_test
        held_out = self.split.x_validation[self.held], self.split.y_validation[self.held]
        few = self.images["choice near"]
        flags = {
            "clean": evaluate.correct(self.model, x, y),
            "near": self._withstood(x[self.tested], y[self.tested], "near"),
            "far": self._withstood(x[self.tested], y[self.tested], "far"),
            "usable": checks.usable(self.model, x[self.tested], y[self.tested]),
            "saturated": checks.saturated(self.model, x[self.tested], y[self.tested]),
            "choice clean": evaluate.correct(self.model, *held_out),
            "choice near": self._withstood(held_out[0][:few], held_out[1][:few], "near"),
        }
        return {name: 100 * float(values.mean()) for name, values in flags.items()}

    def _withstood(self, x, y, size):
        return probes.withstood(self.model, x, y, self.attacks, epsilon=self.epsilons[size])

    def _draw(self, count, wanted, stream):
        """`wanted` of `count` rows (None: all), in random order."""
        return seeds.stream(self.arguments.seed, "hardening", stream).permutation(count)[:wanted]

    def _select(self, mined):
        rows = numpy.flatnonzero(~numpy.isin(mined.index, self.held))
        rows = rows[numpy.sort(self._draw(len(rows), self.arguments.samples, 13))]
        if not len(rows):
            raise ValueError("all mined samples are held out: hold out fewer (--held-out)")
        x, y = (array[mined.index[rows]] for array in (self.split.x_validation, self.split.y_validation))
        return hardening_targets.Source(self.model, self.history, mined, rows, x, y)
