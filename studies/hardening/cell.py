"""A cell of the study of hardening: which images are tuned on, which choose, which are attacked, and what is right."""

import numpy

from adv import evaluate, probes, scoring
from dare import controls
from dare.hardening import targets as hardening_targets
from studies.dare import trained_cell
from train import seeds


class Cell:
    """What the arguments of the study name, read once.

    tested: the x_test rows that are attacked; held: the x_validation rows that choose the learning rates, a quarter of
    them at most; samples: what all strategies tune on, of those that mining selected none that is held; epsilons: the
    Linf radii "near" and "far", in [0, 1] pixel scale; images: how many each accuracy is over.
    """

    def __init__(self, arguments):
        self.arguments, cell = arguments, trained_cell.load(arguments)
        self.split, self.history, self.model = cell.split, cell.history, cell.model
        near, far = scoring.EPSILONS[self.split.x_test.shape[-1]]
        self.epsilons = {"near": arguments.epsilon or near, "far": arguments.far_epsilon or far}
        self.attacks = probes.probes(arguments.attack, steps=arguments.attack_steps, restarts=arguments.restarts)
        self.tested = self._draw(len(self.split.x_test), arguments.images, 10)
        if not any(scoring.margin_based(attack.specification()) for attack in self.attacks):
            raise ValueError(
                f"--attack {' '.join(arguments.attack)}: none of them is margin-based, so their worst case may be too "
                "kind: add cw-linf-20 or apgd-t"
            )
        count = len(self.split.x_validation)
        self.held = self._draw(count, min(arguments.held_out, count // 4), 11)
        self.images = {"clean": len(self.split.x_test), "near": len(self.tested), "far": len(self.tested)}
        self.images |= {"choice clean": len(self.held), "choice near": min(len(self.held), arguments.choice_images)}
        self.samples = self._select(trained_cell.targets(arguments, cell))

    def averaged(self):
        """The weights of the control swa, with batch-norm statistics of some images of x_train."""
        some = numpy.sort(self._draw(len(self.split.x_train), self.arguments.swa_images, 12))
        return controls.swa(self.model, self.history, self.split.x_train[some])

    def accuracies(self):
        """Of the model as it is now, in percent: clean and attacked, on x_test and on the held images."""
        x, y = self.split.x_test, self.split.y_test
        held = self.split.x_validation[self.held], self.split.y_validation[self.held]
        few = self.images["choice near"]
        flags = {
            "clean": evaluate.correct(self.model, x, y),
            "near": self._withstood(x[self.tested], y[self.tested], "near"),
            "far": self._withstood(x[self.tested], y[self.tested], "far"),
            "choice clean": evaluate.correct(self.model, *held),
            "choice near": self._withstood(held[0][:few], held[1][:few], "near"),
        }
        return {name: 100 * float(found.mean()) for name, found in flags.items()}

    def _withstood(self, x, y, size):
        return probes.withstood(self.model, x, y, self.attacks, epsilon=self.epsilons[size])

    def _draw(self, count, wanted, stream):
        """`wanted` of `count` rows (None: all), in random order."""
        return seeds.stream(self.arguments.seed, "hardening", stream).permutation(count)[:wanted]

    def _select(self, mined):
        rows = numpy.flatnonzero(~numpy.isin(mined.index, self.held))
        rows = rows[numpy.sort(self._draw(len(rows), self.arguments.samples, 13))]
        if not len(rows):
            raise ValueError("mining selected no sample beside those held out: hold out fewer (--held-out)")
        x, y = (array[mined.index[rows]] for array in (self.split.x_validation, self.split.y_validation))
        return hardening_targets.Source(self.model, self.history, mined, rows, x, y)
