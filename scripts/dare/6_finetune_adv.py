"""The baselines: fine-tune the trained model on one attack's adversarial images.

Reads train/ and generate_adv-<attack>/ (its train part); writes finetune_adv-<attack>/weights-<repeat>.weights.h5.
"""

from adv import adversarial_set, finetune_adv
from data import files
from results import command, run
from train.history import History


def main(arguments):
    for attack in arguments.attack:
        stage = run.begin(
            f"finetune_adv-{attack}",
            command.narrow(arguments, attack=attack),
            inputs=["train", f"generate_adv-{attack}"],
        )
        if stage is None:
            continue
        history = History(run.folder(arguments, "train") / "history")
        model = history.final_model()
        part = adversarial_set.load(run.folder(arguments, f"generate_adv-{attack}") / "adversarials.h5").parts["train"]
        settings = finetune_adv.AdversarialFineTuning(epochs=arguments.epochs, learning_rate=arguments.learning_rate)
        for repeat in range(arguments.repeats):
            history.load_weights(model, history.last)
            with command.Progress(f"finetune_adv {attack}", arguments.quiet) as progress:
                losses = finetune_adv.finetune_adv(
                    model, part, settings=settings, seed=1000 * arguments.seed + repeat, progress=progress
                )
            with files.atomic(stage.folder / f"weights-{repeat}.weights.h5") as temporary:
                model.save_weights(temporary)
        run.finish(stage, images=len(part.labels), steps=len(losses), learning_rate=settings.learning_rate)
        print(f"finetune_adv {attack}: {len(part.labels)} images, {len(losses)} steps a repeat ({stage.folder})")


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    published = finetune_adv.AdversarialFineTuning()
    parser.add_argument("--attack", nargs="+", default=["fgsm", "pgd", "deepfool"], help="one baseline for each")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each baseline, in different data orders")
    parser.add_argument("--epochs", type=int, default=published.epochs, help="passes over the adversarial images")
    parser.add_argument("--learning-rate", type=float, default=published.learning_rate, help="of Adam")
    command.run(main, parser)
