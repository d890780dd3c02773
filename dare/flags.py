"""The predictions of a tested model in a file: the predicted class and the label of every image.

Which images are correct follows from the two. dare/test.py makes them.
"""

import dataclasses
import pathlib

import numpy

from data import files

KIND = "flags"
GROUPS = ("prediction", "label", "index", "distance")
EARLIER = "flags"  # in files of earlier versions, in place of labels: whether each image is correct
UNKNOWN = -1  # label of a misclassified image in such a file


@dataclasses.dataclass(frozen=True)
class Flags:
    """The predictions of one model, by measure (adv/scoring.py).

    prediction, label: measure -> predicted and true classes, int32 (n,).
    index: measure -> rows of the images in x_train or x_test, int64 (n,).
    distance: measure -> sizes of the smallest perturbations, float32 (n,), NaN where the attack failed.
    model, data: SHA-256 of the model's weights and of the data set.
    checks: results of adv.checks.check, as dictionaries.
    """

    prediction: dict
    label: dict
    index: dict
    distance: dict
    model: str
    data: str
    checks: tuple = ()

    @property
    def correct(self) -> dict:
        """measure -> whether the predicted class is the label, bool (n,)."""
        return {measure: predicted == self.label[measure] for measure, predicted in self.prediction.items()}

    def save(self, path: str | pathlib.Path) -> None:
        """Write to `path` (HDF5)."""
        arrays = {}
        for group in GROUPS:
            arrays |= {f"{group}:{name.replace('/', '|')}": array for name, array in getattr(self, group).items()}
        facts = {"model": self.model, "data": self.data, "checks": list(self.checks)}
        files.save_artefact(path, KIND, arrays, facts)

    @classmethod
    def load(cls, path: str | pathlib.Path, *, model: str | None = None, data: str | None = None) -> "Flags":
        """Read saved flags.

        model, data: the expected SHA-256 (None: any).
        Raises FileNotFoundError, and ValueError where the file is damaged or of another model or other data.
        """
        arrays, facts = files.load_artefact(path, KIND, facts=["model", "data", "checks"])
        for what, expected in (("model", model), ("data", data)):
            if expected is not None and facts[what] != expected:
                seen = f"flags of {what} {facts[what][:12]}, expected {expected[:12]}"
                raise ValueError(f"{path}: {seen}: delete it and test again")
        groups = {group: {} for group in (*GROUPS, EARLIER)}
        for name, array in arrays.items():
            group, _, measure = name.partition(":")
            groups.get(group, {})[measure.replace("|", "/")] = array
        # A file of an earlier version has no labels: they are the predicted class where an image is correct.
        earlier = groups.pop(EARLIER)
        if not groups["label"] and set(earlier) == set(groups["prediction"]):
            groups["label"] = {
                name: numpy.where(earlier[name], predicted, UNKNOWN) for name, predicted in groups["prediction"].items()
            }
        shapes = {group: {name: array.shape for name, array in groups[group].items()} for group in GROUPS}
        measured = shapes["prediction"] | shapes["distance"]
        if not groups["label"] or shapes["label"] != shapes["prediction"] or measured != shapes["index"]:
            raise ValueError(
                f"{path}: its predicted classes, labels and indices do not match: delete it and test again"
            )
        return cls(**groups, model=facts["model"], data=facts["data"], checks=tuple(facts["checks"]))
