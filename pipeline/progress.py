"""Progress of long work: a bar on a terminal, otherwise a line from time to time."""

import sys
import time

import rich.console
import rich.progress


class Progress:
    """``with Progress("train", quiet) as progress: progress(done, total, note)``.

    A bar on a terminal; otherwise a plain line at most every ten seconds and at the end; nothing if quiet. Both show
    the time spent in this process.
    """

    def __init__(self, title: str, quiet: bool = False):
        self.title, self.quiet = title, quiet
        self.console = rich.console.Console(stderr=True)
        self.bar, self.task = None, None
        self.begun = self.last_line = time.monotonic()

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
        if now - self.last_line > 10 or done == total:
            self.last_line = now
            line = f"{self.title}: {done}/{total} {note}".rstrip()
            print(f"{line}, {now - self.begun:.0f} s", file=sys.stderr, flush=True)

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.stop()
