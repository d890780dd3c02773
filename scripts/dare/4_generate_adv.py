"""Attack the trained model once: minimal adversarial images in four disjoint parts.

Reads train/; writes generate_adv-<attack>/adversarials.h5. Killed, it continues at its last finished block. It counts
the attacked images whose softmax at the label is 1 in float32 (docs/checks.md, saturated), prints the count and keeps
it in run.json: there the float32 cross-entropy of the attacks NAME-float32 points elsewhere.
"""

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from adv import adversarial_set, attacks, checks, generate_adv
import data
from studies.dare import trained_cell


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, parts=arguments.parts or default_parts(arguments))
    for name in arguments.attack:
        craft(arguments, name)


def default_parts(arguments: argparse.Namespace) -> list[int]:
    """The published number of images of each part, or what the split of train/ has room for."""
    folder = run_directory.folder(arguments, "train")
    run_directory.record(folder)  # says what makes it
    split = data.load_split(folder / "split.h5", command.load_dataset(arguments))
    return [*adversarial_set.fitting(len(split.x_train), len(split.x_test)).values()]


def craft(arguments: argparse.Namespace, name: str) -> None:
    """One stage: make the adversarial set of an attack."""
    attack = attacks.get(name)
    own = command.narrow(arguments, attack=name)
    stage = run_directory.begin(f"generate_adv-{name}", own, inputs=["train"], uses={"attack": attack})
    if stage is None:
        return
    cell, wanted = trained_cell.load(arguments), dict(zip(adversarial_set.PARTS, arguments.parts, strict=True))
    with Progress(f"generate_adv {name}", arguments.quiet) as progress:
        adversarials = generate_adv.generate(
            cell.model,
            cell.split,
            name,
            attack,
            counts=wanted,
            seed=arguments.seed,
            folder=stage.folder,
            progress=progress,
        )
    adversarials.save(stage.folder / "adversarials.h5")
    generate_adv.remove_blocks(stage.folder)
    kept = {part: len(images.labels) for part, images in adversarials.parts.items()}
    affected = saturated(cell, wanted, arguments.seed)
    facts = {"specification": adversarials.attack, "drawn": adversarials.drawn, "kept": kept, "saturated": affected}
    run_directory.finish(stage, **facts)
    counts = ", ".join(f"{part} {kept[part]} of {drawn}" for part, drawn in adversarials.drawn.items())
    print(f"generate_adv {name}: {counts} ({stage.folder})")
    print(
        f"generate_adv {name}: float32 softmax of 1 at the label on {affected['images']} of {affected['of']} attacked "
        f"images ({affected['percent']:g} %)"
    )


def saturated(cell: trained_cell.Trained, counts: dict[str, int], seed: int) -> dict[str, float]:
    """{"images", "of", "percent"}: how many of the images that were attacked are saturated (checks.saturated).

    They are counted where they are clean, and with those on which the attack failed.
    """
    images = of = 0
    for part, rows in adversarial_set.draw(cell.split, counts, seed).items():
        x, y = (getattr(cell.split, f"{array}_{'test' if part == 'heldout' else 'train'}") for array in "xy")
        images += int(checks.saturated(cell.model, x[rows], y[rows]).sum()) if len(rows) else 0
        of += len(rows)
    return {"images": images, "of": of, "percent": round(100 * images / max(of, 1), 2)}


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return [f"generate_adv-{name}" for name in arguments.attack]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--attack fgsm pgd")
    published = " ".join(map(str, adversarial_set.PUBLISHED.values()))
    command.add_attacks(parser, "one set for each")
    parser.add_argument(
        "--parts",
        nargs=4,
        type=command.whole(0),
        metavar=("TRAIN", "VALIDATION", "TEST", "HELDOUT"),
        help=f"images to attack for each part (default: {published}, or as many as there are)",
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
