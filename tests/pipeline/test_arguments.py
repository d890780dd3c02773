"""Options without effect are refused in one sentence, whatever their value; the others pass."""

import argparse
import importlib
import pathlib
import runpy
import sys

import pytest

from pipeline import arguments, stages
from pipeline.arguments import Parser

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def parser():
    scripts_parser = Parser(prog="it.py")
    scripts_parser.add_argument("--cluster", choices=["slurm"])
    scripts_parser.add_argument("--gpus", "-g", type=int, default=0)
    scripts_parser.add_argument("--names", nargs="*", default=["a"])
    scripts_parser.add_argument("--flag", action="store_true")
    scripts_parser.needs(("--gpus", "--names", "--flag"), lambda parsed: parsed.cluster, "--cluster slurm")
    return scripts_parser


@pytest.mark.parametrize("line", [["--gpus", "0"], ["--gpus=3"], ["--names"], ["--names", "a"], ["--flag"]])
def test_an_option_without_effect_is_refused_even_with_its_default(parser, line, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(line)
    option = line[0].partition("=")[0]
    message = f"it.py: argument {option}: without effect here, it needs --cluster slurm (--help lists the options)\n"
    assert capsys.readouterr().err == message
    parser.parse_args([*line, "--cluster", "slurm"])


def test_what_is_not_given_is_not_refused_and_the_short_name_is(parser, capsys):
    assert parser.parse_args([]).gpus == 0
    with pytest.raises(SystemExit):
        parser.parse_args(["-g", "1"])
    assert "argument --gpus: without effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("dare/2_slice", ["--theta", "0.1"]),
        ("dare/2_slice", ["--rule", "nnslicer", "--theta", "0.1", "--per", "0.9"]),
        ("dare/3_get_ats", ["--checkpoints", "x", "--evaluate"]),
        ("dare/3_get_ats", ["--checkpoints", "x", "--keep", "mined"]),
        ("dare/5_finetune_dare", ["--variant", "dare", "--draws", "2"]),
        ("dare/5_finetune_dare", ["--variant", "dare", "--swa-images", "20"]),
        ("dare/5_finetune_dare", ["--variant", "swa", "--other-seed", "2"]),
        ("dare/5_finetune_dare", ["--variant", "swa", "--learning-rates", "1e-3"]),
        ("dare/6_finetune_adv", ["--temperature", "3"]),
        ("dare/6_finetune_adv", ["--distillation-epochs", "3"]),
        ("dare/6_finetune_adv", ["--distillation", "--attack", "--epochs", "3"]),
        ("dare/6_finetune_adv", ["--attack"]),
        ("publish", ["--check", "--runs", "elsewhere"]),
        ("hardening/1_harden", ["--strategy", "swa", "--points", "2"]),
        ("hardening/1_harden", ["--strategy", "regression", "--swa-images", "20"]),
        ("hardening/1_harden", ["--attack", "fgsm", "--restarts", "2"]),
        ("hardening/1_harden", ["--attack", "fgsm", "--attack-steps", "2"]),
        ("repair/1_repair", ["--method", "swa", "--generations", "2"]),
        ("repair/1_repair", ["--method", "swa", "--repeats", "2"]),
        ("repair/1_repair", ["--repair-on", "fgsm"]),
        ("repair/1_repair", ["--attack-repeats", "0", "--images", "20"]),
        ("guided_retraining/1_train", ["--gray", "as-run"]),
        ("classwise/5_levers", ["--lever", "tau", "--strength", "1"]),
        ("publish", ["--check", "--add"]),
        ("reproduce", ["--gpus", "1"]),
        ("reproduce", ["--partition", "a", "--preset", "paper"]),
        ("reproduce", ["--account", "a"]),
        ("reproduce", ["--qos", "a"]),
        ("reproduce", ["--sbatch", "constraint=a"]),
        ("reproduce", ["--cpus", "2"]),
        ("reproduce", ["--memory", "2"]),
        ("reproduce", ["--status", "--minutes", "2"]),
        ("reproduce", ["--from-artefacts", "release.zip", "--preset", "quick"]),
        ("reproduce", ["--from-artefacts", "release.zip", "--minutes", "2"]),
        ("pack", ["--part", "2"]),
        ("pack", ["--light", "--cell", "digits-alexnet"]),
        ("reproduce", ["--cluster", "slurm", "--workers", "2"]),
        ("reproduce", ["--cluster", "slurm", "--status", "--gpus", "2"]),
        ("reproduce", ["--status", "--workers", "2"]),
        ("reproduce", ["--status", "--dry-run"]),
    ],
)
def test_the_scripts_refuse_what_they_would_ignore(script, options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *options])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
    error = capsys.readouterr().err
    assert "without effect here, it needs" in error and error.count("\n") == 1


def test_every_condition_names_an_option_that_there_is():
    importlib.import_module("pipeline.command")
    for path in sorted(SCRIPTS.glob("*/*.py")):
        module = stages.script(str(path))
        of_script = module.options() if hasattr(module, "options") else None
        for options, _, _ in getattr(of_script, "conditions", ()):
            known = {option for action in of_script._actions for option in action.option_strings}
            assert {*options} <= known, path


@pytest.mark.parametrize(("text", "full"), [("runs", "runs"), ("~/x", "/home/me/x"), ("./~x", "./~x"), ("ä b", "ä b")])
def test_a_path_may_begin_with_a_home_folder(monkeypatch, text, full):
    monkeypatch.setenv("HOME", "/home/me")
    assert arguments.path(text) == full


@pytest.mark.parametrize("text", ["", "a\nb", "a\x00b", "~nosuchuser/x", "a\u2028b"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="given, "):
        arguments.path(text)


def test_the_help_tells_defaults_in_words_and_each_catalogue_once(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    known = arguments.name("attack", ["fgsm", "cw-linf-20"])
    parser = Parser(prog="it.py", description="What it does.\n\n    python it.py   # as is", example="--attack fgsm")
    parser.add_argument("--attack", nargs="+", type=known, default=["fgsm"], help="which")
    parser.add_argument("--other", type=known, default="fgsm", help="another")
    parser.add_argument("--all", nargs="+", type=known, default=["fgsm", "cw-linf-20"], help="80 % of them")
    parser.add_argument("--flag", action="store_true", help="a flag")
    parser.add_argument("--rate", type=arguments.real(above=0), default=1e-6, help="a rate")
    help_text = parser.format_help()
    assert help_text.startswith("usage: it.py [options]\n\nWhat it does.\n\n    python it.py   # as is\n")
    for line in ("which (default: fgsm)", "fgsm, cw-linf-20", "another (default: fgsm)", "names: those of --attack",
                 "80 % of them (default: all)", "a rate (default: 1e-06)"):  # fmt: skip
        assert f"{line}\n" in help_text
    assert "  a flag\n" in help_text and help_text.endswith(" --attack fgsm\n")


@pytest.mark.parametrize("script", ["dare/2_slice", "hardening/1_harden", "ablation/1_vary"])
def test_a_stage_of_dare_lists_and_takes_its_own_models_alone(script, capsys):
    parser = stages.script(str(SCRIPTS / f"{script}.py")).options()
    assert "alexnet, vgg16, vgg19\n" in parser.format_help() and "resnet18" not in parser.format_help()
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--model", "resnet18"])
    assert "does not fit here, 'resnet18': valid names: alexnet, vgg16, vgg19" in capsys.readouterr().err
