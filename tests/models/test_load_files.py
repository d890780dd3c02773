"""Files that are no whole model, and code in them: one sentence that names the file."""

import zipfile

import keras
import pytest

import models

L = keras.layers


class Foreign(L.Layer):
    """A layer of the user's own, which nobody registered."""

    def call(self, x):
        return x


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_class_of_the_users_own_is_named(nets, tmp_path, ending):
    nets.functional(Foreign()).save(tmp_path / f"model{ending}")
    with pytest.raises(ValueError, match=r"model\.\w+: needs Foreign, which Keras does not know") as caught:
        models.load(tmp_path / f"model{ending}")
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_named_and_not_run(nets, tmp_path):
    nets.functional(L.Lambda(lambda x: 2 * x)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="holds a Lambda layer, and code in a file is not run"):
        models.load(tmp_path / "model.keras")


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_is_named(nets, tmp_path, ending, keep):
    path = tmp_path / f"model{ending}"
    nets.functional().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=rf"model{ending}: not a whole Keras model.* cut") as caught:
        models.load(path)
    assert "\n" not in str(caught.value)


def test_a_byte_that_changed_is_named(nets, tmp_path):
    path = tmp_path / "model.keras"
    nets.functional().save(path)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("config.json").header_offset + 200
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.keras: not a whole Keras model"):
        models.load(path)


def test_weights_alone_are_named(nets, tmp_path):
    nets.functional().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="model.weights.h5: not a whole Keras model but weights alone"):
        models.load(tmp_path / "model.weights.h5")
