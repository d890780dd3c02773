"""Progress of long work: a bar on a terminal, otherwise a line from time to time."""

import sys
import time

import rich.console
import rich.progress


class Progress:
    """``with Progress("train", quiet) as progress: progress(done, total, note)``.

    A bar on a terminal; otherwise a plain line at most every ten seconds and at the end; nothing if quiet. Both show
    the time spent in this process, and about how long it still takes.
    """

    def __init__(self, title: str, quiet: bool = False):
        self.title, self.quiet = title, quiet
        self.console = rich.console.Console(stderr=True)
        self.bar, self.task = None, None
        self.started_at = self.last_line = time.monotonic()
        self.first = None  # (what was done, when) at the first call: resumed work does not begin at 0

    def __enter__(self):
        return self

    def __call__(self, done: int, total: int, note: str = ""):
        if self.quiet:
            return
        if self.console.is_terminal:
            if self.bar is None:
                columns = (
                    *rich.progress.Progress.get_default_columns(),
                    rich.progress.TimeElapsedColumn(),
                    rich.progress.TextColumn("{task.fields[note]}"),
                )
                self.bar = rich.progress.Progress(*columns, console=self.console)
                self.task = self.bar.add_task(self.title, total=total, note=note)
                self.bar.start()
            self.bar.update(self.task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        self.first = self.first or (done, now)
        if now - self.last_line > 10 or done == total:
            self.last_line = now
            line = f"{self.title}: {done}/{total} {note}".rstrip()
            print(
                f"{line}, {duration(now - self.started_at)}{self._left(done, total, now)}", file=sys.stderr, flush=True
            )

    def _left(self, done, total, now):
        """The time left, in words, at the speed since the first call; "" where that is not known."""
        before, began = self.first
        if not before < done < total:
            return ""
        return f", about {duration((total - done) * (now - began) / (done - before))} left"

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.stop()


def duration(seconds: float) -> str:
    """A time in words: seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
