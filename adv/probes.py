"""Several Linf attacks in turn: their list, and the images that withstand all of them."""

from __future__ import annotations

import dataclasses

import keras
import numpy

from adv import attacks, evaluate

# pgd-restarts has a single random start: the number of restarts is chosen on the command line.
PROBES = attacks.ATTACKS | {"pgd-restarts": attacks.PGD(steps=40, rel_stepsize=0.1, random_start=True)}


def probes(names: list[str], *, steps: int | None = None, restarts: int = 1) -> list[attacks.Attack]:
    """The attacks of some names of PROBES, a list; random attacks appear once for each seed 0 .. restarts - 1.

    steps: replaces each attack's number of steps (None: kept).
    Raises ValueError for an attack in another norm than "linf".
    """
    chosen = []
    for name in names:
        attack = PROBES[name]
        if attack.norm != "linf":
            raise ValueError(f"attack {name} measures {attack.norm}, but the balls are linf: name another attack")
        if steps and hasattr(attack, "steps"):
            attack = dataclasses.replace(attack, steps=steps)
        chosen += [dataclasses.replace(attack, seed=seed) for seed in range(restarts)] if draws(attack) else [attack]
    return chosen


def draws(attack: attacks.Attack) -> bool:
    """Whether an attack draws random numbers, so that another seed gives another result."""
    return hasattr(attack, "seed") and getattr(attack, "random_start", True)


def withstood(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attempts: list[attacks.Attack],
    *,
    epsilon: float,
    batch_size: int = 256,
) -> numpy.ndarray:
    """Where the model is correct under all attacks `attempts`: bool (N,). Each runs on the images still correct.

    Arguments and errors as evaluate.robust_flags.
    """
    flags = evaluate.correct(model, x, y, batch_size=batch_size)
    for attack in attempts:
        flags = evaluate.robust_flags(model, x, y, attack, epsilon=epsilon, correct=flags, batch_size=batch_size)
    return flags
