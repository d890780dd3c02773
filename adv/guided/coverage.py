"""Neuron coverage (Pei, Cao, Yang, Jana, DeepXplore, SOSP 2017, section 4.1) of activations (N, D)."""

import numpy


def neuron_coverage(activations, threshold=0.2):
    """The share of neurons that each input activates: float64 (N,), in [0, 1].

    A neuron is active where it lies strictly above the threshold after the activations of the input are scaled to
    [0, 1] by their own minimum and maximum; an input whose activations are all alike activates none [D].
    """
    return _active(activations, threshold).mean(axis=1)


def cumulative_coverage(activations, threshold=0.2):
    """The share of neurons that the inputs up to each one have activated together: float64 (N,), never falling."""
    return numpy.logical_or.accumulate(_active(activations, threshold), axis=0).mean(axis=1)


def _active(activations, threshold):
    activations = numpy.asarray(activations)
    if activations.ndim != 2 or not activations.size:
        raise ValueError(f"activations of shape {activations.shape}, expected (N, D) with at least one of each")
    if not numpy.isfinite(activations).all():
        raise ValueError("activations are NaN or infinite")
    low = activations.min(axis=1, keepdims=True)
    span = activations.max(axis=1, keepdims=True) - low
    return (activations - low) / numpy.where(span > 0, span, 1) > threshold
