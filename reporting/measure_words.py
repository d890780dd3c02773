"""A measure's name in figures and sentences: "white-box/pgd@2/255" becomes "white box, PGD at 2/255"."""

WHOLE = {
    "changed": "clean images classified otherwise than by the original",
    "rr": "repair rate",
    "nfr": "negative flip rate",
}
ATTACKS = {
    "cw": "C&W",
    "deepfool": "DeepFool",
    "deepfool-linf": "DeepFool (Linf)",
    "square": "Square",
    "worst": "worst case",
}
KINDS = {
    "er": "ER, {}",
    "er-heldout": "ER held-out, {}",
    "er-x1.1": "ER ×1.1, {}",
    "er-x1.5": "ER ×1.5, {}",
    "white-box": "white box, {}",
    "minimal": "smallest perturbation, {}",
}


def words(measure: str) -> str:
    """A measure in words; unchanged if its kind is unknown."""
    if measure in WHOLE:
        return WHOLE[measure]
    kind, _, attacked = measure.partition("/")
    if kind not in KINDS or not attacked:
        return measure
    name, _, size = attacked.partition("@")
    return KINDS[kind].format(attack(name)) + (f" at {size}" if size else "")


def attack(name: str) -> str:
    """The name of a catalogued attack as papers spell it."""
    return ATTACKS.get(name, name.upper())


def shown_in_figures(measures: list[str]) -> list[str]:
    """The measures that get a panel: clean, ER of each attack and its worst case, and the white-box worst case.

    measures: names in order. Without a white-box worst case, every white-box attack gets a panel.
    """
    white_box = [name for name in measures if name.startswith("white-box/")]
    worst = [name for name in white_box if name.startswith("white-box/worst@")]
    transfer = [name for name in measures if name == "clean" or name.startswith("er/")]
    return transfer + (worst or white_box)
