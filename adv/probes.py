"""Several attacks in the Linf ball as one: who they are, and which images withstand them all."""

import dataclasses

from adv import attacks, evaluate

# pgd-restarts: one random start, so that as many of it can be asked for as one has time for.
PROBES = attacks.ATTACKS | {"pgd-restarts": attacks.PGD(steps=40, rel_stepsize=0.1, random_start=True)}


def probes(names, *, steps=None, restarts=1):
    """The attacks that names of PROBES stand for, a list: those that draw random numbers once a seed 0 .. restarts - 1.

    steps: instead of each attack's own number (None: its own). Raises ValueError for an attack in another norm.
    """
    found = []
    for name in names:
        attack = PROBES[name]
        if attack.norm != "linf":
            raise ValueError(f"attack {name} measures {attack.norm}, but the balls are linf: name another attack")
        if steps and hasattr(attack, "steps"):
            attack = dataclasses.replace(attack, steps=steps)
        found += [dataclasses.replace(attack, seed=seed) for seed in range(restarts)] if draws(attack) else [attack]
    return found


def draws(attack):
    """Whether an attack draws random numbers, so that another seed is another attempt."""
    return hasattr(attack, "seed") and getattr(attack, "random_start", True)


def withstood(model, x, y, attempts, *, epsilon, batch_size=256):
    """Where the model is right under every attack of `attempts`: bool (N,); each is run on what those before it left.

    Arguments and errors as evaluate.robust_flags.
    """
    flags = evaluate.correct(model, x, y, batch_size=batch_size)
    for attack in attempts:
        flags = evaluate.robust_flags(model, x, y, attack, epsilon=epsilon, right=flags, batch_size=batch_size)
    return flags
