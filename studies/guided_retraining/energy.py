"""Energy consumed by the processors, from the RAPL counters of Intel and AMD under Linux."""

import pathlib

ROOT = pathlib.Path("/sys/class/powercap")


def _named(domain):
    """The name of a RAPL domain; "psys" contains the packages, and the packages their cores."""
    try:
        return (domain / "name").read_text().strip()
    except OSError:
        return ""


class Meter:
    """``Meter().joules()``: energy of all processor packages since the Meter was created; None without counters."""

    def __init__(self, root=ROOT):
        paths = sorted(root.glob("intel-rapl:[0-9]*/energy_uj"))
        self.counters = [path for path in paths if _named(path.parent).startswith("package-")]
        self.at_start = self._read()

    def _read(self):
        try:
            return [int(path.read_text()) for path in self.counters]
        except (OSError, ValueError):
            return []

    def joules(self) -> float | None:
        """Joules since the Meter was created; None if no counter can be read."""
        ended = self._read()
        if not ended or len(ended) != len(self.at_start):
            return None
        spent = 0
        for path, before, after in zip(self.counters, self.at_start, ended, strict=True):
            if after < before:  # the counter has wrapped around
                after += int((path.parent / "max_energy_range_uj").read_text())
            spent += after - before
        return spent / 1e6
