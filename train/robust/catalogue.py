"""METHODS: the methods of robust training, each a strategy and a controller with published hyper-parameters.

METHODS["<name>+ema"], "<name>+swa" and "<name>+median" are a method with averaged weights (average.AVERAGES).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

from train.robust import controller
from train.robust.adversarial import Adversarial
from train.robust.average import AVERAGES, TITLES, Ema, Median, Swa
from train.robust.awp import Awp
from train.robust.distil import Distillation
from train.robust.friendly import Friendly
from train.robust.mined import VARIANTS
from train.robust.nuclear import Nuclear
from train.robust.perturbation import StepSize
from train.robust.replay import Replay
from train.robust.setup import DEAT, Setup
from train.robust.targets import SelfAdaptive
from train.robust.yopo import Yopo


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of robust training.

    strategy: how a batch is trained on.
    controller: factory, without arguments, of the controller of the number of attack steps.
    published: the method's name in the published tables, or None.
    guard: training ends when the probe's robust accuracy falls by more than this fraction (probe.fallen).
    select: the probe's measure that selects the epoch.
    average: of the weights, which is what is evaluated (average.Ema, .Swa, .Median); None: the weights themselves.
    """

    title: str
    citation: str | None
    strategy: Adversarial | Replay | Yopo | Nuclear
    controller: Callable
    published: str | None = None
    guard: float = 0.2
    select: str = "probe_robust"
    average: Ema | Swa | Median | None = None

    @property
    def passes(self) -> float:
        """Forward and backward passes per image in an epoch, at most."""
        steps = self.controller().most
        return self.strategy.passes(steps) if hasattr(self.strategy, "passes") else steps

    @property
    def teachers(self) -> tuple:
        """The methods whose trained nets it distils."""
        return getattr(getattr(self.strategy, "distil", None), "teachers", ())

    def epochs(self, setup: Setup) -> int:
        """Number of epochs under a set-up.

        Its own, times `delayed_share` for DEAT-d's controller, divided by the replays for persistent perturbations
        (FREE).
        """
        fresh = self.controller()
        if isinstance(fresh, controller.Delayed):
            return math.ceil(setup.epochs * setup.delayed_share - 1e-9)
        replays = fresh.steps if getattr(self.strategy, "persistent", False) else 1
        return math.ceil(setup.epochs / replays)

    def of_steps(self, steps: int) -> Method:
        """The method with another number of attack steps, of a size that covers the ball (StepSize "cover").

        Raises ValueError for a method whose number of steps is not fixed, or is no number of attack steps.
        """
        if type(self.controller()) is not controller.Fixed or not isinstance(self.strategy, Adversarial):
            raise ValueError(f"{self.title} has a number of steps of its own: expected a method of fixed attack steps")
        step = StepSize(share=self.strategy.step.share, rule="cover")
        strategy = dataclasses.replace(self.strategy, step=step)
        return dataclasses.replace(self, strategy=strategy, controller=_fixed(steps), published=None)

    def tailored(self, setup: Setup) -> tuple:
        """(strategy, new controller) with the values of a set-up.

        These are the controller's gamma if it is None, and for replayed batches DEAT's step size, largest number of
        replays, and clipping of the random start.
        """
        strategy, fresh = self.strategy, self.controller()
        guided = isinstance(fresh, controller.MagnitudeGuided)
        if guided and fresh.gamma is None:
            fresh.gamma = setup.gamma
        if isinstance(strategy, Replay) and strategy.start != "zero":
            strategy = dataclasses.replace(strategy, clip_start=setup.replay_clip)
            if strategy.step.rule == "cover":
                step = dataclasses.replace(strategy.step, share=setup.replay_share)
                strategy = dataclasses.replace(strategy, step=step)
            if guided:
                fresh.maximum = min(fresh.maximum, setup.replay_maximum)
        return strategy, fresh


class Catalogue(dict):
    """Methods by name; a name with the suffix of an average, which iteration leaves out, is that method averaged."""

    def __missing__(self, name: str) -> Method:
        base, _, suffix = str(name).rpartition("+")
        if suffix not in AVERAGES or not dict.__contains__(self, base):
            raise KeyError(name)
        title, citation = TITLES[suffix]
        method = dict.__getitem__(self, base)
        cited = "; ".join(reference for reference in (method.citation, citation) if reference)
        changes = {"title": f"{method.title}, {title}", "citation": cited, "published": None}
        return dataclasses.replace(method, **changes, average=AVERAGES[suffix])

    def __contains__(self, name: object) -> bool:
        base, _, suffix = str(name).rpartition("+")
        return dict.__contains__(self, name) or (suffix in AVERAGES and dict.__contains__(self, base))


def _fixed(steps):
    return functools.partial(controller.Fixed, steps=steps)


def _guided(maximum, start, **rule):
    return functools.partial(controller.MagnitudeGuided, gamma=None, maximum=maximum, start=start, **rule)


MADRY = "Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018"
WONG = "Wong, Rice, Kolter, ICLR 2020"
SHAFAHI = "Shafahi et al., NeurIPS 2019"
ZHANG_TRADES = "Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, ICML 2019"
WANG_MART = "Wang, Zou, Yi, Bailey, Ma, Gu, ICLR 2020"
ZHANG_FAT = "Zhang, Xu, Han, Niu, Cui, Sugiyama, Kankanhalli, ICML 2020"
ZHANG_YOPO = "Zhang, Zhang, Lu, Zhu, Dong, NeurIPS 2019"
TIAN = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
YE = "Ye, Li, Zhou, Zhu, arXiv 2012.08112"
WU = "Wu, Xia, Wang, NeurIPS 2020"
CHEN = "Chen, Zhang, Liu, Chang, Wang, ICLR 2021"
WANG_SEAT = "Wang, Wang, ICLR 2022"
HUANG = "Huang, Zhang, Zhang, NeurIPS 2020"
DE_JORGE = "de Jorge, Bibi, Volpi, Sanyal, Torr, Rogez, Dokania, NeurIPS 2022"
SRIRAMANAN = "Sriramanan, Addepalli, Baburaj, Babu, NeurIPS 2021"
OURS = "Rice, Wong, Kolter, ICML 2020; the targets are ours"

QUARTER = StepSize(share=0.25)  # 2/255 at 8/255
SEVEN = StepSize(share=0.007 / 0.031)
TWICE = ("clean", "adversarial", "clean")  # a second clean pass for the divergence, as in TRADES' released code
PGD = Adversarial(step=QUARTER, clip_start=False)
TRADES = Adversarial(
    loss="trades", beta=6.0, order=TWICE, attack_loss="kl", start="gaussian", clip_start=False, step=SEVEN,
    attack_mode="eval",
)  # fmt: skip
MART = Adversarial(loss="mart", beta=5.0, start="gaussian", clip_start=False, step=SEVEN, attack_mode="eval")
FREE = Replay(start="zero", step=StepSize(share=1.0))
REPLAY = Replay(step=StepSize(share=1.25, rule="cover"))  # 10/255 at 8/255
TEN = dataclasses.replace(REPLAY, step=StepSize(share=1.25))  # of DEAT-d and DEAT-p in every set-up
FRIEND, STILL = Friendly(tau=3), Friendly(tau=3, omega=0.0)
FAT = Adversarial(step=SEVEN, attack_mode="eval", friendly=FRIEND)
F_TRADES = dataclasses.replace(TRADES, order=(), clip_start=True, friendly=STILL)
F_MART = dataclasses.replace(MART, beta=6.0, order=TWICE[1:], clip_start=True, friendly=STILL)
AMATA = Adversarial(step=StepSize(share=2.5, rule="spread"))  # 20/255 over the steps, at 8/255
# Against robust overfitting.
RICE = dataclasses.replace(PGD, clip_start=True, attack_mode="batch")  # of Rice, Wong, Kolter's scripts and of AWP's
TRADES_AWP = dataclasses.replace(TRADES, order=TWICE[:2], step=QUARTER, awp=Awp(gamma=0.005, start=10 / 200))
SEAT = dataclasses.replace(RICE, step=SEVEN, attack_mode="eval")  # the start of its attack is Rice's [I]
NUAT_AVERAGE = Ema(decay=0.9998, warm_up=False)
SAT = dataclasses.replace(TRADES, targets=SelfAdaptive())
N_FGSM = Adversarial(step=StepSize(share=1.0), noise=2.0, attack_mode="batch")
# Baselines as in DEAT's scripts, where they differ from their authors' settings.
DEAT_TRADES = dataclasses.replace(TRADES, step=QUARTER, attack_mode="train")
DEAT_MART = dataclasses.replace(MART, beta=6.0, clip_start=True, step=QUARTER, attack_mode="train")
DEAT_FAT = dataclasses.replace(FAT, start="zero", step=QUARTER)
DEAT_F_TRADES = dataclasses.replace(F_TRADES, step=QUARTER)
DEAT_F_MART = dataclasses.replace(F_MART, order=(), attack_loss="kl", step=QUARTER)


def _adaptive(strategy, rule):
    """A strategy with the step size and guide of the magnitude-guided rule of 2021 or 2022."""
    if rule == "2021":
        return dataclasses.replace(strategy, guide="attack")
    return dataclasses.replace(strategy, step=dataclasses.replace(strategy.step, rule="cover"))


def _magnitude_guided(title, citation, strategy, maximum, published=None):
    name, citations = f"m+{title.lower()}", f"{citation}; {DEAT}"
    older = _older(f"M+{title}, rule of 2021", citations, strategy, maximum, published)
    return {
        name: Method(f"M+{title}", citations, _adaptive(strategy, "2022"), _guided(maximum, 0)),
        f"{name}-2021": older,
    }


def _older(title, citation, strategy, maximum, published):
    rule = {"rule": "2021", "step_share": strategy.step.share}
    return Method(title, citation, _adaptive(strategy, "2021"), _guided(maximum, 0, **rule), published)


def _of_deat(title, citation, strategy, factory, published):
    """A baseline as in DEAT's scripts."""
    return Method(f"{title}, as DEAT's scripts", f"{citation}; {DEAT}", strategy, factory, published)


METHODS = Catalogue(
    {
        "standard": Method(
            "no attack", None, Adversarial(start="zero", step=QUARTER), _fixed(0), None, 1.0, "probe_clean"
        ),
        "pgd-7": Method("PGD-7", MADRY, PGD, _fixed(7), "PGD-7"),
        "pgd-10": Method("PGD-10", MADRY, PGD, _fixed(10), "PGD-10"),
        "t-pgd-7": Method(
            "Temperature-PGD-7, 1/T = 5",
            TIAN,
            dataclasses.replace(PGD, attack_loss="tempered-cross-entropy"),
            _fixed(7),
        ),
        "fgsm-rs": Method("FGSM with random start", WONG, Adversarial(step=StepSize(share=1.25)), _fixed(1)),
        **{f"free-{m}": Method(f"FREE-{m}", SHAFAHI, FREE, _fixed(m), f"FREE-{m}") for m in (4, 6, 8)},
        "free-8-persistent": Method(
            "FREE-8, persistent perturbation",
            SHAFAHI,
            dataclasses.replace(FREE, persistent=True),
            _fixed(8),
            "FREE-8, persistent perturbation",
        ),
        "trades": Method("TRADES", ZHANG_TRADES, TRADES, _fixed(10), "TRADES, authors' settings"),
        "mart": Method("MART", WANG_MART, MART, _fixed(10)),
        "fat-5": Method("FAT-5", ZHANG_FAT, FAT, _fixed(5)),
        "fat": Method("FAT", ZHANG_FAT, FAT, _fixed(10)),
        "fat-dynamic": Method(
            "FAT, tau 0, 1 and 2",
            ZHANG_FAT,
            dataclasses.replace(FAT, friendly=Friendly(tau=0, rises=(50 / 120, 90 / 120))),
            _fixed(10),
        ),
        "f+trades": Method("F+TRADES", f"{ZHANG_TRADES}; {ZHANG_FAT}", F_TRADES, _fixed(10)),
        "f+mart": Method("F+MART", f"{WANG_MART}; {ZHANG_FAT}", F_MART, _fixed(10)),
        "yopo-5-3": Method("YOPO-5-3", ZHANG_YOPO, Yopo(inner=3, step=QUARTER), _fixed(5), "YOPO-5-3"),
        "amata-2-10": Method("Amata-2-10", YE, AMATA, functools.partial(controller.Linear, first=2, last=10)),
        "m+deat": Method("M+DEAT", DEAT, REPLAY, _guided(8, 1), "M+DEAT"),
        "deat-d": Method("DEAT-d", DEAT, TEN, functools.partial(controller.Delayed, delay=3, maximum=5)),
        "deat-p": Method(
            "DEAT-p", DEAT, TEN, functools.partial(controller.AccuracyThreshold, threshold=0.4, maximum=4)
        ),
        **_magnitude_guided("PGD", MADRY, dataclasses.replace(PGD, clip_start=True), 7, "M+PGD"),
        **_magnitude_guided("TRADES", ZHANG_TRADES, TRADES, 10),
        **_magnitude_guided("MART", WANG_MART, MART, 10),
        "rice": Method(
            "PGD-10, statistics of the update alone", "Rice, Wong, Kolter, ICML 2020", RICE, _fixed(10), "PGD-10"
        ),
        "awp": Method("AWP-PGD-10", WU, dataclasses.replace(RICE, awp=Awp(gamma=0.01)), _fixed(10), "AWP"),
        "trades-awp": Method("TRADES-AWP", f"{ZHANG_TRADES}; {WU}", TRADES_AWP, _fixed(10), "TRADES-AWP"),
        "kd": Method("PGD-10, distilled", CHEN, dataclasses.replace(RICE, distil=Distillation()), _fixed(10)),
        "sat": Method("TRADES with self-adaptive targets", f"{ZHANG_TRADES}; {HUANG}", SAT, _fixed(10), "TRADES+SAT"),
        "seat": Method("SEAT", WANG_SEAT, SEAT, _fixed(10), average=AVERAGES["ema"]),
        "meat": Method("MEAT", f"{WANG_SEAT}; ICASSP 2024", SEAT, _fixed(10), average=AVERAGES["median"]),
        "n-fgsm": Method("N-FGSM", DE_JORGE, N_FGSM, _fixed(1)),
        "nuat2": Method("NuAT2", SRIRAMANAN, Nuclear(), _fixed(2), "NuAT2"),
        "nuat2-wa": Method("NuAT2-WA", SRIRAMANAN, Nuclear(decay=0.99), _fixed(2), "NuAT2-WA", average=NUAT_AVERAGE),
        **{
            name: Method(f"PGD-10 with {title}", OURS, dataclasses.replace(RICE, targets=mined), _fixed(10))
            for name, (mined, title) in VARIANTS.items()
        },
        "trades-deat": _of_deat("TRADES", ZHANG_TRADES, DEAT_TRADES, _fixed(10), "TRADES"),
        "mart-deat": _of_deat("MART", WANG_MART, DEAT_MART, _fixed(10), "MART"),
        "fat-5-deat": _of_deat("FAT-5", ZHANG_FAT, DEAT_FAT, _fixed(5), "FAT-5"),
        "f+trades-deat": _of_deat("F+TRADES", f"{ZHANG_TRADES}; {ZHANG_FAT}", DEAT_F_TRADES, _fixed(10), "F+TRADES"),
        "f+mart-deat": _of_deat("F+MART", f"{WANG_MART}; {ZHANG_FAT}", DEAT_F_MART, _fixed(10), "F+MART"),
        "amata-2-10-deat": _of_deat(
            "Amata-2-10",
            YE,
            dataclasses.replace(AMATA, start="zero"),
            functools.partial(controller.Linear, first=2, last=10, down=True),
            "Amata-2-10",
        ),
        "m+trades-deat": _older(
            "M+TRADES, as DEAT's scripts",
            f"{ZHANG_TRADES}; {DEAT}",
            dataclasses.replace(DEAT_TRADES, guided_by="last"),
            10,
            "M+TRADES",
        ),
        "m+mart-deat": _older(
            "M+MART, as DEAT's scripts",
            f"{WANG_MART}; {DEAT}",
            dataclasses.replace(DEAT_MART, guided_by="last"),
            10,
            "M+MART",
        ),
    }
)
