"""Refuses every installation but an editable one: elsewhere the packages `data`, `models` and `train` would take names
that other projects use too, and scripts/, results/ and docs/, which they read, would be missing."""

import setuptools
from setuptools.command.bdist_wheel import bdist_wheel


class OnlyEditable(bdist_wheel):
    """No wheel is built; `pip install --editable` needs none."""

    def run(self) -> None:
        raise SystemExit("dare-reproduction is installed from its checkout alone: pip install --editable '.[cpu]'")


setuptools.setup(cmdclass={"bdist_wheel": OnlyEditable})
