"""Guided retraining: training again on adversarial and clean inputs, in an order given by a metric.

Durán, Martínez-Fernández, Felderer, Franch, PeerJ CS 9:e1454 (2023), arXiv 2207.03689.

    surprise.py       LSA and DSA of activations, exact
    uncertainty.py    DeepGini, softmax entropy, margin, max-softmax of probabilities
    coverage.py       neuron coverage of activations
    fol.py            FOL, the first-order loss of RobOT
    selection.py      RobOT's selectors by FOL
    ordering.py       METRICS, each a score an input; orders, ties, APFD
    inputs.py         the attacked inputs, as the study ran its attacks and as it named them
    configuration.py  CONFIGURATIONS C1, C2, C3 and their prefixes
    retraining.py     the original model, and a model retrained on a prefix
    robot.py          RobOT's attacks, and the settings of its own retraining
    ranking.py        rank: a user's own images, most useful first

    order, scores = adv.guided.rank(model, x_train, y_train, x_new, metric="dsa")
"""

from adv.guided.ranking import rank

__all__ = ["rank"]
