"""What measures are called in words."""

import pytest

from reporting import measure_words


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ("clean", "clean"),
        ("er/pgd", "ER, PGD"),
        ("er/worst", "ER, worst case"),
        ("er-x1.5/cw", "ER ×1.5, C&W"),
        ("white-box/apgd-ce@2/255", "white box, APGD-CE at 2/255"),
        ("minimal/deepfool", "smallest perturbation, DeepFool"),
        ("area", "area"),
        ("last/clean", "last/clean"),
    ],
)
def test_words(measure, words):
    assert measure_words.words(measure) == words


def test_figures_show_the_worst_white_box_case_alone():
    names = ["clean", "er/pgd", "er-x1.1/pgd", "white-box/pgd@0.1", "white-box/worst@0.1", "minimal/fgsm"]
    assert measure_words.shown_in_figures(names) == ["clean", "er/pgd", "white-box/worst@0.1"]
    assert measure_words.shown_in_figures(names[:4]) == ["clean", "er/pgd", "white-box/pgd@0.1"]
