"""DARE in every cell: one line a net."""

from studies.dare import overview


def lines(rows):
    [table] = overview.overview(rows)
    return {line[0]: dict(zip(table.columns[1:], map(str, line[1:]), strict=True)) for line in table.rows}


def test_a_line_of_a_net(rows):
    line = lines(rows)["fashion_mnist, alexnet"]
    assert line["mean ER of"] == "fgsm, pgd, deepfool" and line["clean"] == "88.6" and line["DARE's change"] == "-0.4"
    assert line["DARE"] == "63.7", "the mean of 62, 68 and 61"
    assert (line["fine-tuned"], line["swa"], line["weight-noise"]) == ("77.0", "69.6", "22.3")
    assert (line["other-seed"], line["white box"], line["DARE minus original"]) == ("-", "-", "-")


def test_the_worst_case_on_the_model_itself(rows):
    values = {"original": 20.0, "dare": 23.0}
    for row in rows:
        value = values.get(row["method"], 10.0)
        row["measures"]["white-box/worst@0.02"] = {"value": value, "n": 200, "values": [value], "spread": None}
    line = lines(rows)["fashion_mnist, alexnet"]
    assert (line["white box"], line["original"]) == ("worst@0.02", "20.0")
    assert line["DARE minus original"].startswith("+3.0 [-5.")


def test_what_is_left_out(rows):
    raised = {"name": "chance", "passed": False, "seen": "", "expected": "", "value": None}
    by_method = {row["method"]: row for row in rows}
    by_method["swa"]["checks"] = [raised]
    assert lines(rows)["fashion_mnist, alexnet"]["swa"] == "-"
    by_method["dare"]["checks"] = [raised]
    assert overview.overview(rows) == []
