"""The white-box study's levels, choice of learning rate, tables and figure, of synthetic trajectories."""

import copy
import dataclasses

import numpy
import pytest

from adv import attacks
from reporting import figures, tables
from studies.hardening import figures as hardening_figures
from studies.hardening import levels
from studies.hardening import tables as hardening_tables

START = {"clean": 90.0, "near": 40.0, "far": 1.0, "choice clean": 91.0, "choice near": 42.0}
ZERO = {"updates": 0, "bp_epochs": 0.0, "weight_change": 0.0, "weight_change_regression": 0.0}


def trajectory(rate, gain, *, seed=0, repeat=0, cost=0.5, speed=1.0):
    """Points at 1, 2 and 4 BP-epochs; every BP-epoch gains so many points under attack and costs clean ones."""
    points = [ZERO | START]
    for effort in (1, 2, 4):
        change = 0.02 * speed * effort
        accuracies = {"clean": 90 - cost * effort, "near": 40 + gain * effort, "far": 1 + effort}
        accuracies |= {"choice clean": 91 - cost * effort, "choice near": 42 + gain * effort}
        effort = {"updates": 10 * effort, "bp_epochs": float(effort), "weight_change": change}
        points.append(effort | {"weight_change_regression": 1.5 * change} | accuracies)
    return {"seed": seed, "samples": 500 + seed, "learning_rate": rate, "repeat": repeat, "points": points}


@pytest.fixture
def line(synthetic):
    """One row: method, its role, trajectories; a single model has the budget 0."""

    def line(method, role, trajectories, *, seed=0, budget=4.0, **changes):
        measures = {
            "clean": synthetic.measure(88.0, n=1000, interval=[85.8, 89.9]),
            "white-box/worst@0.02": synthetic.measure(50.0, n=300, interval=[44.4, 55.6]),
            "white-box/worst@0.1": synthetic.measure(2.0, n=300, interval=[0.9, 4.3]),
        }
        settings = {"width": 0.25, "source_epochs": 24}
        if budget:
            settings |= {"epsilon": 0.02, "steps": 3, "bp_epochs": budget, "batch_size": 128, "preparation": 0.5}
        facts = {
            "study": "hardening",
            "seeds": [seed],
            "repeats": 1,
            "hyperparameters": settings,
            "epsilons": {"near": 0.02, "far": 0.1},
            "images": {"clean": 1000, "near": 300, "far": 300, "choice clean": 500, "choice near": 200},
            "attacks": {"white-box/worst": {"worst case of": "fgsm, pgd-restarts", "restarts": 3}},
            "trajectories": trajectories,
        }
        return synthetic.whole(synthetic.row(method, role, f"title of {method}", measures, **(facts | changes)))

    return line


def single(change, **values):
    point = ZERO | START | {"weight_change": change, "weight_change_regression": change} | values
    return [{"seed": 0, "samples": 500, "learning_rate": None, "repeat": 0, "points": [point]}]


@pytest.fixture
def study(line):
    """The original, two strategies of two learning rates and repeats each, and swa."""
    fast = [trajectory(3e-4, gain, repeat=repeat, speed=2) for repeat, gain in enumerate((3.0, 4.0))]
    slow = [trajectory(1e-4, gain, repeat=repeat) for repeat, gain in enumerate((2.0, 2.2))]
    return [
        line("swa", "control", single(0.07, near=44.0), budget=0),
        line("pgd-training", "baseline", [trajectory(1e-4, 2.5, repeat=repeat) for repeat in (0, 1)]),
        line("feature-adversarial", "method", slow + fast),
        line("original", "original", single(0.0), budget=0),
    ]


def test_interpolation_equals_numpy():
    points = trajectory(1e-4, 3.0)["points"]
    for axis in ("weight_change", "bp_epochs"):
        along = [point[axis] for point in points]
        for level in numpy.linspace(0, along[-1], 13):
            values = levels.interpolated(points, axis, level)
            for name in points[0]:
                assert values[name] == pytest.approx(numpy.interp(level, along, [point[name] for point in points]))
    assert levels.interpolated(points, "bp_epochs", 4.001) is None
    assert levels.interpolated(points[:1], "bp_epochs", 0.5) is None
    back = [{"x": 0.0, "y": 0.0}, {"x": 2.0, "y": 2.0}, {"x": 1.0, "y": 5.0}, {"x": 3.0, "y": 9.0}]
    assert levels.interpolated(back, "x", 1.5) == {"x": 1.5, "y": 1.5}, "where the level is reached first"


def test_the_learning_rate_is_chosen_on_held_out_images_alone():
    good, other = trajectory(1e-4, 2.0), trajectory(3e-4, 5.0)
    rate, [values] = levels.chosen([good, other], "bp_epochs", 2.0)
    assert rate == 3e-4 and values["near"] == 50
    for point in good["points"]:  # only what is measured on x_test: the choice stays
        point |= {"near": 99.0, "clean": 99.0, "far": 99.0}
    assert levels.chosen([good, other], "bp_epochs", 2.0)[0] == 3e-4


def test_a_bounded_cost_of_clean_accuracy():
    """The point with the most robustness that costs little enough, by the held-out images alone."""
    mild, costly = trajectory(1e-4, 2.0, cost=0.25), trajectory(3e-4, 5.0, cost=0.6)
    for cost, rate, updates in ((0.0, 1e-4, 0), (0.3, 1e-4, 10), (0.5, 1e-4, 20), (0.6, 3e-4, 10), (2.0, 3e-4, 20),
                                (9.0, 3e-4, 40)):  # fmt: skip
        chosen_rate, [values] = levels.within_cost([mild, costly], cost)
        assert (chosen_rate if updates else rate, values["updates"]) == (rate, updates), cost
    for point in mild["points"]:
        point |= {"near": 99.0, "clean": 0.0}
    assert levels.within_cost([mild, costly], 0.5)[1][0]["updates"] == 20
    short = trajectory(3e-4, 5.0, cost=0.6, repeat=1)
    short["points"] = short["points"][:2]
    rate, values = levels.within_cost([costly, short], 9.0)
    assert [value["updates"] for value in values] == [10, 10], "only where every repeat was measured"


def test_a_rate_counts_where_all_its_repeats_reach_the_level():
    short = trajectory(3e-4, 9.0, repeat=1)
    short["points"] = short["points"][:2]
    rates = [trajectory(1e-4, 2.0), trajectory(1e-4, 2.0, repeat=1), trajectory(3e-4, 9.0), short]
    assert levels.chosen(rates, "bp_epochs", 1.0)[0] == 3e-4
    assert levels.chosen(rates, "bp_epochs", 2.0)[0] == 1e-4
    assert levels.chosen(rates, "bp_epochs", 8.0) is None


def test_seeds_are_pooled_with_their_spread(line):
    gains = {0: (2.0, 3.0), 1: (4.0, 6.0)}
    rows = []
    for seed, own in gains.items():
        trajectories = [trajectory(1e-4, gain, seed=seed, repeat=place) for place, gain in enumerate(own)]
        rows.append(line("a", "method", trajectories, seed=seed))
    rates, values, spread = levels.at_level(rows[0], "bp_epochs", 2.0)
    assert rates == [1e-4] and values["near"] == 45 and spread["near"] == pytest.approx(numpy.std([44, 46], ddof=1))
    pooled = hardening_tables.pool(rows)
    assert pooled["seeds"] == [0, 1] and len(pooled["trajectories"]) == 4
    rates, values, spread = levels.at_level(pooled, "bp_epochs", 2.0)
    assert rates == [1e-4, 1e-4] and values["near"] == 47.5
    assert spread["near"] == pytest.approx(numpy.std([45, 50], ddof=1))
    assert hardening_tables.tables([pooled]) == hardening_tables.tables(rows)


def test_tables(study):
    by_name = {table.name.removeprefix("hardening-fashion_mnist-alexnet-"): table
            for table in hardening_tables.tables(study)}  # fmt: skip
    assert list(by_name) == ["change", "passes", "cost", "end"]
    cells = {
        name: {line[0]: [str(cell) for cell in line[1:]] for line in table.rows} for name, table in by_name.items()
    }
    assert list(cells["end"]) == ["original", "feature-adversarial", "pgd-training", "swa"]
    assert by_name["passes"].columns[1:3] == ("BP-epochs 1: worst case at epsilon 0.02", "BP-epochs 1: clean")
    assert cells["passes"]["pgd-training"] == [
        "42.5 ± 0.0", "89.5 ± 0.0", "45.0 ± 0.0", "89.0 ± 0.0", "50.0 ± 0.0", "88.0 ± 0.0"
    ]  # fmt: skip
    assert cells["passes"]["feature-adversarial"][:2] == ["43.5 ± 0.7", "89.5 ± 0.0"]
    changes = [column.split(":")[0] for column in by_name["change"].columns[1::2]]
    assert changes == ["weight change 0.02", "weight change 0.05", "weight change 0.1"]
    assert cells["change"]["pgd-training"][-2:] == ["-", "-"], "it does not move so far"
    assert cells["change"]["pgd-training"][2] == "46.2 ± 0.0"
    assert cells["end"]["swa"] == ["-", "0.0700", "0.0700", "0.00", "-", "90.0", "44.0", "1.0"]
    rate, *rest = cells["end"]["feature-adversarial"]
    assert rate == "0.0003" and rest[3] == "0.5" and rest[4:] == ["88.0 ± 0.0", "54.0 ± 2.8", "5.0 ± 0.0"]
    assert by_name["cost"].columns[1] == "cost of at most 0.5: worst case at epsilon 0.02"
    assert cells["cost"]["feature-adversarial"][::2] == ["43.5 ± 0.7", "47.0 ± 1.4", "54.0 ± 2.8"]
    notes = "\n".join(by_name["end"].notes)
    for words in ("BP-epochs: forward", "over repeats; seeds 0", "worst case of fgsm, pgd-restarts", "5.6 points",
                  "swa: title of swa"):  # fmt: skip
        assert words in notes
    for table in by_name.values():
        assert tables.markdown(table) and tables.latex(table) and tables.to_csv(table)


def test_accuracies_under_fgsm_and_pgd_alone_are_not_headed_as_a_worst_case(study):
    runs = {str(place): attacks.get(name).specification() for place, name in enumerate(("fgsm", "pgd"))}
    used = {"white-box/worst": {"worst case of": "fgsm, pgd-restarts", "runs": runs}}
    for table in hardening_tables.tables([dataclasses.replace(row, attacks=used) for row in study]):
        headings = [column for column in table.columns if "at epsilon" in column]
        assert headings and all("fgsm, pgd-restarts at epsilon 0." in column for column in headings)
        assert any("so this is no worst case" in note for note in table.notes)


def test_single_models_alone_have_one_table(study):
    [end] = hardening_tables.tables([row for row in study if row["method"] in ("original", "swa")])
    assert end.name.endswith("-end") and len(end.rows) == 2
    assert hardening_tables.tables([]) == []


def test_a_strategy_that_always_diverges_shows_nothing(study):
    for run in study[1]["trajectories"]:
        run["points"] = run["points"][:1]
    for table in hardening_tables.tables(study):
        [line] = [line for line in table.rows if line[0] == "pgd-training"]
        cells = {str(cell) for cell in line[1:]}
        assert cells <= ({"40.0 ± 0.0", "90.0 ± 0.0"} if table.name.endswith("cost") else {"-", "0.5"})
    assert hardening_figures.trajectories(study)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row["images"].update(near=7), "differ in images: measure them alike"),
        (lambda row: row["epsilons"].update(near=0.1), "differ in epsilons"),
        (lambda row: row["attacks"].clear(), "differ in attacks"),
        (lambda row: row["hyperparameters"].update(steps=9), "differ in steps: make them alike"),
        (lambda row: row["hyperparameters"].update(bp_epochs=9.0), "differ in bp_epochs"),
        (lambda row: row["trajectories"][0].update(samples=9), "differ in samples"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(study, change, words):
    study[1] = copy.deepcopy(study[1])
    change(study[1])
    with pytest.raises(ValueError, match=words):
        hardening_tables.tables(study)


def test_a_line_without_every_seed_is_named(line):
    rows = [line(name, "method", [trajectory(1e-4, 2.0, seed=seed)], seed=seed) for name, seed in
            (("a", 0), ("a", 1), ("b", 0))]  # fmt: skip
    notes = "\n".join(hardening_tables.tables(rows)[0].notes)
    assert "over seeds; seeds 0, 1." in notes and "some of these seeds are missing: b." in notes


def test_the_figure_is_always_the_same_and_has_a_line_a_strategy(study, tmp_path):
    figure = hardening_figures.trajectories(study)
    figures.save(figure, tmp_path / "a.png", dpi=60)
    figures.save(hardening_figures.trajectories(study), tmp_path / "b.png", dpi=60)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    attacked, effort = figure.axes[:2]
    names = {"original", "feature-adversarial", "pgd-training"}
    assert {line.get_label() for line in attacked.lines} == names | {"swa"}
    assert {line.get_label() for line in effort.lines} == names
    [ours] = [line for line in effort.lines if line.get_label() == "feature-adversarial"]
    x, y = ours.get_data()
    numpy.testing.assert_allclose(y, 40 + 3.5 * x)
    with pytest.raises(ValueError, match="of 0 data sets and models to draw"):
        hardening_figures.trajectories([])
