"""The baselines: fine-tune the trained model on one attack's adversarial images.

Reads train/ and generate_adv-<attack>/ (its train part); writes finetune_adv-<attack>/weights-<repeat>.weights.h5.
"""

from results import command, run
from adv import adversarial_set, attacks, finetune_adv
from train import history as histories
from train import params


def main(arguments):
    for attack in arguments.attack:
        stage = run.begin(
            f"finetune_adv-{attack}",
            command.narrow(arguments, attack=attack),
            inputs=["train", f"generate_adv-{attack}"],
        )
        if stage is None:
            continue
        history = histories.History(run.folder(arguments, "train") / "history")
        model = history.final_model()
        part = adversarial_set.load(run.folder(arguments, f"generate_adv-{attack}") / "adversarials.h5").parts["train"]
        settings = finetune_adv.AdversarialFineTuning(epochs=arguments.epochs, learning_rate=arguments.learning_rate)
        for repeat in range(arguments.repeats):
            history.load_weights(model, history.last)
            with command.Progress(f"finetune_adv {attack}", arguments.quiet) as progress:
                losses = finetune_adv.finetune_adv(
                    model,
                    part,
                    settings=settings,
                    seed=1000 * arguments.seed + repeat,
                    frozen_below=params.first_tuned(arguments.model),
                    progress=progress,
                )
            histories.save_weights(model, stage.folder / f"weights-{repeat}.weights.h5")
        run.finish(stage, images=len(part.labels), steps=len(losses), learning_rate=settings.learning_rate)
        print(f"finetune_adv {attack}: {len(part.labels)} images, {len(losses)} steps a repeat ({stage.folder})")


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    published = finetune_adv.AdversarialFineTuning()
    parser.add_argument(
        "--attack",
        nargs="+",
        type=command.name("attack", attacks.ATTACKS),
        default=["fgsm", "pgd", "deepfool"],
        help="one baseline for each",
    )
    count = command.whole(1)
    parser.add_argument("--repeats", type=count, default=3, help="repeats of each baseline, in different data orders")
    parser.add_argument("--epochs", type=count, default=published.epochs, help="passes over the adversarial images")
    rate = command.real(above=0)
    parser.add_argument("--learning-rate", type=rate, default=published.learning_rate, help="of Adam")
    command.run(main, parser)
