"""Score one model: the predicted class of every image, by measure. What is correct follows from it.

    clean                   x_test
    er/<attack>             the test part of the attack's set
    er-heldout/<attack>     adversarials of x_test, which no model was trained or tuned on
    er-x1.1/<attack>        the test part, pushed 1.1 times as far from the original image, and 1.5 times
    er/worst                correct on the adversarials of every attack on the same image
    white-box/<attack>@<eps>  x_test under a white-box attack on the model under test
    white-box/worst@<eps>   correct under every white-box attack, one of which is APGD-T or contains it
    minimal/<attack>        no class but a number an image: the size of its smallest perturbation, in the attack's norm

er/<attack> is Empirical Robustness, the measure of the papers [P]. The held-out and pushed adversarials and the
white-box attacks are further measures [D].

er/worst covers the images that every attack was run on and at least one attack succeeded on. Where an attack failed
there is no adversarial that could fool the model, so the image counts as correct under that attack. Leaving such images
out would keep the easy ones and make every model look worse. Images on which all attacks failed are left out [P], so
the original model has 0 %.

white-box/worst is written only where APGD-T, or AutoAttack with it, is among the attacks (`at_least_apgd_t`): where a
softmax saturates, all attacks on the cross-entropy fail together, and their worst case would be too high. PGD on the
margin (cw-linf-20) has one start and fixed steps, and aims at the nearest class alone, so it does not suffice [D].

White-box attacks run one after the other, as in AutoAttack (Croce, Hein, ICML 2020). Each attacks only images that are
still correct under the attacks before it and under itself at smaller epsilons. So the last attack has the worst case,
and a larger epsilon never has more correct images than a smaller one.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy

import data
from adv import autoattack, evaluate

PUSHES = (1.1, 1.5)
EPSILONS = {3: (2 / 255, 8 / 255), 1: (0.02, 0.1)}  # channels -> Linf radii of white-box attacks, in [0, 1] pixel scale


def ball(name: str, epsilon: float) -> str:
    """The name of a white-box measure: "pgd@8/255" where epsilon is a whole number of 255ths, else "pgd@0.1"."""
    steps = round(255 * epsilon)
    return f"{name}@{steps}/255" if abs(255 * epsilon - steps) < 1e-6 else f"{name}@{epsilon:g}"


def at_least_apgd_t(specification: Mapping) -> bool:
    """Whether an attack is APGD on the targeted DLR (APGD-T), or AutoAttack in a version that contains it.

    specification: of adv.base.Attack, as catalogue entries and result rows have it.
    """
    if specification["attack"] == "autoattack":
        return "apgd-t" in autoattack.VERSIONS[specification.get("version", "standard")]
    return specification.get("loss") == "dlr-targeted"


def score(
    model: keras.Model,
    split: data.Split,
    sets: Mapping,
    *,
    white_box: Mapping,
    epsilons: Sequence[float],
    minimal: Mapping,
    rows: numpy.ndarray,
    drawn: Mapping | None = None,
    independent: bool = False,
    batch_size: int = 256,
    progress: Callable | None = None,
) -> dict:
    """The outcomes of one model: {"prediction", "label", "index", "distance"}, each by measure, as in dare.flags.Flags.

    split: data.Split or anything with x_train, y_train, x_test, y_test.
    sets: attack name -> AdversarialSet.
    white_box: name -> attack, run in this order.
    epsilons: radii of the white-box attacks, in the attack's norm and [0, 1] pixel scale.
    minimal: name -> attack whose smallest perturbations are measured.
    rows: rows of x_test (n,) for `white_box` and `minimal`.
    drawn: attack name -> rows of x_train that the set's test part was made from, failures included (None: only the
        successes, which the set holds).
    independent: True runs each white-box attack on all images that are correct without attack.
    progress: called as progress(done, total, measure).
    Raises ValueError where a set tests on images that another set trains or chooses on.
    """
    _refuse_overlap(sets)
    prediction, label, index, distance = {}, {}, {}, {}
    done = itertools.count(1)
    total = 1 + (2 + len(PUSHES)) * len(sets) + len(white_box) * len(epsilons) + len(minimal)

    def add(measure, predicted, labels, source):
        prediction[measure], label[measure], index[measure] = predicted, labels.astype(numpy.int32), source

    def report(measure):
        if progress is not None:
            progress(next(done), total, measure)

    # Images as they are: clean, the adversarial sets, and these pushed further.
    for measure, x, y, source in _plain(split, sets):
        if len(y):
            add(measure, evaluate.classes(model, x, y, batch_size=batch_size), y, source)
        report(measure)

    # White-box attacks on the model under test.
    x, y, clean = split.x_test[rows], split.y_test[rows], prediction["clean"][rows]
    attacked = functools.partial(evaluate.attacked_classes, model, x, y, batch_size=batch_size)
    for measure, predicted in _white_box(attacked, y, clean, white_box, epsilons, independent):
        add(measure, predicted, y, rows)
        report(measure)

    # Sizes of the smallest perturbations.
    for name, attack in minimal.items():
        measure = f"minimal/{name}"
        distance[measure] = evaluate.distances(model, x, y, attack, correct=clean == y, batch_size=batch_size)
        index[measure] = rows
        report(measure)

    # Worst cases over several attacks.
    for worst, (measures, source, labels) in _worst_cases(split, sets, white_box, epsilons, rows, drawn).items():
        measures = [measure for measure in measures if measure in prediction]
        covered = functools.reduce(numpy.union1d, (index[measure] for measure in measures)) if measures else source[:0]
        source = numpy.intersect1d(source, covered)
        if len(source):
            predictions = [_placed(prediction[measure], index[measure], source, labels) for measure in measures]
            add(worst, _first_misclassified(predictions, labels[source]), labels[source], source)
    return {"prediction": prediction, "label": label, "index": index, "distance": distance}


def failures(index: Mapping, names: Sequence[str]) -> int:
    """The number of images of er/worst on which at least one attack failed, and under which they count as correct.

    index: measure -> rows, as `score` returns it; names: the attacks.
    """
    source, empty = index.get("er/worst", numpy.zeros(0, int)), numpy.zeros(0, int)
    succeeded = [numpy.isin(source, index.get(f"er/{name}", empty)) for name in names]
    return int((~numpy.all(succeeded, axis=0)).sum()) if len(source) else 0


def _refuse_overlap(sets):
    """Raise ValueError where sets of different sizes put the same image into different parts (adversarial_set.draw)."""
    for (tested_name, tested), (tuned_name, tuned) in itertools.permutations(sets.items(), 2):
        used = numpy.concatenate([tuned.parts["train"].index, tuned.parts["validation"].index])
        common = len(numpy.intersect1d(tested.parts["test"].index, used))
        if common:
            raise ValueError(
                f"{common} source images of the test part of {tested_name} are in the train or validation part of "
                f"{tuned_name}: make both with the same --parts ({tested_name}: {tested.drawn}, "
                f"{tuned_name}: {tuned.drawn})"
            )


def _plain(split, sets):
    """Yield (measure, images, labels, source rows) of all images that are predicted without a further attack."""
    yield "clean", split.x_test, split.y_test, numpy.arange(len(split.x_test))
    for name, adversarial in sets.items():
        part, heldout = adversarial.parts["test"], adversarial.parts["heldout"]
        yield f"er/{name}", part.images, part.labels, part.index
        yield f"er-heldout/{name}", heldout.images, heldout.labels, heldout.index
        for factor in PUSHES:
            pushed = evaluate.push(split.x_train[part.index], part.images, factor)
            yield f"er-x{factor}/{name}", pushed, part.labels, part.index


def _white_box(attacked, y, clean, attacks, epsilons, independent):
    """Yield (measure, predicted classes) of every attack at every epsilon, small ones first.

    attacked: attacked(attack, epsilon=, before=) -> classes; clean: the classes predicted without attack.
    """
    strongest = dict.fromkeys(epsilons, clean)  # epsilon -> classes under all attacks up to now
    for name, attack in attacks.items():
        predicted = clean
        for epsilon in sorted(epsilons):
            before = predicted if independent else numpy.where(predicted == y, strongest[epsilon], predicted)
            predicted = strongest[epsilon] = attacked(attack, epsilon=epsilon, before=before)
            yield f"white-box/{ball(name, epsilon)}", predicted


def _worst_cases(split, sets, white_box, epsilons, rows, drawn):
    """measure -> (the measures that it is the worst of, source rows that all were run on, labels of the source)."""
    drawn = {name: adversarial.parts["test"].index for name, adversarial in sets.items()} if drawn is None else drawn
    attacked = functools.reduce(numpy.intersect1d, (drawn[name] for name in sets)) if sets else rows[:0]
    cases = {"er/worst": ([f"er/{name}" for name in sets], attacked, split.y_train)}
    if len(white_box) > 1 and any(at_least_apgd_t(attack.specification()) for attack in white_box.values()):
        for epsilon in epsilons:
            measures = [f"white-box/{ball(name, epsilon)}" for name in white_box]
            cases[f"white-box/{ball('worst', epsilon)}"] = measures, rows, split.y_test
    return cases


def _placed(predicted, index, rows, labels):
    """The classes predicted for the images `rows`; images that are not in `index` have no adversarial: their label."""
    placed = labels[rows].astype(numpy.int32)
    _, row_places, index_places = numpy.intersect1d(rows, index, return_indices=True)
    placed[row_places] = predicted[index_places]
    return placed


def _first_misclassified(predictions, labels):
    """For each image the first of several predictions that differs from its label, else the label: int32 (n,)."""
    worst = labels.astype(numpy.int32)
    for predicted in reversed(predictions):
        worst = numpy.where(predicted == labels, worst, predicted)
    return worst
