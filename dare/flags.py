"""What a tested model predicted, kept in a file: of every image the predicted class and the true one.

What is correct follows from the two. dare/test.py makes them.
"""

import dataclasses

import numpy

from data import files

KIND = "flags"
GROUPS = ("prediction", "label", "index", "distance")
EARLIER = "flags"  # the group of earlier files that kept which images are correct, and not the labels
UNKNOWN = -1  # the label of an image that an earlier file says nothing of but that it is misclassified


@dataclasses.dataclass(frozen=True)
class Flags:
    """What one model predicted, by measure (dare/test.py).

    prediction, label: measure -> predicted and true classes, int32 (n,)
    index: measure -> the rows of the images in x_train or x_test, int64 (n,)
    distance: measure -> sizes of smallest perturbations, float32 (n,), NaN where the attack failed
    model, data: SHA-256 of the model's weights and of the data set
    checks: the results of adv.checks.check, as dictionaries
    """

    prediction: dict
    label: dict
    index: dict
    distance: dict
    model: str
    data: str
    checks: tuple = ()

    @property
    def correct(self):
        """measure -> where the predicted class is the true one, bool (n,)."""
        return {measure: predicted == self.label[measure] for measure, predicted in self.prediction.items()}

    def save(self, path):
        """Write to `path` (HDF5)."""
        arrays = {}
        for group in GROUPS:
            arrays |= {f"{group}:{name.replace('/', '|')}": array for name, array in getattr(self, group).items()}
        facts = {"model": self.model, "data": self.data, "checks": list(self.checks)}
        files.save_artefact(path, KIND, arrays, facts)

    @classmethod
    def load(cls, path, *, model=None, data=None):
        """Read saved flags. Raises FileNotFoundError, or ValueError where damaged or of another model or data.

        model, data: the digests expected (None: any).
        """
        arrays, facts = files.load_artefact(path, KIND, facts=["model", "data", "checks"])
        for what, expected in (("model", model), ("data", data)):
            if expected is not None and facts[what] != expected:
                found = f"flags of {what} {facts[what][:12]}, expected {expected[:12]}"
                raise ValueError(f"{path}: {found}: delete it and test again")
        groups = {group: {} for group in (*GROUPS, EARLIER)}
        for name, array in arrays.items():
            group, _, measure = name.partition(":")
            groups.get(group, {})[measure.replace("|", "/")] = array
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
