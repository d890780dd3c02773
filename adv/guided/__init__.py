"""Guided retraining: in which order adversarial and clean inputs are added, and what a model starts from.

Durán, Martínez-Fernández, Felderer, Franch, PeerJ CS 9:e1454 (2023), arXiv 2207.03689.

    surprise.py       LSA and DSA of activations, exact
    uncertainty.py    DeepGini, softmax entropy, margin, max-softmax of probabilities
    coverage.py       neuron coverage of activations, for each input and cumulative
    ordering.py       METRICS, one score an input each; orders, ties, APFD
    inputs.py         the adversarial inputs, as the study ran its attacks and as it named them
    configuration.py  CONFIGURATIONS C1, C2, C3 and their prefixes
    retraining.py     the original model, and a model retrained on a prefix
"""
