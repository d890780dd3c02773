"""Presets: how their files are read, and which commands a cell has."""

import pytest

from studies import presets


def test_a_cell_that_no_part_names_has_the_commands_of_the_first():
    parts = [presets.Part((("a", "net", 0),), "one"), presets.Part((("b", "net", 0),), "two")]
    assert presets.cells(parts) == {("a", "net", 0): "one", ("b", "net", 0): "two"}
    assert presets.cells(parts, ["b", "c"]) == {("b", "net", 0): "two", ("c", "net", 0): "one"}
    assert presets.cells(parts, seeds=[3]) == {("a", "net", 3): "one", ("b", "net", 3): "two"}


def test_a_preset_is_lines_and_a_line_that_runs_no_script_is_named(tmp_path, monkeypatch):
    (tmp_path / "one.toml").write_text(
        "[[small]]\ncells = ['a,b net 0,1']\ncommands = '''\nreproduce --quiet\n    --seed 3\npage\n'''\n"
    )
    path, here = tmp_path / "two.toml", presets.FOLDER
    path.write_text("[[small]]\ncells = ['a net 0']\ncommands = 'dare/9_none'\n")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    monkeypatch.setattr(presets, "SCRIPTS", here.parent)
    (part,) = presets.load("one")["small"]
    assert part.cells == (("a", "net", 0), ("a", "net", 1), ("b", "net", 0), ("b", "net", 1))
    assert part.commands == (("reproduce", ["--quiet", "--seed", "3"]), ("page", []))
    with pytest.raises(ValueError, match="two.toml: small runs 'dare/9_none', expected the name of a script"):
        presets.load("two")


def test_a_part_that_is_like_a_preset_has_its_commands(tmp_path, monkeypatch):
    part = "cells = ['a net 0']\n"
    first = f"[[big]]\n{part}commands = 'page --seed 3'\n[[long]]\n{part}like = 'big'\n"
    (tmp_path / "one.toml").write_text(first + "replace = { '--seed 3' = '--seed 4 --quiet' }\n")
    (tmp_path / "two.toml").write_text(first + "replace = { '--seed 5' = '' }\n")
    (tmp_path / "three.toml").write_text(f"[[big]]\n{part}like = 'bigger'\n")
    (tmp_path / "four.toml").write_text(f"[[big]]\n{part}")
    monkeypatch.setattr(presets, "SCRIPTS", presets.FOLDER.parent)
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    assert presets.load("one")["long"][0].commands == (("page", ["--seed", "4", "--quiet"]),)
    for name, sentence in {
        "two": "replaces '--seed 5'",
        "three": "neither commands",
        "four": "neither commands",
    }.items():
        with pytest.raises(ValueError, match=f"{name}.toml: .*{sentence}"):
            presets.load(name)
