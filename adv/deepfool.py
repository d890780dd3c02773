"""DeepFool: the nearest of the linearised boundaries, again and again (through foolbox)."""

import dataclasses

import numpy

from adv import foolbox_model, search
from adv.attack import Attack


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """DeepFool: to the nearest of the linearised boundaries, again and again (Moosavi-Dezfooli et al. 2016).

    foolbox 3.3.4's L2DeepFoolAttack or LinfDeepFoolAttack, over the ten likeliest classes. norm: "l2" or "linf";
    steps: at most; overshoot: how far beyond the boundary.
    """

    title = "DeepFool"
    citation = "Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016"
    norm: str = "l2"
    steps: int = 100
    overshoot: float = 0.05

    def closest(self, model, images, labels, *, batch_size=256):
        """The whole attack for the images that a tenth of the steps does not fool, so that few hold up many."""
        result, rows, success = images.copy(), numpy.arange(len(images)), numpy.zeros(len(images), bool)
        for steps in (max(1, self.steps // 10), self.steps):
            attack = foolbox_model.deepfool(self.norm, steps=steps, overshoot=self.overshoot)
            result[rows] = foolbox_model.run(attack, model, images[rows], labels[rows], batch_size=batch_size)
            if len(rows):
                success[rows] = search.classes(model, result[rows], batch_size=batch_size) != labels[rows]
            rows = rows[~success[rows]]
        return result, success

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """The closest adversarials that are no farther than epsilon; other images stay as they are."""
        candidates, success = self.closest(model, images, labels, batch_size=batch_size)
        success &= search.norm(candidates - images, self.norm) <= epsilon
        return numpy.where(success[:, None, None, None], candidates, images)
