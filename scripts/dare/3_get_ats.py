"""Mine the training history: for each x_validation image the activation of the epoch that was surest of it.

Reads train/; writes get_ats/targets.h5.
"""

import numpy

from results import command, run
from dare import get_ats
import data
from train.history import History


def main(arguments):
    stage = run.begin("get_ats", arguments, inputs=["train"])
    if stage is None:
        return
    trained = run.folder(arguments, "train")
    split = data.load_split(trained / "split.h5", command.load_dataset(arguments))
    history = History(trained / "history")
    with command.Progress("get_ats", arguments.quiet) as progress:
        targets = get_ats.mine_history(
            history.final_model(),
            history,
            split.x_validation,
            split.y_validation,
            layer=arguments.layer,
            min_gain=arguments.min_gain,
            recorded=not arguments.evaluate,
            path=stage.folder / "targets.h5",
            progress=progress,
        )
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    share = len(targets.index) / len(split.y_validation)
    run.finish(
        stage,
        layer=targets.layer,
        selected=len(targets.index),
        of=len(split.y_validation),
        chosen=dict(zip(map(str, epochs), counts.tolist(), strict=True)),
        median_gain=float(numpy.median(targets.gain)),
    )
    if arguments.keep == "mined":
        for epoch in set(history.stored) - {history.last}:
            history.drop_weights(epoch)
    print(
        f"get_ats: {len(targets.index)} of {len(split.y_validation)} samples ({100 * share:.1f} %) were surer under an "
        f"older epoch; median gain {numpy.median(targets.gain):.4f}, layer {targets.layer} ({stage.folder})"
    )


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    parser.add_argument("--layer", help="the regression layer (default: the last convolution's output)")
    share = command.real(least=0, most=1)
    parser.add_argument("--min-gain", type=share, default=0.0, help="smallest gain in p(y|x) that counts")
    parser.add_argument("--evaluate", action="store_true", help="evaluate every checkpoint, not what training recorded")
    parser.add_argument(
        "--keep",
        choices=["all", "mined"],
        default="all",
        help="mined: delete all weights but the last epoch's afterwards (the checkpoint and swa controls need them)",
    )
    command.run(main, parser)
