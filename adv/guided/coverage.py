"""Neuron coverage (Pei, Cao, Yang, Jana, DeepXplore, SOSP 2017, section 4.1) of activations (N, D)."""

import numpy


def neuron_coverage(activations: numpy.ndarray, threshold: float = 0.2) -> numpy.ndarray:
    """The fraction of neurons that each input activates: float64 (N,), in [0, 1].

    activations: (N, D).
    threshold: a neuron is active if strictly above it, after the activations of the input are scaled to [0, 1] by their
        minimum and maximum. If they are all equal, none is active [D].
    Raises ValueError for another shape, and for values that are not finite.
    """
    activations = numpy.asarray(activations)
    if activations.ndim != 2 or not activations.size:
        raise ValueError(f"activations of shape {activations.shape}, expected (N, D) with at least one of each")
    if not numpy.isfinite(activations).all():
        raise ValueError("activations are NaN or infinite")
    low = activations.min(axis=1, keepdims=True)
    span = activations.max(axis=1, keepdims=True) - low
    active = (activations - low) / numpy.where(span > 0, span, 1) > threshold
    return active.mean(axis=1)
