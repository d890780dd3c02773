"""Energy that this machine's processors took, where it says: Intel's and AMD's RAPL counters under Linux."""

import pathlib

ROOT = pathlib.Path("/sys/class/powercap")


def _named(domain):
    """The name of a RAPL domain; "psys" contains the packages, and the packages their cores."""
    try:
        return (domain / "name").read_text().strip()
    except OSError:
        return ""


class Meter:
    """``Meter().joules()``: of all processor packages since it was made; None where no counter can be read."""

    def __init__(self, root=ROOT):
        found = sorted(root.glob("intel-rapl:[0-9]*/energy_uj"))
        self.counters = [path for path in found if _named(path.parent).startswith("package-")]
        self.begun = self._read()

    def _read(self):
        try:
            return [int(path.read_text()) for path in self.counters]
        except (OSError, ValueError):
            return []

    def joules(self):
        ended = self._read()
        if not ended or len(ended) != len(self.begun):
            return None
        spent = 0
        for path, before, after in zip(self.counters, self.begun, ended, strict=True):
            if after < before:  # the counter has begun again
                after += int((path.parent / "max_energy_range_uj").read_text())
            spent += after - before
        return spent / 1e6
