"""Attack the trained model once: minimal adversarial images in four disjoint parts.

Reads train/; writes generate_adv-<attack>/adversarials.h5. Killed, it continues at its last finished block.
"""

from results import command, run, trained
from adv import attacks, generate_adv


def main(arguments):
    for name in arguments.attack:
        craft(arguments, name)


def craft(arguments, name):
    attack = attacks.get(name)
    own = command.narrow(arguments, attack=name)
    stage = run.begin(f"generate_adv-{name}", own, inputs=["train"], uses={"attack": attack})
    if stage is None:
        return
    cell = trained.load(arguments)
    with command.Progress(f"generate_adv {name}", arguments.quiet) as progress:
        made = generate_adv.generate(
            cell.model,
            cell.split,
            name,
            attack,
            counts=dict(zip(("train", "validation", "test", "heldout"), arguments.parts, strict=True)),
            seed=arguments.seed,
            folder=stage.folder,
            progress=progress,
        )
    made.save(stage.folder / "adversarials.h5")
    generate_adv.remove_blocks(stage.folder)
    kept = {part: len(one.labels) for part, one in made.parts.items()}
    run.finish(stage, specification=made.attack, drawn=made.drawn, kept=kept)
    counts = ", ".join(f"{part} {kept[part]} of {drawn}" for part, drawn in made.drawn.items())
    print(f"generate_adv {name}: {counts} ({stage.folder})")


def stages(arguments):
    """The stages that these arguments ask for."""
    return [f"generate_adv-{name}" for name in arguments.attack]


def options():
    """The parser of the options."""
    parser = command.parser(__doc__, study="dare")
    command.add_attacks(parser, ", ".join(attacks.ATTACKS))
    parser.add_argument(
        "--parts",
        nargs=4,
        type=command.whole(0),
        default=[4000, 1000, 5000, 1000],
        metavar=("TRAIN", "VALIDATION", "TEST", "HELDOUT"),
        help="images to attack for each part",
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
