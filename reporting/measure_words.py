"""What a measure of a row is called in a figure or a sentence: "white-box/pgd@2/255" is "white box, PGD at 2/255"."""

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


def words(measure):
    """A measure in words; one of no known kind as it is."""
    kind, _, attacked = measure.partition("/")
    if kind not in KINDS or not attacked:
        return measure
    name, _, size = attacked.partition("@")
    return KINDS[kind].format(attack(name)) + (f" at {size}" if size else "")


def attack(name):
    """An attack of the catalogue as papers spell it."""
    return ATTACKS.get(name, name.upper())


def shown_in_figures(measures):
    """Those worth a panel: clean, ER of each attack and its worst case, of white-box attacks the worst case alone.

    measures: names in their order; where no worst case was measured, every white-box attack is shown.
    """
    white_box = [name for name in measures if name.startswith("white-box/")]
    worst = [name for name in white_box if name.startswith("white-box/worst@")]
    kept = [name for name in measures if name == "clean" or name.startswith("er/")]
    return kept + (worst or white_box)
