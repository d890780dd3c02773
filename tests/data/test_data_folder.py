"""Image folders: both layouts, greyscale and colour, and every error names its file."""

import numpy
import PIL.Image
import pytest

import data
from data import folder


def picture(path, seed=0, size=(6, 5), mode="RGB"):
    """Write a random image of `size` (H, W) and return its pixels."""
    shape = size if mode == "L" else (*size, len(mode))
    pixels = numpy.random.default_rng(seed).integers(0, 256, shape, numpy.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels, mode if mode != "L" else None).save(path)
    return pixels


def fill(root, classes=("cat", "dog"), count=5, **options):
    return {
        (name, i): picture(root / name / f"{i}.png", seed=10 * k + i, **options)
        for k, name in enumerate(classes)
        for i in range(count)
    }


def test_train_and_test_directories_are_kept(tmp_path):
    train, test = fill(tmp_path / "train"), fill(tmp_path / "test", count=2)
    dataset = data.load(f"folder:{tmp_path}")
    assert dataset.classes == ("cat", "dog") and not dataset.verified
    assert dataset.name == f"folder-{tmp_path.name}"
    assert dataset.x_train.dtype == numpy.uint8 and dataset.y_train.dtype == numpy.int64
    assert dataset.y_train.tolist() == [0] * 5 + [1] * 5 and dataset.y_test.tolist() == [0, 0, 1, 1]
    assert all(numpy.array_equal(a, b) for a, b in zip(dataset.x_train, train.values(), strict=True))
    assert all(numpy.array_equal(a, b) for a, b in zip(dataset.x_test, test.values(), strict=True))
    assert dataset.files_test.tolist() == ["test/cat/0.png", "test/cat/1.png", "test/dog/0.png", "test/dog/1.png"]


def test_a_flat_folder_is_divided_four_to_one(tmp_path):
    pictures = fill(tmp_path, classes=("a", "b", "c"), count=10)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "a" / "notes.csv").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    dataset, again = data.load(f"folder:{tmp_path}"), data.load(f"folder:{tmp_path}")
    assert numpy.bincount(dataset.y_train).tolist() == [8, 8, 8]
    assert numpy.bincount(dataset.y_test).tolist() == [2, 2, 2]
    images = {image.tobytes() for image in numpy.concatenate([dataset.x_train, dataset.x_test])}
    assert images == {pixels.tobytes() for pixels in pictures.values()}
    assert dataset.fingerprint == again.fingerprint
    assert numpy.array_equal(dataset.x_test[0], pictures["a", int(dataset.files_test[0][2:-4])])


def test_greyscale_keeps_one_channel_and_joins_colour_as_three(tmp_path):
    grey = fill(tmp_path, mode="L")
    assert data.load(f"folder:{tmp_path}").x_train.shape == (8, 6, 5, 1)
    picture(tmp_path / "cat" / "colour.png", seed=99)
    dataset = data.load(f"folder:{tmp_path}")
    images = numpy.concatenate([dataset.x_train, dataset.x_test])
    assert images.shape == (11, 6, 5, 3)
    expected = numpy.repeat(grey["cat", 0][..., None], 3, axis=2)
    assert any(numpy.array_equal(image, expected) for image in images)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)]
)
def test_pixel_modes(tmp_path, mode, channels):
    ending = "jpg" if mode == "CMYK" else "png"
    PIL.Image.new(mode, (5, 6)).save(tmp_path / f"a.{ending}")
    assert folder.read_image(tmp_path / f"a.{ending}").shape == (6, 5, channels)


def test_sixteen_bit_images_are_refused(tmp_path):
    PIL.Image.fromarray(numpy.full((4, 4), 40000, numpy.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: .*pixel mode I;16"):
        folder.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("ending", ["ppm", "jpg", "jpeg", "PNG", "bmp"])
def test_endings(tmp_path, ending):
    for name in "ab":
        for i in range(2):
            picture(tmp_path / name / f"{i}.{ending}")
    assert len(data.load(f"folder:{tmp_path}").x_train) == 2


def test_differing_sizes_are_named_and_a_size_unites_them(tmp_path):
    fill(tmp_path)
    picture(tmp_path / "dog" / "wide.png", size=(6, 8))
    with pytest.raises(ValueError, match=r"wide\.png: 6x8 pixels, but .*0\.png has 6x5"):
        data.load(f"folder:{tmp_path}")
    assert data.load(f"folder:{tmp_path}@12x9").x_train.shape[1:] == (12, 9, 3)


def test_train_and_test_share_one_size(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", size=(7, 5))
    with pytest.raises(ValueError, match=r"7x5 pixels, but .*train.* has 6x5"):
        data.load(f"folder:{tmp_path}")


def test_an_empty_class_is_named(tmp_path):
    fill(tmp_path)
    (tmp_path / "eel").mkdir()
    with pytest.raises(ValueError, match="eel: no image"):
        data.load(f"folder:{tmp_path}")


def test_a_class_of_one_image_cannot_be_divided(tmp_path):
    fill(tmp_path)
    picture(tmp_path / "eel" / "0.png")
    with pytest.raises(ValueError, match="eel: one image"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_an_unreadable_image_is_named(tmp_path, cut):
    fill(tmp_path)
    path = tmp_path / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"3\.png: not a readable image"):
        data.load(f"folder:{tmp_path}")


def test_classes_must_agree_between_train_and_test(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", classes=("cat", "eel"))
    with pytest.raises(ValueError, match="dog, eel is a class in only one"):
        data.load(f"folder:{tmp_path}")


def test_train_without_test_is_refused(tmp_path):
    fill(tmp_path / "train")
    with pytest.raises(ValueError, match="has train/<class> but no test/<class>"):
        data.load(f"folder:{tmp_path}")


def test_missing_folder_and_missing_classes(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        data.load(f"folder:{tmp_path / 'nowhere'}")
    fill(tmp_path, classes=("cat",))
    with pytest.raises(ValueError, match="1 class directories"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("text", ["", "@32x32", "a@0x32"])
def test_a_name_without_a_folder_is_refused(text):
    with pytest.raises(ValueError, match="expected folder:<path>"):
        data.load(f"folder:{text}")


def test_real_folders(real):
    intel = data.load(f"folder:{real / 'intel_dev_subset'}")
    assert intel.x_train.shape == (1920, 64, 64, 3) and len(intel.classes) == 6
    assert numpy.bincount(intel.y_test).tolist() == [80] * 6


@pytest.mark.parametrize("ending", [".webp", ".tif", ".TIFF"])
def test_further_endings_are_read(tmp_path, ending):
    fill(tmp_path, count=2)
    PIL.Image.fromarray(numpy.full((6, 5, 3), 7, numpy.uint8)).save(tmp_path / "cat" / f"more{ending}")
    dataset = data.load(f"folder:{tmp_path}")
    assert f"cat/more{ending}" in (*dataset.files_train, *dataset.files_test)


def test_an_image_is_turned_as_its_camera_says(tmp_path):
    pixels = numpy.arange(30, dtype=numpy.uint8).reshape(5, 6)
    image, exif = PIL.Image.fromarray(pixels), PIL.Image.Exif()
    exif[274] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    assert numpy.array_equal(folder.read_image(tmp_path / "turned.png")[..., 0], numpy.rot90(pixels, -1))


def test_what_is_left_out_is_counted(tmp_path):
    fill(tmp_path / "Train"), fill(tmp_path / "TEST", count=2)
    for name in ("Train/cat/._1.png", "__MACOSX/Train/cat/._1.png", ".DS_Store", "Train/cat/a.gif", "Train/dog/notes",
                 "Train/cat/older/1.png", "val/cat/1.png", "val/cat/2.png", "readme.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    dataset = data.load(f"folder:{tmp_path}")
    assert dataset.classes == ("cat", "dog") and (len(dataset.x_train), len(dataset.x_test)) == (10, 4)
    left_out = folder.left_out(tmp_path)
    assert left_out == {
        "hidden": 3,
        ".gif": 1,
        "without an ending": 1,
        "in folders inside a class": 1,
        "in val/cat/, which is no class": 2,
        "beside the classes": 1,
    }


def test_train_in_two_spellings_is_refused(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path / "Train"), fill(tmp_path / "test")
    with pytest.raises(ValueError, match="has both .* keep one of them"):
        data.load(f"folder:{tmp_path}")


def test_unlabelled_images_lie_anywhere_below_the_folder(tmp_path):
    pictures = {name: picture(tmp_path / name, seed) for seed, name in enumerate(("b.png", "a/z.png", "c/d/e.png"))}
    grey = picture(tmp_path / "f.png", 7, mode="L")
    picture(tmp_path / ".hidden" / "g.png")
    (tmp_path / "notes.txt").write_text("not an image")
    images, names = folder.read_unlabelled(tmp_path, channels=3)
    assert names == ["a/z.png", "b.png", "c/d/e.png", "f.png"] and images.dtype == numpy.uint8
    assert all(numpy.array_equal(images[names.index(name)], pixels) for name, pixels in pictures.items())
    assert (images[3] == grey[..., None]).all()
    assert folder.read_unlabelled(tmp_path, size=(3, 4), channels=3)[0].shape == (4, 3, 4, 3)
    with pytest.raises(ValueError, match="z.png: a coloured image, expected 1 channel"):
        folder.read_unlabelled(tmp_path, channels=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no such folder"):
        folder.read_unlabelled(tmp_path / "none", channels=3)
    with pytest.raises(ValueError, match="no image"):
        folder.read_unlabelled(tmp_path / "empty", channels=3)
