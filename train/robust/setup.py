"""SETUPS: published lengths and learning rates of robust training."""

import dataclasses
import math

import numpy

from train.params import check_numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """The SGD recipe of a publication.

    epochs: passes over the batches, whatever the number of replays.
    learning_rate: multiplied by `factors[i]` from `milestones[i]` (fractions of the run) on.
    cyclic: instead, the rate rises from 0 to learning_rate at `milestones[0]` and falls to 0 at the end.
    knots: instead, pairs (fraction of the run, factor), between which the rate is linear; two at one fraction: a drop.
    fixed: a run of another length keeps the milestones at their epochs, as a script that counts epochs does.
    momentum_at_peak: the momentum falls linearly to this as the rate rises to its peak, the default of PyTorch's
        CyclicLR [P]; None: constant.
    epsilon: Linf radius in [0, 1] pixel scale.
    crop: largest shift as a fraction of each side (4 of 32 pixels); uncovered pixels are 0.
    gamma: of MagnitudeGuided.
    replay_share: DEAT's step size as a fraction of epsilon.
    replay_maximum: most replays of a batch.
    replay_clip: whether DEAT's random start is clipped to [0, 1]; not in the fast set-up [P] (True there is ours [D]).
    delayed_share: length of DEAT-d's training as a fraction of `epochs`.
    standardised: the net's first layer standardises the channels of colour images.
    Raises ValueError for a number out of its range, and a milestone without factor.
    """

    title: str
    citation: str
    epochs: int
    learning_rate: float
    milestones: tuple = (0.5, 0.8)
    factors: tuple = (0.1, 0.01)
    cyclic: bool = False
    knots: tuple = ()
    fixed: bool = False
    momentum: float = 0.9
    momentum_at_peak: float | None = None
    weight_decay: float = 5e-4
    batch_size: int = 128
    epsilon: float = 8 / 255
    crop: float = 0.125
    flip: bool = True
    gamma: float = 1.01
    replay_share: float = 1.25
    replay_maximum: int = 8
    replay_clip: bool = True
    delayed_share: float = 1.0
    standardised: bool = True

    def __post_init__(self):
        shares = ("momentum", "epsilon", "crop", "milestones")
        check_numbers(self, whole=("batch_size", "epochs"), shares=shares, sizes=("weight_decay", "factors"))
        check_numbers(self, sizes=("learning_rate", "replay_share", "delayed_share"))
        if not self.learning_rate:
            raise ValueError("learning_rate is 0, expected a number above 0")
        if not self.cyclic and len(self.factors) < len(self.milestones):
            raise ValueError(
                f"{len(self.factors)} factors for {len(self.milestones)} milestones, expected one for each"
            )
        if self.cyclic and not (self.milestones and 0 < self.milestones[0] < 1):
            raise ValueError(f"milestones are {self.milestones}, expected the peak of the cycle, between 0 and 1")

        times, factors = [time for time, _ in self.knots], [factor for _, factor in self.knots]
        if self.knots and (times != sorted(times) or (times[0], times[-1]) != (0, 1)):
            raise ValueError(f"the knots lie at {times}, expected fractions of the run that rise from 0 to 1")
        if not all(0 <= factor < math.inf for factor in factors):
            raise ValueError(f"the knots have factors {factors}, expected finite numbers of at least 0")

    def rate(self, progress: float, epoch: float = 0.0) -> float:
        """The learning rate after a fraction `progress` of the run; epoch: the same in (fractional) epochs."""
        if self.fixed:
            progress = epoch / self.epochs
        if self.knots:
            return self.learning_rate * float(numpy.interp(progress, *zip(*self.knots, strict=True)))
        if self.cyclic:
            peak = self.milestones[0]
            rising = progress / peak if progress < peak else (1 - progress) / (1 - peak)
            return self.learning_rate * max(rising, 0.0)
        passed = sum(progress >= milestone - 1e-9 for milestone in self.milestones)
        return self.learning_rate * (self.factors[passed - 1] if passed else 1.0)

    def momentum_of(self, rate: float) -> float:
        """The momentum at a learning rate: lowest at its peak, highest at 0."""
        if self.momentum_at_peak is None:
            return self.momentum
        return self.momentum - (self.momentum - self.momentum_at_peak) * rate / self.learning_rate


DEAT = "Wang, Zhang, Zheng, Ruan, arXiv 2103.03076"
SETUPS = {
    "standard": Setup(title="DEAT, 50 epochs", citation=DEAT, epochs=50, learning_rate=0.05),
    "fast": Setup(
        title="DEAT, 10 epochs", citation=DEAT, epochs=10, learning_rate=0.1, cyclic=True, milestones=(0.5,),
        factors=(), momentum_at_peak=0.8, gamma=1.0, replay_share=1.5, replay_clip=False, delayed_share=1.2,
    ),
    "imagenet": Setup(
        title="DEAT, ImageNet", citation=DEAT, epochs=23, learning_rate=0.1, weight_decay=1e-4, batch_size=256,
        epsilon=4 / 255, replay_share=1.5, replay_maximum=4, gamma=1.1,
    ),
    "pgd-baseline": Setup(
        title="PGD adversarial training", citation="Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018", epochs=200,
        learning_rate=0.1, milestones=(0.5, 0.75), fixed=True, weight_decay=2e-4, epsilon=0.0314,
        standardised=False,
    ),
    "fgsm-rs": Setup(
        title="Fast is better than free", citation="Wong, Rice, Kolter, ICLR 2020", epochs=15, learning_rate=0.2,
        cyclic=True, milestones=(0.5,), factors=(), momentum_at_peak=0.8,
    ),
    "trades": Setup(
        title="TRADES", citation="Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, ICML 2019", epochs=76, learning_rate=0.1,
        milestones=(74 / 76,), factors=(0.1,), weight_decay=2e-4, epsilon=0.031, standardised=False,
    ),
    "mart": Setup(
        title="MART", citation="Wang, Zou, Yi, Bailey, Ma, Gu, ICLR 2020", epochs=120, learning_rate=0.01,
        milestones=(74 / 120, 89 / 120, 99 / 120), factors=(0.1, 0.01, 0.001), weight_decay=3.5e-3, epsilon=0.031,
        standardised=False,
    ),
    "rice": Setup(
        title="Robust overfitting", citation="Rice, Wong, Kolter, ICML 2020", epochs=200, learning_rate=0.1,
        milestones=(0.5, 0.75),
    ),
    "sat": Setup(
        title="Self-adaptive training", citation="Huang, Zhang, Zhang, NeurIPS 2020", epochs=100, learning_rate=0.1,
        milestones=(0.74, 0.89, 0.99), factors=(0.1, 0.01, 0.001), weight_decay=2e-4, epsilon=0.031,
        standardised=False,
    ),
    "kd": Setup(
        title="KD and SWA", citation="Chen, Zhang, Liu, Chang, Wang, ICLR 2021", epochs=200, learning_rate=0.1,
        milestones=(0.25, 0.75),
    ),
    "seat": Setup(
        title="SEAT", citation="Wang, Wang, ICLR 2022", epochs=120, learning_rate=0.01, weight_decay=3.5e-3,
        milestones=(), factors=(), knots=((0, 1), (40 / 120, 1), (80 / 120, 0.1), (1, 0.01)), epsilon=0.031,
        standardised=False,
    ),
    "n-fgsm": Setup(
        title="N-FGSM", citation="de Jorge, Bibi, Volpi, Sanyal, Torr, Rogez, Dokania, NeurIPS 2022", epochs=30,
        learning_rate=0.2, cyclic=True, milestones=(0.5,), factors=(), momentum_at_peak=0.8,
    ),
    "nuat2": Setup(
        title="NuAT2", citation="Sriramanan, Addepalli, Baburaj, Babu, NeurIPS 2021", epochs=55, learning_rate=0.1,
        milestones=(), factors=(), knots=(
            (0, 0), (20 / 55, 1), (35 / 55, 0.25), (41 / 55, 0.25), (41 / 55, 0.025), (46 / 55, 0.025),
            (46 / 55, 0.0025), (1, 0.0025),
        ),
        batch_size=64,
    ),
    "nuat2-wa": Setup(
        title="NuAT2-WA", citation="Sriramanan, Addepalli, Baburaj, Babu, NeurIPS 2021", epochs=80,
        learning_rate=0.1, cyclic=True, milestones=(0.25,), factors=(), momentum_at_peak=0.8, batch_size=64,
    ),
    "yopo": Setup(
        title="YOPO-5-3", citation="Zhang, Zhang, Lu, Zhu, Dong, NeurIPS 2019", epochs=36, learning_rate=0.04,
        milestones=(30 / 36, 34 / 36), factors=(0.1, 0.01), batch_size=256,
    ),
}  # fmt: skip
BY_MODEL = {  # changes of DEAT's set-up for nets other than PreAct-ResNet-18
    **{("standard", name): {"learning_rate": 0.01} for name in ("vgg16", "vgg16_bn")},
    **{
        ("standard", name): {"learning_rate": 0.1, "epochs": 100, "milestones": (0.5, 0.75)}
        for name in ("wrn_34_10", "wrn_32_10")
    },
}


def of(name: str, model: str) -> Setup:
    """The set-up `name` for a model of the catalogue of any width. Raises ValueError for an unknown name."""
    if name not in SETUPS:
        raise ValueError(f"no set-up {name!r}: expected one of {', '.join(SETUPS)}")
    return dataclasses.replace(SETUPS[name], **BY_MODEL.get((name, model.partition("@")[0]), {}))
