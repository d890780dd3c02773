"""What an attack of a row is called in words."""

import pytest

from adv import attacks
from reporting import attack_words

PGD = {"attack": "pgd", "norm": "linf", "steps": 20, "rel_stepsize": 0.25, "random_start": True, "restarts": 1}
SEARCH = {"epsilon": 0.3, "growth": 1.5, "growths": 20, "bisections": 20}


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ({"attack": "fgsm", "norm": "linf", "epsilons": 1000, "fine": 20, "loss": "ce", "climbed": "log-odds"},
         "Linf, on the cross-entropy, 1,000 sizes searched, then 20 finer ones"),
        ({"attack": "fgsm", "norm": "l2", "epsilons": 9}, "L2, on the float32 cross-entropy, 9 sizes searched"),
        (PGD | SEARCH | {"loss": "margin", "epsilons": [8 / 255, 0.1]},
         "Linf, 20 steps of 1/4 of epsilon, from a random start, on the margin, at epsilon 8/255 and 0.1"),
        (PGD | SEARCH | {"loss": "ce", "random_start": False, "rel_stepsize": 1 / 30},
         "Linf, 20 steps of 1/30 of epsilon, from the image itself, on the float32 cross-entropy, the smallest epsilon "
         "searched from 0.3: grown 1.5-fold up to 20 times, then 20 bisections"),
        (PGD | {"restarts": 5, "loss": "tempered", "temperature": 0.2, "targets": 9},
         "Linf, 20 steps of 1/4 of epsilon, from 5 random starts, on the cross-entropy of softened logits, 1/T = 5"),
        ({"attack": "apgd", "norm": "l2", "steps": 100, "restarts": 2, "loss": "dlr-targeted", "targets": 9},
         "L2, 100 steps, 2 restarts, on the targeted logits' ratio (DLR), targets 9"),
        ({"attack": "cw", "norm": "l2", "steps": 1, "confidence": 0.0}, "L2, 1 step, confidence 0"),
        ({"runs": {"0": {"attack": "fgsm", "norm": "linf", "loss": "ce", "climbed": "log-odds"}}},
         "worst case of fgsm (Linf, on the cross-entropy)"),
    ],
)  # fmt: skip
def test_words(specification, words):
    assert attack_words.words(specification) == words


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_attack_of_the_catalogue_has_words(name):
    phrase = attack_words.words(attacks.get(name).specification())
    assert phrase.startswith("L") and "  " not in phrase and "None" not in phrase
