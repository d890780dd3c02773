"""The timer of the benchmarks: jobs take turns, so that other work on the machine disturbs all of them alike."""

import time
from collections.abc import Callable


def fastest(
    jobs: dict[str, Callable], repeats: int = 1, *, clock: Callable = time.perf_counter, long: float = float("inf")
) -> tuple[dict[str, float], dict]:
    """(name -> seconds of the fastest run, name -> its result).

    jobs: name -> function without arguments, ours first.
    repeats: timed rounds, after an untimed round that compiles.
    clock: time.process_time counts all cores of this process, which a busy machine disturbs less.
    long: a first run longer than this many seconds counts and is not repeated (except ours, which is mostly tracing).
    """
    seconds, results, ours = {}, {}, next(iter(jobs))
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            if name != ours and seconds.get(name, 0.0) > long:
                continue
            started_at = clock()
            result = job()
            spent = clock() - started_at
            if (turn or (spent > long and name != ours)) and spent < seconds.get(name, float("inf")):
                seconds[name], results[name] = spent, result
    return {name: seconds[name] for name in jobs}, results
