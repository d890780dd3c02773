"""The verdicts on robust overfitting, and on what is said to help against it, for one data set and model.

Made where plain PGD training by the recipe of Rice et al. (`rice`) was measured. Methods are compared seed by seed
(paired.py), in their selected epochs, so that early stopping alone is no gain, and in their last. Of fewer than four
seeds standard deviations are pooled: of falls over all methods, of comparisons over all claims. Rows with raised checks
are left out, and so are those that were trained otherwise than `rice`: on other images, for other epochs, by another
set-up.
"""

from collections.abc import Mapping, Sequence

from reporting import claims, marks
from reporting.cell import cell_name
from reporting.claims import Claim
from studies.robust_training import paired, tables

PLAIN, OURS, RIVAL, RANDOM = "rice", paired.MINED, "sat+ema", f"{paired.MINED}-random"
FALL = 3.0  # points lost after the best epoch from which robust overfitting is said to show
RICE = "Rice, Wong, Kolter, ICML 2020"
OWN = "ours: no paper tests it"
HIGHER = (  # claim, source, (the method that is to be higher, the other)
    ("Moving the weights up the loss (AWP) raises robust accuracy", "Wu, Xia, Wang, NeurIPS 2020", ("awp", PLAIN)),
    ("Averaged weights raise robust accuracy", "Wang, Wang, ICLR 2022", (f"{PLAIN}+ema", PLAIN)),
    ("Self-adaptive targets raise robust accuracy", "Huang, Zhang, Zhang, NeurIPS 2020", ("sat", PLAIN)),
    ("Targets mined from the run's own history raise robust accuracy", OWN, (OURS, PLAIN)),
    ("Mined targets beat self-adaptive ones, both with averaged weights", OWN, (f"{OURS}+ema", RIVAL)),
    ("Targets mined early beat self-adaptive ones, both with averaged weights", OWN, (f"{OURS}-early+ema", RIVAL)),
    (
        "Targets mined until held-out robustness peaks beat self-adaptive ones, both with averaged weights",
        OWN,
        (f"{OURS}-held-out+ema", RIVAL),
    ),
    ("It matters which epoch is mined", OWN, (OURS, RANDOM)),
)


def is_measured(rows: Sequence[Mapping]) -> bool:
    """Whether the rows of one data set and model allow these verdicts."""
    return any(row["method"] == PLAIN for row in rows)


def overfitting_claims(rows: Sequence[Mapping]) -> claims.Judged:
    """The table of the claims for the rows (pooled over seeds) of one data set and model."""
    sound, left_out = marks.sound(rows)
    methods = {row["method"]: row for row in sound if row["role"] != "control" and _alike(row, sound)}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"robust_training-{cell_name(dataset, model)}-claims"
    judged = [*falls(methods), *higher(methods)]
    return claims.table(name, f"{dataset}, {model}", "robust overfitting, and what helps against it", judged, left_out)


def _alike(row, rows):
    """Whether a row was trained as plain training was."""
    plain = next((each for each in rows if each["method"] == PLAIN), None)
    return plain is None or all(tables.settings(row, what) == tables.settings(plain, what) for what in tables.SHARED)


def falls(methods: dict) -> list[Claim]:
    """Two claims on best minus last: plain training loses FALL points or more; mined targets lose less than it."""
    own = {name: [paired.fall(row)] for name, row in methods.items()}
    plain = own.get(PLAIN)
    kept = {name: [paired.less(*plain, *fall)] for name, fall in own.items() if plain and name != PLAIN}
    return [
        _judged("Robust accuracy falls by 3 points or more after its best epoch", RICE, own, PLAIN, FALL),
        _judged("Mined targets lose less after the best epoch", OWN, kept, OURS),
    ]


def higher(methods: dict) -> list[Claim]:
    """A claim for each comparison of HIGHER: the first method is above the second, in its best epoch and in its last.

    In the best epoch alone methods could be compared that differ only later, such as those that mine. What both cost
    stands in the evidence.
    """
    known = [pair for *_, pair in HIGHER if all(name in methods for name in pair)]
    compared = {
        pair: [paired.between(*(methods[name] for name in pair), when) for when in ("", "last/")] for pair in known
    }
    costs = {pair: [methods[name]["hyperparameters"]["bp_epochs"] for name in pair] for pair in known}
    spent = {pair: f"BP-epochs {own:.0f} against {other:.0f}" for pair, (own, other) in costs.items()}
    return [_judged(claim, source, compared, pair, also=spent.get(pair)) for claim, source, pair in HIGHER]


def _judged(claim, source, differences, key, needed=0.0, also=None):
    """The claim that the differences under `key` exceed `needed`; those of all keys give their standard deviations.

    also: further evidence, in words
    """
    if key not in differences:
        return Claim(claim, source, "a method was not trained", "not measured")
    place, level = list(differences).index(key), claims.confidence(len(differences[key]))
    effects, spreads = [], []
    for column in zip(*differences.values(), strict=True):
        made, over = paired.effects(list(column), needed, level)
        effects.append(made[place])
        spreads.append(over)
    evidence = f"worst case: {'; '.join(map(str, effects))} ({'; '.join(spreads)})"
    return claims.judged(claim, source, f"{evidence}; {also}" if also else evidence, effects)
