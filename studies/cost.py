"""What a study costs before any of it is run: the images it trains on, and the input gradients of its attacks.

Every number is an upper bound: images that the model gets wrong are not attacked, and an attack leaves an image as soon
as it is fooled. Not counted are forward passes alone (slicing, mining, the grid of FGSM) and the checks of each tested
model, a few dozen images, the adversarial inputs of guided retraining (ten steps each), and the probe after each epoch
of robust training, 22 passes of some hundred images.
"""

import collections
import dataclasses
import functools
import pathlib

import data
import models
from adv import adversarial_set, attacks, probes
from adv.guided import configuration
from dare import controls, feature_adversarial, test, variants
from dare import what_matters as factors
from data import pooled
from pipeline import command, stages
from studies.guided_retraining import cell
from studies.hardening import row
from train import params, robust


@dataclasses.dataclass
class Work:
    """trained: stage -> images, once for every time that they go forward and backward in training; crafting, white_box:
    attack -> input gradients (images x steps x restarts x trials of the search); unknown: stages of other studies."""

    trained: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    crafting: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    white_box: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    unknown: set = dataclasses.field(default_factory=set)


def of(cells):
    """The Work of cells, each a list of commands [python, script, *options], which their own scripts' parsers read."""
    work = Work()
    for commands in cells:
        asked = collections.defaultdict(list)  # stage -> the arguments of its commands
        for _, path, *options in commands:
            stage = pathlib.Path(path).relative_to(pathlib.Path(path).parents[1]).with_suffix("").as_posix()
            if STAGES.get(stage) is _nothing:
                continue
            if stage in STAGES:
                asked[stage].append(stages.script(path).options().parse_args(options))
            else:
                work.unknown.add(stage)
        for stage, each in tuple(asked.items()):
            for arguments in each:
                STAGES[stage](work, asked, arguments)
    return work


def lines(work):
    """The Work as sentences, one a line."""
    trained = _listed(work.trained)
    yield f"images trained on, at most: {sum(work.trained.values()):,}{f' ({trained})' if trained else ''}"
    yield f"input gradients of crafting, at most: {_listed(work.crafting) or 'none'}"
    yield f"input gradients of white-box tests, at most: {_listed(work.white_box) or 'none'}"
    if work.unknown:
        yield f"not estimated: {', '.join(sorted(work.unknown))}"


def _listed(counts):
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _half(arguments):
    """Images of x_train, and of x_validation."""
    entry = data.DATASETS.get(arguments.dataset)
    return ((entry.counts[0] if entry else len(command.load_dataset(arguments).y_train)) + 1) // 2


def _epochs(arguments):
    return arguments.epochs or params.recipe(arguments.model).epochs


def _train(work, asked, arguments):
    work.trained["1_train"] += _epochs(arguments) * _half(arguments)


def _generate_adv(work, asked, arguments):
    for name in arguments.attack:
        work.crafting[name] += sum(_parts(arguments)) * attacks.ATTACKS[name].closest_gradients


def _parts(arguments):
    entry = data.DATASETS.get(arguments.dataset)
    held_out = entry.counts[1] if entry else len(command.load_dataset(arguments).y_test)
    return arguments.parts or [*adversarial_set.fitting(_half(arguments), held_out).values()]


def _finetune_dare(work, asked, arguments):
    for name, repeats in _made(asked, arguments).items():
        variant = variants.DARE if name == "tune-clean" else variants.VARIANTS.get(name)
        if variant is not None:
            rates = arguments.learning_rates or variant.learning_rates
            tried = len(rates) if len(rates) > 1 and name != "tune-clean" else 0
            work.trained["5_finetune_dare"] += (repeats + tried) * _budget(variant, arguments)


def _made(asked, arguments):
    """Name -> how many models: the variants and controls of one command of 5_finetune_dare."""
    found = {}
    for name in arguments.variant:
        for one in variants.VARIANTS | controls.CONTROLS if name == "all" else [name]:
            control = controls.CONTROLS.get(one)
            found[one] = max(arguments.repeats, arguments.draws or 0)
            if control is not None and not control.reads_dare:
                found[one] = 1
    if "checkpoints" in found:
        found["checkpoints"] = max(map(_epochs, asked["dare/1_train"]), default=0) // 2
    if "all" in arguments.variant and "checkpoints" not in arguments.variant:
        del found["checkpoints"]
    return found


def _budget(variant, arguments):
    return variant.epochs * _half(arguments) if variant.epochs else variant.steps * variant.batch_size


def _finetune_adv(work, asked, arguments):
    crafted = {name: _parts(one)[0] for one in asked["dare/4_generate_adv"] for name in one.attack}
    images = sum(crafted.get(name, 0) for name in arguments.attack)
    work.trained["6_finetune_adv"] += arguments.repeats * arguments.epochs * images
    if arguments.distillation:
        epochs = arguments.distillation_epochs or max(map(_epochs, asked["dare/1_train"]), default=0)
        work.trained["6_finetune_adv"] += 2 * epochs * _half(arguments)


def _test(work, asked, arguments):
    made = {}
    for one in asked["dare/5_finetune_dare"]:
        made |= _made(asked, one)
    tested = 1 + sum(made.values())
    for one in asked["dare/6_finetune_adv"]:
        tested += len(one.attack) * one.repeats + one.distillation
    radii = len(arguments.epsilons or max(test.EPSILONS.values(), key=len))
    for name in arguments.white_box:
        work.white_box[name] += tested * arguments.white_box_images * radii * attacks.ATTACKS[name].within_gradients
    for name in arguments.minimal:
        work.white_box[name] += tested * arguments.white_box_images * attacks.ATTACKS[name].closest_gradients


def _what_matters(work, asked, arguments):
    settings = factors.settings(_narrow(arguments.model.partition("@")[0]), arguments.factor)
    images = sum(_budget(variant, arguments) for _, _, variant in settings)
    work.trained["9_what_matters"] += arguments.repeats * images


@functools.cache
def _narrow(name):
    """A model for its layers' names alone."""
    return models.build(name, (32, 32, 3), 10, width=0.03)


def _white_box(work, asked, arguments):
    samples = min(arguments.samples or _half(arguments), _half(arguments))
    measured = 1 + len(set(arguments.strategy) & set(row.SINGLE) - {"original"})
    for name in set(arguments.strategy) - set(row.SINGLE):
        tuned = len(arguments.learning_rates) * arguments.repeats
        passes = feature_adversarial.STRATEGIES[name].passes(arguments.steps)
        effort = {"passes": passes, "batch_size": arguments.batch_size, "samples": samples}
        updates = feature_adversarial.updates_for(arguments.bp_epochs, **effort)
        work.trained["10_white_box"] += round(tuned * samples * feature_adversarial.bp_epochs(updates, **effort))
        measured += tuned * arguments.points
    images = measured * (2 * arguments.images + arguments.choice_images)
    for name in arguments.attack:
        several = probes.probes([name], steps=arguments.attack_steps, restarts=arguments.restarts)
        work.white_box[name] += images * sum(attack.within_gradients for attack in several)


def _robust_train(work, asked, arguments):
    for name in arguments.method:
        work.trained["robust_training/1_train"] += _robust_passes(arguments, name)


def _robust_test(work, asked, arguments):
    methods = {name for one in asked["robust_training/1_train"] for name in one.method}
    for name in arguments.attack:
        images = 2 * len(arguments.method or methods) * arguments.test_images  # the selected epoch and the last
        if name in attacks.ATTACKS:  # autoattack is not ours to count
            work.white_box[name] += images * attacks.ATTACKS[name].within_gradients


def _robust_passes(arguments, name):
    """BP-epochs times images of one method of a command of robust training."""
    entry = data.DATASETS.get(arguments.dataset)
    whole = entry.counts[0] if entry else len(command.load_dataset(arguments).y_train)
    passes = arguments.bp_epochs
    if passes is None:
        setup = robust.setup_of(arguments.setup, arguments.model)
        passes = (arguments.epochs or robust.METHODS[name].epochs(setup)) * robust.METHODS[name].passes
    return round(passes * (arguments.images or whole - arguments.validation))


def _class_attack(work, asked, arguments):
    methods = {name for one in asked["robust_training/1_train"] for name in one.method}
    methods |= {name for one in asked["dare/5_finetune_dare"] for name in _made(asked, one)}
    models = len(arguments.method or methods) + (not arguments.method and bool(asked["dare/1_train"]))
    _attacked(work, arguments, models)
    entry = data.DATASETS.get(arguments.dataset)
    towards = (len(entry.classes) if entry else len(command.load_dataset(arguments).classes)) - 1
    work.white_box["into each class"] += models * arguments.reach_images * towards * REACH_STEPS


def _attacked(work, arguments, models):
    for name in arguments.attack:
        work.white_box[name] += models * arguments.test_images * attacks.ATTACKS[name].within_gradients


def _attacked_alike(work, asked, models):
    """Models attacked as the first step of the study attacked."""
    for one in asked["classwise/1_attack"]:
        _attacked(work, one, models)


def _similar(work, asked, arguments):
    _retrained(work, asked, arguments, 2, "classwise/7_similar_classes")
    _attacked_alike(work, asked, 2)


def _levers(work, asked, arguments):
    _attacked_alike(work, asked, len(arguments.lever))
    trained = [name for name in arguments.lever if name not in CHOSEN]
    _retrained(work, asked, arguments, len(trained), "classwise/9_levers")
    held_out = max((one.validation for one in asked["robust_training/1_train"]), default=0)
    tried = sum(CHOSEN.get(name, 1) for name in arguments.lever)
    work.white_box["choice of levers"] += tried * held_out * CHOICE_STEPS


def _retrained(work, asked, arguments, times, stage):
    for one in asked["robust_training/1_train"]:
        if arguments.method in one.method:
            work.trained[stage] += times * _robust_passes(one, arguments.method)


def _guided_train(work, asked, arguments):
    trained, _ = _guided_counts(arguments)
    work.trained["guided_retraining/1_train"] += trained * cell.recipe_of(arguments).epochs


def _guided_retrain(work, asked, arguments):
    first = asked["guided_retraining/1_train"][0] if asked["guided_retraining/1_train"] else arguments
    trained, adversarial = _guided_counts(first)
    epochs = cell.recipe_of(first).epochs
    for name in arguments.configuration:
        chosen = configuration.CONFIGURATIONS[name]
        total = adversarial + (trained if chosen.clean else 0)
        size = {"count": arguments.prefixes} if arguments.prefixes else {"step": chosen.steps[arguments.dataset]}
        images = sum(configuration.prefixes(total, **size))
        work.trained["guided_retraining/4_retrain"] += len(arguments.metric) * images * epochs


def _guided_counts(arguments):
    """(images of the training part, adversarial ones made of it)."""
    whole = getattr(arguments, "images", None) or sum(data.DATASETS[arguments.dataset].counts)
    validation, test = pooled.SHARES[arguments.dataset]
    tested = round(test * whole)
    return whole - tested - round(validation * whole), 3 * (tested // 3)


CHOSEN = {"tau": 6, "bias": 8}  # how often a lever of inference is attacked on held-out images until it is chosen
CHOICE_STEPS, REACH_STEPS = 10, 20


def _nothing(work, asked, arguments):
    """Forward passes alone, or none."""


STAGES = {
    "dare/1_train": _train,
    "dare/2_slice": _nothing,
    "dare/3_get_ats": _nothing,
    "dare/4_generate_adv": _generate_adv,
    "dare/5_finetune_dare": _finetune_dare,
    "dare/6_finetune_adv": _finetune_adv,
    "dare/7_test": _test,
    "dare/9_what_matters": _what_matters,
    "dare/10_white_box": _white_box,
    "robust_training/1_train": _robust_train,
    "robust_training/2_test": _robust_test,
    "guided_retraining/1_train": _guided_train,
    "guided_retraining/2_inputs": _nothing,
    "guided_retraining/3_rank": _nothing,
    "guided_retraining/4_retrain": _guided_retrain,
    "classwise/1_attack": _class_attack,
    "classwise/2_report": _nothing,
    "classwise/3_disparity": _nothing,
    "classwise/4_consistency": _nothing,
    "classwise/5_stronger_attacks": _nothing,
    "classwise/6_weight_norms": _nothing,
    "classwise/7_similar_classes": _similar,
    "classwise/8_temperature": _nothing,
    "classwise/9_levers": _levers,
}
