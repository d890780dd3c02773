"""Selectors of RobOT: which inputs of a pool are retrained on, by their FOL (Wang et al., ICSE 2021, section 4).

A selector orders the whole pool, so that the prefixes of the order can be retrained on; `take` is the selection of n.
FOL is float64 (N,), finite; an order is a permutation, int64 (N,).
1. [D] Equal values: the input that stands first in the pool counts as the smaller one.
"""

from __future__ import annotations

import numpy

from train.seeds import stream

SECTIONS = 1000  # of KM-ST [P]
SELECTORS = "be-st", "km-st", "km-st-released", "gini", "random"


def be_st(fol: numpy.ndarray) -> numpy.ndarray:
    """BE-ST, both ends: smallest and largest FOL in turn. The first n are the n/2 smallest and n/2 largest [P].

    Of an odd number the additional input is a small one [D].

    fol: first-order loss of each input (N,). Returns rows, int64 (N,).
    """
    ranked = numpy.argsort(checked(fol), kind="stable")
    ordered = numpy.empty_like(ranked)
    ordered[0::2] = ranked[: -(-len(ranked) // 2)]
    ordered[1::2] = ranked[::-1][: len(ranked) // 2]
    return ordered


def km_st(fol: numpy.ndarray, *, sections: int = SECTIONS, seed: int = 0) -> numpy.ndarray:
    """KM-ST as published: the range of FOL is divided into equal sections, and each gives one input in turn.

    fol: first-order loss of each input (N,). Returns rows, int64 (N,).
    sections: k.
    seed: of the input that a section gives, and of the order of the sections in each turn.
    1. [I] Sections are equal intervals of FOL, as the text says; empty ones are passed over.
    2. [D] In each turn the sections come in random order, so that fewer than k inputs are not those of the lowest.
    """
    fol = checked(fol)
    _check_sections(sections)
    span = fol.max() - fol.min()
    place = (fol - fol.min()) / span * sections if span > 0 else numpy.zeros(len(fol))
    section = numpy.minimum(place.astype(int), sections - 1)
    generator = stream(seed, "sections of FOL")
    drawn = generator.permutation(len(fol))
    by_section = drawn[numpy.argsort(section[drawn], kind="stable")]
    _, begins, counts = numpy.unique(section[by_section], return_index=True, return_counts=True)
    turn = numpy.arange(len(fol)) - numpy.repeat(begins, counts)
    return by_section[numpy.lexsort((generator.random(len(fol)), turn))]


def km_st_released(fol: numpy.ndarray, *, sections: int = SECTIONS, seed: int = 0) -> numpy.ndarray:
    """KM-ST as released: inputs ranked by FOL, divided into k blocks of equal size, which come in random order [P].

    That is nearly a random order. The N mod k inputs of largest FOL come last [D]; the released code never takes them.
    fol: first-order loss of each input (N,). Returns rows, int64 (N,).
    sections: k, of at most N (the released code divides by zero if N < k).
    seed: of the order of the blocks.
    Raises ValueError for fewer inputs than sections.
    """
    ranked = numpy.argsort(checked(fol), kind="stable")
    _check_sections(sections)
    size = len(ranked) // sections
    if not size:
        raise ValueError(
            f"{len(ranked)} inputs in {sections} blocks, expected at least one input a block: pass fewer sections"
        )
    blocks = ranked[: size * sections].reshape(sections, size)
    blocks = blocks[stream(seed, "blocks of FOL").permutation(sections)]
    return numpy.concatenate([blocks.ravel(), ranked[size * sections :]])


def take(
    selector: str,
    n: int,
    *,
    fol: numpy.ndarray,
    probabilities: numpy.ndarray,
    sections: int = SECTIONS,
    seed: int = 0,
    as_released: bool = False,
) -> numpy.ndarray:
    """The rows that a selector takes of a pool of N inputs: int64, n of them.

    selector: of SELECTORS. "gini": ascending sum of p^2, the order of DeepGini. "random": a control.
    n: from 1 to N.
    fol: first-order loss of each input (N,).
    probabilities: softmax of each input (N, K).
    sections: k; "km-st" takes min(k, n) [D].
    seed: of the selectors that draw random numbers.
    as_released: "be-st" of fewer than 2 takes everything, as the released slice of zero inputs from the end does.
        "km-st-released" takes floor(n / (N // k)) whole blocks in either case: n or fewer.
    Raises ValueError for another selector, an n out of range, and as the selectors.
    """
    fol = checked(fol)
    if selector not in SELECTORS or not 1 <= n <= len(fol):
        raise ValueError(
            f"{n} of {len(fol)} inputs by {selector!r}, expected at least one, at most all, by one of "
            f"{', '.join(SELECTORS)}"
        )
    if selector == "be-st":
        return be_st(fol)[: len(fol) if as_released and n < 2 else n]
    if selector == "km-st":
        return km_st(fol, sections=min(sections, n), seed=seed)[:n]
    if selector == "km-st-released":
        size = max(1, len(fol) // sections)
        return km_st_released(fol, sections=sections, seed=seed)[: n // size * size]
    if selector == "gini":
        return numpy.argsort((numpy.asarray(probabilities, numpy.float64) ** 2).sum(axis=1), kind="stable")[:n]
    return stream(seed, "random selection").permutation(len(fol))[:n]


def _check_sections(sections):
    if sections < 1:
        raise ValueError(f"{sections} sections, expected at least 1")


def checked(fol: numpy.ndarray | None) -> numpy.ndarray:
    """FOL as float64 (N,). Raises ValueError for None, no input, and values that are not finite."""
    if fol is None:
        raise ValueError("no FOL: this order needs adversarial inputs, their originals and labels (adv/guided/fol.py)")
    fol = numpy.asarray(fol, numpy.float64)
    if fol.ndim != 1 or not len(fol) or not numpy.isfinite(fol).all():
        raise ValueError(f"FOL of shape {fol.shape}, expected finite numbers (N,) of at least one input")
    return fol
