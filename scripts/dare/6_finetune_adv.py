"""The baselines: fine-tune the trained model on one attack's adversarial images; with --distillation also distil it.

Reads train/ and generate_adv-<attack>/ (its train part); writes finetune_adv-<attack>/weights-<repeat>.weights.h5 and
finetune_adv-distillation/weights-0.weights.h5, a net trained from fresh weights (twice as long as the original was).
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import dataclasses

from adv import adversarial_set, distillation, finetune_adv
import data
from data import files
import models
from studies.dare import trained_cell
from studies.estimate import Cost, half
from train import history as histories
from train import params, seeds

DISTILLED = 7  # place of the distilled net among the repeats of a seed


def main(arguments: argparse.Namespace) -> None:
    for attack in arguments.attack:
        finetune(arguments, attack)
    if arguments.distillation:
        distil(arguments)


def finetune(arguments: argparse.Namespace, attack: str) -> None:
    """One stage finetune_adv-<attack>."""
    settings = finetune_adv.AdversarialFineTuning(epochs=arguments.epochs, learning_rate=arguments.learning_rate)
    first = params.first_tuned(arguments.model)
    stage = run_directory.begin(
        f"finetune_adv-{attack}",
        command.narrow(arguments, attack=attack, distillation=None, temperature=None, distillation_epochs=None),
        inputs=["train", f"generate_adv-{attack}"],
        uses={"fine-tuning": settings, "first layer tuned": first},
    )
    if stage is None:
        return
    history = histories.History(run_directory.folder(arguments, "train") / "history")
    model = history.final_model()
    crafted = run_directory.folder(arguments, f"generate_adv-{attack}")
    part = adversarial_set.load(crafted / "adversarials.h5").parts["train"]
    if not len(part.labels):
        run_directory.abandon()
        print(f"finetune_adv {attack}: left out, the attack fooled nothing: no image in the train part of {crafted}")
        return
    for repeat in range(arguments.repeats):
        history.load_weights(model, history.last)
        with Progress(f"finetune_adv {attack}", arguments.quiet) as progress:
            losses = finetune_adv.finetune_adv(
                model,
                part,
                settings=settings,
                seed=seeds.of_repeat(arguments.seed, repeat),
                frozen_below=first,
                progress=progress,
            )
        histories.save_weights(model, stage.folder / f"weights-{repeat}.weights.h5")
    run_directory.finish(stage, images=len(part.labels), steps=len(losses), learning_rate=settings.learning_rate)
    print(f"finetune_adv {attack}: {len(part.labels)} images, {len(losses)} steps a repeat ({stage.folder})")


def distil(arguments: argparse.Namespace) -> None:
    """The stage finetune_adv-distillation: a teacher and a student by the recipe of the original."""
    unread = dict.fromkeys(("attack", "repeats", "epochs", "learning_rate"))
    settings = distillation.Distillation(temperature=arguments.temperature, epochs=arguments.distillation_epochs)
    stage = run_directory.begin(
        "finetune_adv-distillation",
        command.narrow(arguments, **unread),
        inputs=["train"],
        uses={"distillation": settings},
    )
    if stage is None:
        return
    opened, distilled = trained_cell.load(arguments), seeds.of_repeat(arguments.seed, DISTILLED)
    recipe = trained_cell.recipe_of(opened, "distillation", "--distillation")
    split, epochs = opened.split, arguments.distillation_epochs or opened.history.origin["epochs"]
    seeds.seed_weights(distilled)  # whatever ran before
    teacher, student = (
        models.build(
            arguments.model,
            split.x_train.shape[1:],
            len(split.classes),
            preprocessing=data.statistics(split.x_train),
        )
        for _ in range(2)
    )
    with Progress("distillation", arguments.quiet) as progress:
        history = distillation.distil(
            teacher,
            student,
            split,
            recipe=dataclasses.replace(recipe, epochs=epochs),
            folder=stage.folder / "histories",
            seed=distilled,
            settings=dataclasses.replace(settings, epochs=epochs),
            progress=progress,
        )
    metrics = history.record(epochs)[2]
    histories.save_weights(student, stage.folder / "weights-0.weights.h5")
    files.remove(stage.folder / "histories")
    run_directory.finish(stage, epochs=epochs, temperature=arguments.temperature, metrics=metrics)
    print(
        f"distillation: {epochs} epochs each of teacher and student at temperature {arguments.temperature:g}, "
        f"validation accuracy {100 * metrics['validation_accuracy']:.2f} % ({stage.folder})"
    )


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    distilled = ["finetune_adv-distillation"] if arguments.distillation else []
    return [*(f"finetune_adv-{name}" for name in arguments.attack), *distilled]


def cost(arguments: argparse.Namespace) -> Cost:
    """The Cost of these arguments: of teacher and student, beside which the tunings are short."""
    if not arguments.distillation:
        return Cost(0)
    epochs = arguments.distillation_epochs or params.recipe(arguments.model).epochs
    return Cost(2 * epochs * half(arguments.dataset), 1)


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--attack fgsm --distillation")
    published = finetune_adv.AdversarialFineTuning()
    command.add_attacks(parser, "one baseline for each", nargs="*")
    count = command.whole(1)
    parser.add_argument("--repeats", type=count, default=3, help="repeats of each baseline, in different data orders")
    parser.add_argument("--epochs", type=count, default=published.epochs, help="passes over the adversarial images")
    rate = command.real(above=0)
    parser.add_argument("--learning-rate", type=rate, default=published.learning_rate, help="of Adam")
    parser.add_argument(
        "--distillation", action="store_true", help="also make the baseline distillation (alone: --attack without name)"
    )
    parser.add_argument(
        "--temperature", type=rate, default=distillation.Distillation().temperature, help="of distillation"
    )
    parser.add_argument(
        "--distillation-epochs", type=count, help="of teacher and of student (default: as many as the original's)"
    )
    parser.needs(("--temperature", "--distillation-epochs"), lambda arguments: arguments.distillation, "--distillation")
    parser.needs(
        ("--repeats", "--epochs", "--learning-rate"), lambda arguments: arguments.attack, "--attack with a name"
    )
    parser.needs(
        ["--attack"], lambda arguments: arguments.attack or arguments.distillation, "a name, or --distillation"
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
