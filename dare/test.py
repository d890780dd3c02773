"""Test a folder of models on adversarial sets: the predicted class of every image, from which what is correct follows.

    clean                   x_test
    er/<attack>             the test part of the attack's set: Empirical Robustness, the papers' measure [P]
    er-heldout/<attack>     the same on adversarials of x_test, which no model was trained or tuned on [D]
    er-x1.1/<attack>        the test part pushed 1.1 times as far from the original image, and 1.5 times [D]
    er/worst                correct on the adversarials of every attack on the same image
    white-box/<attack>@<eps>  x_test under a white-box attack on the model under test [D]
    white-box/worst@<eps>   correct under every one of these attacks, one of which is margin-based
and, as a number an image rather than a class,
    minimal/<attack>        the size, in the attack's norm, of its smallest perturbation of an x_test image

Which images er/worst is over: those that every attack was run on and at least one succeeded on. An image on which an
attack failed has no adversarial of it, within its search, that could fool the tested model: it counts as correct under
that attack, and the others decide. Leaving it out, as once, kept the easy images and made every model look worse. One
on which all failed is left out, as each attack's own measure leaves out its failures [P], so the original has 0 %.

A worst case of attacks on the cross-entropy alone says too much: where a softmax saturates all of them fail together.
So it is written only where an attack on differences of logits is among them (`margin_based`).

White-box attacks run one after the other as in AutoAttack (Croce, Hein, ICML 2020), each only on images that those
before it, and itself within a smaller epsilon, left correct: so the last one has the worst case, a larger epsilon
never more correct than a smaller one, and nothing is attacked whose answer is known.
"""

import functools
import itertools

import numpy

from adv import evaluate
from dare.flags import Flags

PUSHES = (1.1, 1.5)
EPSILONS = {3: (2 / 255, 8 / 255), 1: (0.02, 0.1)}  # channels -> Linf radii of white-box attacks, in [0, 1] pixel scale
MARGINS = ("margin", "dlr-targeted")  # losses that are differences of logits


def ball(name, epsilon):
    """How a white-box measure is called: "pgd@8/255" where epsilon is so many 255ths, else "pgd@0.1"."""
    steps = round(255 * epsilon)
    return f"{name}@{steps}/255" if abs(255 * epsilon - steps) < 1e-6 else f"{name}@{epsilon:g}"


def margin_based(specification):
    """Whether an attack follows differences of logits, by its specification (adv.attack.Attack, of a row or an entry):
    APGD-T, C&W in Linf, or AutoAttack, which holds the first."""
    return specification.get("loss") in MARGINS or specification["attack"] == "autoattack"


def test(
    model, split, sets, *, fingerprint, white_box, epsilons, minimal, rows, drawn=None, independent=False,
    batch_size=256, progress=None,
):  # fmt: skip
    """Score one model. Returns Flags.

    sets: attack name -> AdversarialSet; white_box: name -> attack, run in this order within each of `epsilons`, in
    the attack's norm and [0, 1] pixel scale; minimal: name -> attack whose smallest perturbations are measured; rows:
    the x_test rows for these two; drawn: attack name -> the x_train rows that its set's test part was made from, failed
    ones among them (None: those that it kept); fingerprint: the model's digest; independent: each white-box attack is
    run on all images that are correct without one, not only on those that the attacks before it left.
    Raises ValueError where a set tests on images that another trains or chooses on.
    """
    _refuse_overlap(sets)
    prediction, label, index, distance = {}, {}, {}, {}

    def keep(measure, predicted, labels, source):
        prediction[measure], label[measure], index[measure] = predicted, labels.astype(numpy.int32), source

    pushes = len(sets) * len(PUSHES)
    total = 1 + 2 * len(sets) + pushes + len(white_box) * len(epsilons) + len(minimal)
    done = itertools.count(1)
    for measure, x, y, source in _probes(split, sets):
        if len(y):
            keep(measure, evaluate.classes(model, x, y, batch_size=batch_size), y, source)
        _report(progress, next(done), total, measure)
    x, y, clean = split.x_test[rows], split.y_test[rows], prediction["clean"][rows]
    before = dict.fromkeys(epsilons, clean)
    for name, attack in white_box.items():
        predicted = clean
        for epsilon in sorted(epsilons):
            measure = f"white-box/{ball(name, epsilon)}"
            known = predicted if independent else numpy.where(predicted == y, before[epsilon], predicted)
            predicted = evaluate.attacked_classes(
                model, x, y, attack, epsilon=epsilon, before=known, batch_size=batch_size
            )
            keep(measure, predicted, y, rows)
            before[epsilon] = predicted
            _report(progress, next(done), total, measure)
    for name, attack in minimal.items():
        measure = f"minimal/{name}"
        distance[measure] = evaluate.distances(model, x, y, attack, right=clean == y, batch_size=batch_size)
        index[measure] = rows
        _report(progress, next(done), total, measure)
    drawn = {name: one.parts["test"].index for name, one in sets.items()} if drawn is None else drawn
    attacked = functools.reduce(numpy.intersect1d, (drawn[name] for name in sets)) if sets else rows[:0]
    cases = {"er/worst": ([f"er/{name}" for name in sets], attacked, split.y_train)}
    if len(white_box) > 1 and any(margin_based(attack.specification()) for attack in white_box.values()):
        for epsilon in epsilons:
            measures = [f"white-box/{ball(name, epsilon)}" for name in white_box]
            cases[f"white-box/{ball('worst', epsilon)}"] = measures, rows, split.y_test
    for worst, (measures, source, labels) in cases.items():
        measures = [measure for measure in measures if measure in prediction]
        kept = functools.reduce(numpy.union1d, (index[measure] for measure in measures)) if measures else source[:0]
        source = numpy.intersect1d(source, kept)
        if len(source):
            under = [_placed(prediction[measure], index[measure], source, labels) for measure in measures]
            keep(worst, _first_misclassified(under, labels[source]), labels[source], source)
    return Flags(prediction, label, index, distance, fingerprint, split.fingerprint)


def _refuse_overlap(sets):
    """Sets of other sizes deal the same images to other parts (adversarial_set.draw)."""
    for (name, one), (other, two) in itertools.permutations(sets.items(), 2):
        used = numpy.concatenate([two.parts["train"].index, two.parts["validation"].index])
        common = len(numpy.intersect1d(one.parts["test"].index, used))
        if common:
            raise ValueError(
                f"{common} source images of the test part of {name} are in the train or validation part of {other}: "
                f"make both with the same --parts ({name}: {one.drawn}, {other}: {two.drawn})"
            )


def _probes(split, sets):
    """(measure, images, labels, source rows) of everything that is predicted as it is, one at a time."""
    yield "clean", split.x_test, split.y_test, numpy.arange(len(split.x_test))
    for name, adversarial in sets.items():
        part, heldout = adversarial.parts["test"], adversarial.parts["heldout"]
        yield f"er/{name}", part.images, part.labels, part.index
        yield f"er-heldout/{name}", heldout.images, heldout.labels, heldout.index
        for factor in PUSHES:
            pushed = evaluate.push(split.x_train[part.index], part.images, factor)
            yield f"er-x{factor}/{name}", pushed, part.labels, part.index


def _placed(predicted, index, rows, labels):
    """The classes predicted of the images `index`, for the images `rows`: of those without an adversarial the true."""
    placed = labels[rows].astype(numpy.int32)
    _, ours, theirs = numpy.intersect1d(rows, index, return_indices=True)
    placed[ours] = predicted[theirs]
    return placed


def _first_misclassified(predictions, labels):
    """Of several predictions of each image the first that is not its label, or the label: int32 (n,)."""
    worst = labels.astype(numpy.int32)
    for predicted in reversed(predictions):
        worst = numpy.where(predicted == labels, worst, predicted)
    return worst


def failures(flags, names):
    """How many images of er/worst some of the attacks `names` failed on, so that they count as correct under it."""
    source, nothing = flags.index.get("er/worst", numpy.zeros(0, int)), numpy.zeros(0, int)
    kept = [numpy.isin(source, flags.index.get(f"er/{name}", nothing)) for name in names]
    return int((~numpy.all(kept, axis=0)).sum()) if len(source) else 0


def _report(progress, done, total, note):
    if progress is not None:
        progress(done, total, note)
