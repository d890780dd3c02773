"""The one timer of the benchmarks: jobs that take turns, so that what else the machine does disturbs them alike."""

import time


def fastest(jobs, repeats=1, *, clock=time.perf_counter, long=float("inf")):
    """(name -> seconds of the fastest run, name -> what that run made).

    jobs: name -> function without arguments, ours first; repeats: timed rounds, after one that compiles, traces and
    does not count; clock: time.process_time counts all cores of this process, which a busy machine disturbs less;
    long: seconds from which a first run counts, and is not repeated, but for ours, whose first run is mostly tracing.
    """
    seconds, made, ours = {}, {}, next(iter(jobs))
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            if name != ours and seconds.get(name, 0.0) > long:
                continue
            begun = clock()
            found = job()
            spent = clock() - begun
            if (turn or (spent > long and name != ours)) and spent < seconds.get(name, float("inf")):
                seconds[name], made[name] = spent, found
    return {name: seconds[name] for name in jobs}, made
