"""Uncertainty of a model for each input, from its probabilities (N, K): float64 (N,), higher is more uncertain."""

import numpy


def deepgini(p: numpy.ndarray) -> numpy.ndarray:
    """1 - sum of p_k^2 (Feng et al., ISSTA 2020, definition 1)."""
    return 1 - (_checked(p) ** 2).sum(axis=1)


def softmax_entropy(p: numpy.ndarray) -> numpy.ndarray:
    """-sum of p_k log2 p_k, in bits; 0 log 0 is 0 (Weiss, Tonella, ISSTA 2022)."""
    p = _checked(p)
    return -(p * numpy.log2(numpy.where(p > 0, p, 1.0))).sum(axis=1)


def margin(p: numpy.ndarray) -> numpy.ndarray:
    """1 - (largest - second largest probability) [D]."""
    top = numpy.sort(_checked(p), axis=1)[:, -2:]
    return 1 - (top[:, 1] - top[:, 0])


def max_softmax(p: numpy.ndarray) -> numpy.ndarray:
    """1 - the largest probability [D]."""
    return 1 - _checked(p).max(axis=1)


def _checked(p):
    p = numpy.asarray(p, numpy.float64)
    if p.ndim != 2 or p.shape[1] < 2 or not len(p):
        raise ValueError(f"probabilities of shape {p.shape}, expected (N, K) of at least two classes and one input")
    if not (numpy.isfinite(p).all() and (p >= 0).all() and numpy.allclose(p.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(
            "expected probabilities: rows of numbers of at least 0 that sum to 1; take the softmax of logits"
        )
    return p
