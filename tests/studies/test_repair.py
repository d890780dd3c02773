"""The repair study's tables, claims and figure, of synthetic rows, and its paired differences, of synthetic flags."""

import dataclasses
import types

import numpy
import pytest

import data
from dare.flags import Flags
from reporting import figures, tables
from studies.dare import trained_cell
from studies.repair import attach, claims, report
from studies.repair import cell as repair_cell
from studies.repair import figures as drawing
from studies.repair import tables as repair_tables
from train.history import History, confidence

N = 400


def differences(**values):
    """reference -> measure -> a difference with an interval of a point to each side."""
    return {
        reference.replace("_", "-"): {
            measure: {"value": value, "interval": [value - 1, value + 1], "n": N} for measure, value in own.items()
        }
        for reference, own in values.items()
    }


@pytest.fixture
def line(synthetic):
    """One row: method, role, (clean, RR, NFR, ER, AutoAttack) in percent; other differences on demand."""

    def line(method, role, clean, rr, nfr, er, attacked, *, noise=True, **changes):
        values = {"clean": clean, "rr": rr, "nfr": nfr, "br": 1.1 * nfr, "rr-seen": rr + 20, "er/fgsm": er}
        values |= {} if attacked is None else {"white-box/autoattack@0.02": attacked}
        measures = {name: synthetic.measure(value, n=N, interval=[value, value]) for name, value in values.items()}
        if noise:
            measures |= {
                f"noise-{name}": synthetic.measure(entry["value"] / 2, n=N) for name, entry in measures.items()
            }
        facts = {"study": "repair", "repeats": 1, "changed": [12], "relative_change": [0.01], "forward": [1000]}
        facts |= {"backward": [500], "facts": [{"located": 12}], "p": [0.25]}
        facts |= {"hyperparameters": {"width": 0.25, "source_epochs": 24}}
        return synthetic.whole(synthetic.row(method, role, f"title of {method}", measures, **(facts | changes)))

    return line


@pytest.fixture
def cell(line):
    """A cell in which NeuRecover breaks less than DARE, history changes nothing, and one method beats swa."""
    by_noise = {"white-box/autoattack@0.02": 5.0, "clean": 0.0}
    against_dare = {"nfr": -4.0, "er/fgsm": -20.0}
    return [
        line("swa", "control", 88, 10, 1, 60, 30),
        line("original", "original", 87, 0, 0, 0, 25, noise=False, changed=[0], relative_change=[0.0]),
        line("dare", "method", 86, 12, 5, 50, 26, differences=differences(swa={"clean": -3.0, "er/fgsm": 2.0})),
        line("neurecover", "baseline", 87, 4, 1, 30, 25, differences=differences(dare=against_dare)),
        line("neurecover-history", "baseline", 87, 4, 1, 30, 25,
             differences=differences(neurecover={"clean": 0.2})),
        line("median", "baseline", 88, 10, 1, 70, 31,
             differences=differences(swa={"clean": 0.0, "er/fgsm": 10.0}, noise=by_noise)),
        line("ensemble", "baseline", 90, 30, 1, 90, None, noise=False, changed=[None], relative_change=[None]),
    ]  # fmt: skip


def test_the_tables_have_a_line_for_each_method_with_its_cost(line, cell):
    whole, noise = repair_tables.tables(cell)
    lines = {str(line[0]): line for line in whole.rows}
    assert next(iter(lines)) == "original" and len(lines) == len(cell)
    assert whole.columns[1:5] == (f"clean (n={N})", f"RR (n={N})", f"NFR (n={N})", f"BR (n={N})")
    assert [str(each) for each in lines["median"][-4:]] == ["12", "1.00", "1000", "500"]
    assert [str(each) for each in lines["ensemble"][-5:-2]] == ["-", "-", "-"], "not attacked, not one weight set"
    assert any("ensemble is not one model" in note and "not attacked" in note for note in whole.notes)
    attacked = [
        *cell[:-1],
        line("ensemble", "baseline", 90, 30, 1, 90, 40, noise=False, changed=[None], relative_change=[None]),
    ]
    whole_attacked = repair_tables.tables(attacked)[0]
    assert any("ensemble is not" in note and "not attacked" not in note for note in whole_attacked.notes)
    beyond = {str(line[0]): line for line in noise.rows}
    assert set(beyond) == set(lines) - {"original", "ensemble"}
    assert str(beyond["median"][1]) == "44.0" and str(beyond["median"][-1]) == "0.250"
    assert tables.to_csv(whole) and tables.markdown(noise)


def checks_of_noise(*, gradient, saturated):
    """The noise_checks of a row."""
    names = {"logits": True, "gradient": gradient, "saturated": saturated <= 10}
    values = {"saturated": saturated}
    return [
        {"name": name, "passed": passed, "seen": "seen", "expected": "expected", "value": values.get(name)}
        for name, passed in names.items()
    ]


def test_the_noise_under_attack_is_checked_and_says_so(line, cell):
    """Beside its accuracy stand its saturated fraction and its gradient; the method itself is not marked for it."""
    other = [row for row in cell if row["method"] not in ("swa", "median")]
    effect = differences(noise={"white-box/autoattack@0.02": 5.0})
    of_noise = {
        "median": checks_of_noise(gradient=False, saturated=12.5),
        "swa": checks_of_noise(gradient=True, saturated=2.0),
    }
    rows = [
        *other,
        *(
            line(name, "baseline", 88, 10, 1, 70, 31, noise_checks=checks, differences=effect)
            for name, checks in of_noise.items()
        ),
    ]
    whole, noise = repair_tables.tables(rows)
    attacked = noise.columns.index(f"noise autoattack@0.02 (n={N})")
    assert noise.columns[attacked + 1 : attacked + 3] == ("noise saturated, %", "noise gradient")
    shown = {str(each[0]): [str(entry) for entry in each[attacked : attacked + 3]] for each in noise.rows}
    assert shown["median †"] == ["15.5", "12.5", "raised"] and shown["swa"] == ["15.5", "2.0", "passed"]
    assert shown["dare"] == ["13.0", "not measured", "not measured"], "an older row"
    assert any("median (noise-gradient, noise-saturated)" in note for note in noise.notes)
    assert "median" in [str(each[0]) for each in whole.rows], "its own checks were passed"
    judged = claims.repair_claims(rows)
    assert any("weight noise beside median (gradient, saturated)" in note for note in judged.notes)
    assert judged.claims[6].verdict != "not measured"
    [(_, _, figure)] = report.figures(rows)
    assert "†" in {text.get_text() for axis in figure.axes for text in axis.texts}
    two = [dataclasses.replace(line("swa", "control", 88, 10, 1, 60, 30, noise_checks=of_noise[name]), seeds=[seed])
           for seed, name in enumerate(of_noise)]  # fmt: skip
    pooled = repair_tables.pool(two)["noise_checks"]
    assert [check["name"] for check in pooled if not check["passed"]] == ["gradient", "saturated"]


def test_the_verdicts_follow_from_the_differences(cell):
    judged = claims.repair_claims(cell)
    verdicts = [claim.verdict for claim in judged.claims]
    assert verdicts == ["holds", "does not hold", "undecided", "not measured", "holds", "holds", "holds"]
    assert judged.name == "repair-fashion_mnist-alexnet-claims"
    broken = judged.claims[0].evidence
    assert broken.startswith("nfr: dare minus neurecover +4.0 points")
    assert "1,500 image passes" in judged.claims[4].evidence and "median minus swa" in judged.claims[4].evidence
    nothing = claims.repair_claims(cell[:2])
    assert {claim.verdict for claim in nothing.claims} == {"not measured"}


def test_a_method_that_costs_clean_accuracy_does_not_beat_swa(cell):
    without = [row for row in cell if row["method"] != "median"]
    assert claims.repair_claims(without).claims[4].verdict == "not measured", "DARE loses three points"


def test_a_method_of_more_passes_than_swa_does_not_beat_it_at_equal_cost(line, cell):
    cheaper = line("swa", "control", 88, 10, 1, 60, 30, backward=[499])
    beyond, at_equal_cost = claims.repair_claims([cheaper, *cell[1:]]).claims[4:6]
    assert beyond.verdict == "holds" and at_equal_cost.verdict == "not measured"
    assert claims.repair_claims(cell[1:]).claims[5].verdict == "not measured", "no swa"


def test_the_figure_draws_every_method_and_needs_the_original(cell, tmp_path):
    [(name, _, figure)] = report.figures(cell)
    assert name == "fashion_mnist-alexnet-repair"
    figures.save(figure, tmp_path / "figure.png")
    labels = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert labels == {row["method"] for row in cell if row["role"] != "original"}
    with pytest.raises(ValueError, match="no row of the original"):
        drawing.draw_cell(cell[2:])


def flags(correct, noise=None):
    """Flags of the measure clean, and of noise."""
    groups = {"clean": correct} | ({} if noise is None else {"noise-clean": noise})
    label = {name: numpy.ones(N, "int32") for name in groups}
    predicted = {name: part.astype("int32") for name, part in groups.items()}
    return Flags(predicted, label, {name: numpy.arange(N) for name in groups}, {}, model="m", data="d")


def test_differences_are_paired_with_other_methods_and_with_own_noise(line, tmp_path):
    generator = numpy.random.default_rng(0)
    base = generator.random(N) < 0.8
    better = base | (generator.random(N) < 0.3)
    rows = [line(name, "baseline", 88, 10, 1, 70, 31) for name in ("median", "swa")]
    folders = {}
    for row, row_flags in zip(rows, (flags(better, base), flags(base)), strict=True):
        folder = tmp_path / "seed0" / f"repair-{row['method']}"
        folder.mkdir(parents=True)
        row_flags.save(folder / "flags-0.h5")
        folders["repair", row["dataset"], row["model"], row["method"]] = [folder]
    median, swa = attach.attach(rows, folders)
    expected = 100 * (better.mean() - base.mean())
    for reference in ("swa", "noise"):
        assert median["differences"][reference]["clean"]["value"] == pytest.approx(expected, abs=0.01)
    assert "noise" not in swa.get("differences", {}), "no noise was measured"
    assert attach.attach(rows, {}) == rows


@pytest.fixture
def unseen(small_net, images, tmp_path, monkeypatch):
    """(a Cell of a small net with a history, its Trained with x_test of NaN, its arguments)."""
    (x, y), generator, history = images, numpy.random.default_rng(0), History(tmp_path / "history")
    start = small_net.get_weights()
    for epoch in range(1, 5):
        small_net.set_weights([w + 0.2 * generator.standard_normal(w.shape, "float32") ** 2 for w in start])
        history.save(small_net, epoch, *confidence(small_net, x, y))
    rows = numpy.arange(len(y))
    split = data.Split(x, y, x, y, x, y, rows, rows, ("a", "b", "c"), 0, "fingerprint")
    trained = trained_cell.Trained(split, history, small_net, small_net.get_weights(), "identity")
    monkeypatch.setattr(trained_cell, "load", lambda arguments: trained)
    monkeypatch.setattr(trained_cell, "adversarial_sets", lambda *arguments: {})
    arguments = types.SimpleNamespace(
        attack=[], epsilon=0.05, seed=0, images=4, failures="clean", norm_images=20, most_failures=10, most_kept=10,
        quiet=True, particles=5, generations=2, attack_repeats=0, attacked=["all"], confusion=None,
    )  # fmt: skip
    nothing = dataclasses.replace(split, x_test=numpy.full(x.shape, numpy.nan, "float32"))
    return repair_cell.Cell(arguments), dataclasses.replace(trained, split=nothing), arguments


def test_no_method_reads_x_test_and_nan_in_it_is_refused(unseen, tmp_path, monkeypatch):
    cell, trained, arguments = unseen
    cell.split = trained.split
    for name in ("neurecover", "arachne", "apricot-history", "greedy-soup"):
        repaired = cell.repaired(name, 0)
        assert all(numpy.isfinite(array).all() for array in repaired.weights), name
    monkeypatch.setattr(trained_cell, "load", lambda arguments: trained)
    for measured in (lambda: cell.flags(name, 0, repaired, tmp_path), lambda: repair_cell.Cell(arguments)):
        with pytest.raises(ValueError, match=r"pixels range from nan to nan, expected \[0, 1\]") as refused:
            measured()
        assert "\n" not in str(refused.value), "one sentence"


def test_noise_has_the_norm_of_the_change_and_no_noise_in_statistics(small_net, images):
    from dare.repair.problem import Images, Problem
    from studies.repair.cell import noise_like

    x, y = images
    part = Images(x, y)
    task = Problem(model=small_net, original=small_net.get_weights(), history=None, x_train=x, repair=part,
                    choice=part, failures=part, kept=part, seed=4)  # fmt: skip
    weights = [array + numpy.float32(0.1) * (array.ndim > 1) for array in task.original]
    noise = noise_like(task, weights)
    for variable, before, after, noisy in zip(small_net.weights, task.original, weights, noise, strict=True):
        assert numpy.linalg.norm(noisy - before) == pytest.approx(numpy.linalg.norm(after - before), rel=1e-4)
        assert "moving" not in variable.path or (noisy == before).all()
    names = [variable.path for variable in small_net.weights]
    moved = [array + 5 * ("moving_variance" in name) for name, array in zip(names, weights, strict=True)]
    measured = noise_like(task, moved)
    place = next(number for number, name in enumerate(names) if "moving_variance" in name)
    assert (measured[place] >= 0).all() and (measured[place] != task.original[place]).any()
