"""A keras.json of another project changes neither the nets that are built nor what a command computes."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import models
from models import contract, settings

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def restored():
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()
    yield
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(before[2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_data_format", "channels_first"),
        ("floatx", "float64"),
        ("floatx", "float16"),
        ("policy", "mixed_bfloat16"),
    ],
)
def test_nets_are_built_as_ever(restored, name, value):
    settings.pin()
    expected = models.build("resnet18@0.1", (32, 32, 3), 10)
    change = {
        "image_data_format": keras.config.set_image_data_format,
        "floatx": keras.config.set_floatx,
        "policy": keras.config.set_dtype_policy,
    }[name]
    change(value)
    built = models.build("resnet18@0.1", (32, 32, 3), 10)
    assert built.count_params() == expected.count_params()
    assert built.inputs[0].dtype == built.outputs[0].dtype == "float32"
    built.set_weights(expected.get_weights())
    assert models.fingerprint(built) == models.fingerprint(expected)
    now = {
        "image_data_format": keras.config.image_data_format,
        "floatx": keras.config.floatx,
        "policy": lambda: keras.config.dtype_policy().name,
    }[name]
    assert now() == value  # the user's own setting stays
    if name == "floatx":
        with pytest.raises(ValueError, match=f"Keras computes in {value}.*keras.config.set_floatx"):
            contract.check_model(built)
    else:
        contract.check_model(built)


def test_a_file_is_read_as_ever(restored, tmp_path):
    settings.pin()
    model = models.build("small_cnn@0.05", (28, 28, 1), 3)
    model.save(tmp_path / "model.keras")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float64")
    loaded = models.load(tmp_path / "model.keras")
    assert models.fingerprint(loaded) == models.fingerprint(model)


def test_a_command_pins_them(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"image_data_format": "channels_first", "floatx": "float64"}))
    script = (
        "import keras; before = keras.config.floatx(); from pipeline import command; command.load(); "
        "print(before, keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert completed.stdout.split() == ["float64", "float32", "channels_last", "float32"], completed.stderr
