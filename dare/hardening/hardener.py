"""One trained model, hardened by one strategy after another from the same weights, and measured on the way."""

import time

import numpy

import models
from dare import controls, transform
from dare.hardening import strategies
from dare.hardening import targets as hardening_targets


class Hardener:
    """The model and the samples that every strategy tunes on (hardening_targets.Source), and how it is measured.

    measure: ``measure()`` -> {name: accuracy in percent} of the model as it is, with models.NonFiniteLogits where its
    logits are not finite; epsilon: Linf radius of the perturbations, in [0, 1] pixel scale. Every method leaves the
    model with the weights that it had at first.
    """

    def __init__(self, samples, measure, *, epsilon):
        self.samples, self.measure, self.epsilon = samples, measure, epsilon
        self.model, self.original = samples.model, samples.model.get_weights()
        self.layer = samples.mined.layer
        regression = transform.transform(self.model, self.layer)
        self.nets = {"weight_change": self.model, "weight_change_regression": regression}
        self.before = {name: strategies.weights(net) for name, net in self.nets.items()}
        self.made = {}

    def targets(self, name):
        """(targets of the samples, passes a sample that they took), kept for the strategies that share them."""
        if name not in self.made:
            self.made[name] = hardening_targets.TARGETS[name](self.samples)
        return self.made[name]

    def standing(self, weights=None):
        """The point of weights that nothing is tuned from here: of the original's, or of others."""
        try:
            self.model.set_weights(self.original if weights is None else weights)
            return self._point(0, 0.0)
        finally:
            self.model.set_weights(self.original)

    def trajectory(self, strategy, *, learning_rate, steps, batch_size, bp_epochs, points, seed):
        """(the points of one tuning, seconds spent in it and not in measuring).

        strategy: strategies.Strategy; bp_epochs: the budget; points: how many there are, each at twice the
        effort of the one before, the last at the whole budget, and fewer where stops coincide or where loss, weights or
        logits are no longer finite; steps, batch_size, seed: as in strategies.harden.
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
        found, seconds, begun = [], 0.0, time.monotonic()
        try:
            for updates, _ in tuning:
                seconds += time.monotonic() - begun
                found.append(self._point(updates, strategies.bp_epochs(updates, **effort)))
                begun = time.monotonic()
        except ArithmeticError:  # the trajectory ends here
            pass
        finally:
            self.model.set_weights(self.original)
        return found, seconds

    def _point(self, updates, bp_epochs):
        """Effort, accuracies, and the change of weights: of the whole net, and of its layers up to R."""
        changes = {
            name: controls.relative_change(self.before[name], strategies.weights(net))
            for name, net in self.nets.items()
        }
        if not numpy.isfinite(list(changes.values())).all():
            raise ArithmeticError("the weights are no longer finite")
        try:
            accuracies = self.measure()
        except models.NonFiniteLogits as error:
            raise ArithmeticError(str(error)) from error
        return {"updates": updates, "bp_epochs": bp_epochs, **changes, **accuracies}
