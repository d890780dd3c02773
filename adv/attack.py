"""What an attack is: a frozen dataclass of hyper-parameters with two methods; epsilon stays outside it.

Given correctly classified float32 images (N, H, W, C) in [0, 1] and integer labels (N,), an attack has

- ``closest(model, images, labels, *, batch_size)`` -> (candidates, success): its smallest perturbations;
- ``within(model, images, labels, *, epsilon, batch_size)`` -> images no farther than epsilon away in its norm.

Whoever calls them (adv.search.minimal, adv.evaluate.robust_flags) predicts the returned images once more and counts
those, never the attack's own success.
"""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """What every attack has: `title`, `citation`, the `norm` that its epsilon is measured in, `specification()`."""

    title: typing.ClassVar[str]
    citation: typing.ClassVar[str]
    norm: typing.ClassVar[str]

    def specification(self):
        """Everything that decides the attack, as JSON values: for result rows and artefacts."""
        return {"attack": type(self).__name__.lower(), "norm": self.norm, **dataclasses.asdict(self)}
