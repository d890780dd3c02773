"""A row's attack specification in words: "Linf, 1,000 sizes searched, then 20 finer ones"."""

import fractions

from adv import scoring

NORMS = {"linf": "Linf", "l0": "L0", "l1": "L1", "l2": "L2"}
LOSSES = {
    "ce": "on the cross-entropy",
    "margin": "on the margin",
    "dlr": "on the logits' ratio (DLR)",
    "dlr-targeted": "on the targeted logits' ratio (DLR)",
    "tempered": "on the cross-entropy of softened logits",
}
SEARCH = ("epsilon", "growth", "growths", "bisections")  # settings of the search for the smallest epsilon that fools
FLOAT32 = ("fgsm", "pgd", "bim", "jsma", "apgd")  # they follow the float32 gradient, unless "climbed" says otherwise
PUBLISHED = {"rho": 0.75, "alpha": 0.75}  # settings at their published value, which are left out
WORDED = {"name", "attack", "norm", "epsilons", "fine", "steps", "rel_stepsize", "random_start", "restarts", "loss"}
WORDED |= {"climbed", "temperature", "seed", *SEARCH}  # settings that the sentence has words for


def words(specification: dict) -> str:
    """A sentence, without full stop, that describes an attack.

    specification: of adv.base.Attack.specification, or of a worst case, which holds several under "runs".
    """
    if "runs" in specification:
        runs = [f"{run['attack']} ({words(run)})" for run in specification["runs"].values()]
        return f"worst case of {'; '.join(runs)}"
    sizes = specification.get("epsilons")
    parts = [NORMS.get(specification.get("norm"), "")]
    parts += _steps(specification)
    if isinstance(sizes, list):
        parts.append(f"at epsilon {' and '.join(map(_size, sizes))}")
    elif sizes:
        finer = f", then {specification['fine']} finer ones" if specification.get("fine") else ""
        parts.append(f"{sizes:,} sizes searched{finer}")
    elif specification.keys() >= {*SEARCH}:
        parts.append(_search(specification))
    targets = specification.get("loss") == "dlr-targeted"
    settings = {
        name: value for name, value in specification.items() if name not in WORDED and PUBLISHED.get(name) != value
    }
    parts += [_setting(name, value) for name, value in settings.items() if targets or name != "targets"]
    return ", ".join(part for part in parts if part)


def _steps(specification):
    """The phrases on steps, starting points and loss."""
    phrases = []
    if "steps" in specification:
        steps = specification["steps"]
        size = specification.get("rel_stepsize")
        phrases.append(f"{steps:,} step{'s' * (steps != 1)}" + (f" of {_share(size)} of epsilon" if size else ""))
    if "random_start" in specification:
        restarts = specification.get("restarts", 1)
        starts = "from the image itself" if not specification["random_start"] else "from a random start"
        phrases.append(f"from {restarts} random starts" if specification["random_start"] and restarts > 1 else starts)
    elif specification.get("restarts", 1) > 1:
        phrases.append(f"{specification['restarts']} restarts")
    exact = specification.get("climbed") == "log-odds" or specification.get("loss", "ce") != "ce"
    if specification.get("attack") in FLOAT32 and not exact:
        phrases.append("on the float32 cross-entropy")
    elif "loss" in specification:
        loss = LOSSES.get(specification["loss"], f"on {specification['loss']}")
        temperature = specification.get("temperature")
        phrases.append(loss + (f", 1/T = {1 / temperature:g}" if temperature else ""))
    return phrases


def _search(specification):
    return (
        f"the smallest epsilon searched from {_size(specification['epsilon'])}: "
        f"grown {specification['growth']:g}-fold up to {specification['growths']} times, "
        f"then {specification['bisections']} bisections"
    )


def _setting(name, value):
    """A setting that has no words of its own."""
    return f"{name.replace('_', ' ')} {f'{value:g}' if isinstance(value, float) else value}"


def _share(size):
    """A relative step size as a fraction where it is a simple one."""
    simple = fractions.Fraction(size).limit_denominator(100)
    return f"{simple}" if abs(float(simple) - size) < 1e-9 else f"{size:g}"


def _size(epsilon):
    """An epsilon as measures are named by it: n/255 where it is one."""
    return scoring.ball("", epsilon).removeprefix("@")
