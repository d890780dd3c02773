"""Libraries that a script loads at their first use, so that its help and its argument errors take no second.

``import keras`` then costs nothing until an attribute of keras is read. (Python's own importlib.util.LazyLoader loads a
module as soon as a second file imports it.) Only scripts do so: in a user's own program, which imports our packages as
a library, everything loads as usual. pipeline.command loads the backend, silently, once the arguments are read. Code
that runs while a file is imported, annotations among it, therefore reads no attribute of these libraries.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import types
from collections.abc import Sequence

NEEDED = ("numpy", "scipy", "h5py", "keras", "foolbox", "sklearn", "matplotlib", "rich")
LIBRARIES = (
    *("eagerpy", "foolbox", "h5py", "itables", "itables.javascript", "keras", "pandas", "submitit"),
    *("matplotlib", "matplotlib.figure", "matplotlib.lines", "matplotlib.patches", "matplotlib.text"),
    *("matplotlib.ticker", "PIL", "rich", "rich.console", "rich.progress", "rich.table", "rich.text"),
    *("scipy", "scipy.io", "scipy.linalg", "scipy.special", "scipy.stats"),
    *("sklearn", "sklearn.datasets", "sklearn.metrics"),
)
OURS = (  # that use one of those as they load
    *("models.batch_norm", "models.compute", "train.fine_tune", "train.robust.optimizer"),
    *("adv.foolbox_model", "adv.generate_adv", "adv.guided.inputs", "dare.graph", "dare.retarget", "dare.transform"),
)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules LIBRARIES and OURS, to be loaded at their first use; while one loads, what it imports is not.

    Remove it from sys.meta_path to have all that follows load at once.
    """

    def __init__(self):
        self.loading = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's specification with a loader that waits, or None: the other finders answer."""
        if self.loading or name not in (*LIBRARIES, *OURS):
            return None
        for finder in sys.meta_path:
            specification = None if finder is self else finder.find_spec(name, path, target)
            if specification is not None:
                specification.loader = _Loader(specification.loader, self)
                return specification
        return None


class _Loader(importlib.abc.Loader):
    """Makes a module that loads itself by the real loader."""

    def __init__(self, loader, finder):
        self.loader, self.finder = loader, finder

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__class__ = _Module

    def load(self, module):
        """Run the module's code, after which it is one as any other."""
        module.__spec__.loader = module.__loader__ = self.loader
        self.finder.loading += 1
        try:
            self.loader.exec_module(module)
        finally:
            self.finder.loading -= 1


class _Module(types.ModuleType):
    """A module whose code has not run yet: it does when an attribute is read, other than by an import."""

    def __getattribute__(self, name):
        if name in ("__spec__", "__class__", "__name__", "__path__"):
            return super().__getattribute__(name)
        loader = self.__spec__.loader
        self.__class__ = types.ModuleType
        loader.load(self)
        return getattr(self, name)


def install() -> None:
    """Load LIBRARIES and OURS late from now on. Exits with status 2 and a sentence where a package is missing."""
    missing = next((name for name in NEEDED if importlib.machinery.PathFinder.find_spec(name) is None), None)
    if missing:
        script = os.path.basename(sys.argv[0])
        print(f"{script}: no module {missing}: run it with .venv/bin/python (make quick makes it)", file=sys.stderr)
        sys.exit(2)
    sys.meta_path.insert(0, Finder())


def load() -> None:
    """Load what OURS are, with the backend, and end the late loading of what is imported from here on."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    for name in OURS:
        if name in sys.modules:
            vars(sys.modules[name])  # loads it
