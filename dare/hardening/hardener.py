"""One trained model, hardened by several strategies from the same weights, and measured at several points."""

import contextlib
import time
from collections.abc import Callable

import numpy

import models
from dare import controls, transform
from dare.hardening import strategies
from dare.hardening import targets as hardening_targets
from train.diverged import Diverged


class Hardener:
    """The model, the samples that every strategy tunes on, and the measure.

    samples: hardening_targets.Source, with the model.
    measure: ``measure()`` -> {name: accuracy in percent} of the model as it is; raises models.NonFiniteLogits where
        its logits are not finite.
    epsilon: Linf radius of the perturbations, in [0, 1] pixel scale.
    Every method leaves the model with its original weights.
    """

    def __init__(self, samples: hardening_targets.Source, measure: Callable, *, epsilon: float):
        self.samples, self.measure, self.epsilon = samples, measure, epsilon
        self.model, self.original = samples.model, samples.model.get_weights()
        self.layer = samples.mined.layer
        regression = transform.transform(self.model, self.layer)
        self.nets = {"weight_change": self.model, "weight_change_regression": regression}
        self.before = {name: strategies.weights(net) for name, net in self.nets.items()}
        self.targets_of = {}

    def targets(self, name: str) -> tuple:
        """(targets of the samples, passes per sample that computing them took); computed once for all strategies."""
        if name not in self.targets_of:
            self.targets_of[name] = hardening_targets.TARGETS[name](self.samples)
        return self.targets_of[name]

    def standing(self, weights: list | None = None) -> dict:
        """Measure a weight set without tuning it (None: the original weights)."""
        with models.keeping_weights(self.model, self.original):
            self.model.set_weights(self.original if weights is None else weights)
            return self._point(0, 0.0)

    def trajectory(
        self,
        strategy: strategies.Strategy,
        *,
        learning_rate: float,
        steps: int,
        batch_size: int,
        bp_epochs: float,
        points: int,
        seed: int,
    ) -> tuple[list[dict], float]:
        """The points of one tuning, and the seconds spent in tuning, not measuring.

        bp_epochs: the budget.
        points: number of points, each at twice the effort of the one before, the last at the whole budget. There are
            fewer where two points need equally many updates, or where loss, weights or logits are no longer finite.
        learning_rate, steps, batch_size, seed: as in strategies.harden.
        """
        targets = self.targets(strategy.targets)[0]
        effort = {"passes": strategy.passes(steps), "batch_size": batch_size, "samples": len(targets)}
        budgets = [bp_epochs / 2**halving for halving in range(points)]
        tuning = strategies.harden(
            self.model,
            self.samples.x,
            targets,
            strategy,
            layer=self.layer,
            epsilon=self.epsilon,
            steps=steps,
            learning_rate=learning_rate,
            batch_size=batch_size,
            stops=sorted({strategies.updates_for(budget, **effort) for budget in budgets}),
            seed=seed,
        )
        trajectory, seconds, started_at = [], 0.0, time.monotonic()
        # The trajectory ends where a loss is not finite.
        with models.keeping_weights(self.model, self.original), contextlib.suppress(Diverged):
            for updates, _ in tuning:
                seconds += time.monotonic() - started_at
                trajectory.append(self._point(updates, strategies.bp_epochs(updates, **effort)))
                started_at = time.monotonic()
        return trajectory, seconds

    def _point(self, updates, bp_epochs):
        """The effort, the accuracies, and the change of weights of the whole net and of its layers up to R."""
        changes = {
            name: controls.relative_change(self.before[name], strategies.weights(net))
            for name, net in self.nets.items()
        }
        if not numpy.isfinite(list(changes.values())).all():
            raise Diverged("the weights are no longer finite")
        try:
            accuracies = self.measure()
        except models.NonFiniteLogits as error:
            raise Diverged(str(error)) from error
        return {"updates": updates, "bp_epochs": bp_epochs, **changes, **accuracies}
