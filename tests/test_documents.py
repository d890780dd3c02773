"""The documents say what is measured, name what is there, and their commands and examples work."""

import csv
import json
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tomllib

import pytest

import data
import models
from adv import attacks
from adv.guided import configuration, ordering
from dare import controls, dare
from reporting import document_sections, tables
from studies import deviations, pages, presets, publish
from train import robust

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "REPRODUCTION.md",
    "benchmarks/README.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
DARE = TEXTS["docs/dare.md"]
README, ALL = TEXTS["README.md"], "\n".join(TEXTS.values())
EXAMPLES = re.findall(r"```python\n(.*?)```", README + TEXTS["docs/api.md"], re.DOTALL)
ROOMS = ("adv", "dare", "data", "models", "pipeline", "reporting", "studies", "train")
TOP = (*ROOMS, "benchmarks", "docs", "scripts", "tests")


def test_generated_sections_and_tables_say_what_was_measured():
    rows = publish.measured()
    assert publish.write(rows, check=True) == []
    tables_by_name = {table.name: table for table in publish.all_tables(rows)}
    for document in publish.DOCUMENTS:
        text = TEXTS[document]
        for name in set(document_sections.names(ROOT / document)) - set(tables_by_name):
            assert f"<!-- generated: {name} -->\n<!-- end generated -->" in text, f"{document}: {name} is not measured"
    table_names = {path.stem for path in (ROOT / "results" / "tables").glob("*.csv")}
    assert table_names == set(tables_by_name)
    page_paths = {path.relative_to(ROOT) for path in (ROOT / pages.FOLDER).iterdir()}
    assert page_paths == set(pages.pages(rows, list(tables_by_name.values()), ROOT))
    for name, table in tables_by_name.items():
        assert (ROOT / "results" / "tables" / f"{name}.csv").read_text(encoding="utf-8") == tables.to_csv(table)


def test_a_changed_row_is_noticed(tmp_path, monkeypatch):
    """The check above can fail: a section that holds another value than the rows is an error."""
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    measure = {"clean": {"value": 90.0, "n": 100, "values": [90.0], "spread": None, "published": None}}
    row = {"study": "dare", "dataset": "digits", "model": "alexnet", "method": "original", "title": "original"}
    row |= {"role": "original", "hyperparameters": {}, "seeds": [0], "repeats": 1, "measures": measure}
    row |= {"verified": True, "command": "python test.py", "commands": None, "commit": None, "device": "a machine"}
    text = "<!-- generated: dare-digits-alexnet-er -->\n<!-- end generated -->\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert publish.write([row])
    assert publish.write([row], check=True) == []
    measure["clean"]["value"] = 91.0
    with pytest.raises(ValueError, match="differs from the measured results"):
        publish.write([row], check=True)


def test_measured_rows_hold_no_path_of_one_machine():
    for path in (ROOT / "results" / "measured").rglob("*.json"):
        row = json.loads(path.read_text(encoding="utf-8"))
        for command in (row["command"], *(row["commands"] or {}).values()):
            absolute = [word for word in shlex.split(command) if word.startswith(("/", "~"))]
            assert not absolute, f"{path.name}: {command}"


@pytest.mark.parametrize("document", PAGES)
def test_every_link_and_path_exists(document):
    path, text = ROOT / document, TEXTS[document]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    for link in links:
        target, _, anchor = link.partition("#")
        assert (path.parent / target).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (path.parent / target if target else path).read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], link
    words = {word for code in re.findall(r"`([^`\n]+)`", text) for word in code.split()}
    paths = [word for word in words if word.split("/")[0] in TOP and "/" in word and not set(word) & set("*<")]
    for word in paths:
        assert (ROOT / word).exists(), word


def commands(text):
    """Every command line of a document that runs a script of ours: [script path, options]."""
    lines = re.findall(r"(?:python )?(scripts/[\w/]+\.py)([^`#\n]*)", text)
    return [(path, re.findall(r"--[\w-]+", options)) for path, options in lines]


def shared_sources():
    """The text of what scripts' parsers are made of."""
    paths = [path for room in ("pipeline", "reporting", "studies") for path in (ROOT / room).rglob("*.py")]
    return "".join(path.read_text(encoding="utf-8") for path in paths)


def test_commands_name_scripts_and_options_that_exist():
    common = shared_sources()
    assert len(commands(ALL)) > 40
    for path, options in commands(ALL):
        source = (ROOT / path).read_text(encoding="utf-8")
        for option in options:
            assert f'"{option}"' in source + common, f"{path} {option}"


def test_every_option_that_is_named_exists():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts").rglob("*.py"))
    sources += shared_sources() + '"--help"'
    for option in set(re.findall(r"(?<![\w<-])--[a-z][\w-]*", ALL)) - {"--tag", "--rm", "--build-arg", "--editable"}:
        assert f'"{option}"' in sources, option


def test_the_readme_begins_with_the_two_commands():
    assert re.search(r"```\nmake quick .*\nmake test .*\n```", README)
    assert README.index("make test") < 1000
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"(?:^|`|&& )make ([a-z]+)", README, re.MULTILINE):
        assert target in targets, target


def test_the_readme_is_short_and_reproduction_one_page():
    assert README.count("\n") < 200
    assert TEXTS["REPRODUCTION.md"].count("\n") < 200


def test_the_small_preset_is_the_list_of_the_documents():
    commands = [
        f"scripts/{script}.py {' '.join(options)}"
        for study in ("dare", "ablation", "hardening")
        for script, options in next(iter(presets.cells(presets.load(study)["small"]).values()))
    ]
    lists = re.findall(r"^python (scripts/(?:dare|ablation|hardening)/\d\w*\.py) +(\$cell[^#\n]*)", ALL, re.MULTILINE)
    assert len(lists) > 8
    for path, options in lists:
        lines = [line for line in commands if path in line]
        if path.endswith("8_tables.py"):
            continue
        documented = [option.split() for option in re.findall(r"--[\w-]+(?: (?!--)[\w.-]+)*", options)]
        assert any(all(holds(line, name, values) for name, *values in documented) for line in lines), (
            f"{path} {options}"
        )


def holds(line, name, values):
    """Whether a command has the option with all of these values, perhaps among others; per is .95 by default."""
    matches = re.findall(rf"{name}((?: (?!--)[\w.-]+)*)", line)
    return (name, values) == ("--per", ["0.95"]) or any(set(values) <= set(each.split()) for each in matches)


CATALOGUES = {
    "data set": data.DATASETS,
    "model": models.MODELS,
    "attack": attacks.ATTACKS,
    "variant": dare.VARIANTS,
    "control": controls.CONTROLS,
    "method": robust.METHODS,
    "metric": ordering.METRICS,
    "configuration": configuration.CONFIGURATIONS,
}


@pytest.mark.ours
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, catalogue in CATALOGUES.items() for name in catalogue]
)
def test_every_catalogue_entry_is_documented_and_has_a_source(kind, name):
    entry = CATALOGUES[kind][name]
    assert f"`{name}`" in ALL, f"{kind} {name} is in none of the documents"
    citation = getattr(entry, "citation", None)
    if kind in ("data set", "model", "attack") or (kind == "method" and name != "standard"):
        assert citation and re.search(r"\d{4}", citation), f"{kind} {name} has no citation with a year"
        assert citation.split(",")[0] in ALL, f"{citation} is in none of the documents"
    else:
        assert entry if isinstance(entry, str) else entry.title


def test_every_file_with_a_deviation_is_listed():
    for room in deviations.ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if path.name != "deviations.py" and re.search(r"\[[DI]\]", path.read_text(encoding="utf-8")):
                assert f"`{path.relative_to(ROOT)}`" in TEXTS["docs/deviations.md"], path.relative_to(ROOT)


def test_the_published_numbers_are_those_of_the_sheets():
    def sheet(name):
        with open(ROOT / "results" / "published" / f"{name}.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    methods = ("Dare", "adv_PGD", "adv_JSMA", "adv_CW", "adv_FGSM")
    cells = {}
    for line in sheet("dare_tosem_empirical_robustness"):
        cell = cells.setdefault((line["dataset"], line["model"], line["tested_with"]), {name: [] for name in methods})
        for name in methods:
            cell[name].append(float(line[name]))
    means = [{name: statistics.mean(values) for name, values in cell.items()} for cell in cells.values()]
    best = [max(cell, key=cell.get) for cell in means]
    assert f"{best.count('Dare')} of {len(best)}" in DARE
    assert f"{max(best.count(name) for name in methods[1:])} of {len(best)}" in DARE
    overall = [f"{statistics.mean(cell[name] for cell in means):.1f}" for name in methods]
    assert f"{overall[0]}; {', '.join(overall[1:])} %" in DARE
    for title, name in (("Fashion-MNIST", "FM"), ("CIFAR-10", "CIFAR10"), ("SVHN", "SVHN")):
        values = [statistics.mean(cells[name, "AlexNet", attack]["Dare"]) for attack in ("FGSM", "PGD")]
        assert f"{title} {values[0]:.1f} and {values[1]:.1f} %" in DARE
    changes = [100 * (float(line["dare"]) - float(line["original"])) for line in sheet("dare_tosem_clean_accuracy")]
    assert f"{min(changes):.1f} to +{max(changes):.1f} points" in DARE
    for line in sheet("dare_readme_models"):
        assert line["published_accuracy_percent"] in DARE


def test_requirements_of_all_backends_agree():
    """Each file pins an extra of pyproject.toml, every pin with its hash, and all files pin the same versions."""
    pins, names = {}, {}
    for kind in ("", "-gpu", "-jax", "-test"):
        text = (ROOT / f"requirements{kind}.txt").read_text(encoding="utf-8")
        locked = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(locked) == text.count("==") - text.count(" == "), kind
        names[kind] = {name for name, _ in locked}
        for name, version in locked:
            assert pins.setdefault(name, version) == version, f"{name} in requirements{kind}.txt"
    assert names[""] < names["-test"]
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    for kind, extra in (("", "cpu"), ("-gpu", "gpu"), ("-jax", "jax")):
        declared = [*project["dependencies"], *extras[extra], *extras["cluster"], *extras["page"]]
        assert {re.match(r"[\w.-]+", line)[0] for line in declared} <= names[kind], kind


@pytest.mark.slow
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    """All of them in order, in one namespace, as somebody would paste them."""
    monkeypatch.chdir(tmp_path)
    examples = EXAMPLES
    namespace = {}
    for example in examples:
        exec(compile(example, "example", "exec"), namespace)
    assert len(examples) == 9
    assert namespace["tuned"].count_params() == namespace["mine"].count_params()
    assert namespace["images"].shape == namespace["x"].shape


@pytest.mark.slow
def test_only_an_editable_installation_is_made(tmp_path):
    """In site-packages `data`, `models` and `train` would be other projects' names too."""
    copy = tmp_path / "source"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "runs", "results", "tests", "build", "*.egg-info"))
    wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, copy]
    completed = subprocess.run(wheel, capture_output=True, text=True)
    assert completed.returncode and "is installed from its checkout alone" in completed.stdout + completed.stderr
    assert not list(tmp_path.glob("*.whl"))
    with open(ROOT / "pyproject.toml", "rb") as file:
        rooms = tomllib.load(file)["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(rooms) == sorted(f"{room}*" for room in ROOMS)


def test_the_published_repairs_are_those_of_the_sheet():
    page = (ROOT / "docs" / "repair.md").read_text(encoding="utf-8")
    with open(ROOT / "results" / "published" / "fixing_study.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    before = {line["dataset"]: line["clean"] for line in lines if line["method"] == "original"}
    repaired = [line for line in lines if line["method"] != "original"]
    assert len(repaired) == 4
    for line in repaired:
        hours = (
            f"{float(line['minutes']) / 60:.1g}" if float(line["minutes"]) < 60 else f"{float(line['minutes']) / 60:g}"
        )
        values = f"{line['clean']} ({before[line['dataset']]}) | {line['rr']} | {line['nfr']} | {hours} |"
        assert f"| {line['method'].title()} | {values}" in page
