"""The images of a folder that are read, those that are refused for their content, and names of folders."""

import io
import struct
import zlib

import PIL.Image
import pytest

import data
from data import folder


def png(width, height, bits=8, colour=2, rows=b""):
    """The bytes of a PNG that announces so many pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def saved(form, mode="RGB", **options):
    stream = io.BytesIO()
    PIL.Image.new(mode, (4, 4), 1).save(stream, form, **options)
    return stream.getvalue()


FRAMES = {"save_all": True, "append_images": [PIL.Image.new("RGB", (4, 4), "red")]}
REFUSED = {
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "cannot identify"),
    "PDF": (b"%PDF-1.4\n", "cannot identify"),
    "GIF": (saved("GIF", "P"), "cannot identify"),
    "ICO": (saved("ICO"), "cannot identify"),
    "a page of text": (b"<html>" * 500, "cannot identify"),
    "a bomb": (png(30_000, 30_000), "expected at most|decompression bomb|exceeds limit"),
    "a bomb below Pillow's bound": (png(9_000, 9_000), "9000x9000 pixels, expected at most"),
    "sixteen bits of colour": (png(1, 1, 16, rows=bytes(7)), "16 bits a channel"),
    "sixteen bits of grey": (png(1, 1, 16, 0, bytes(3)), "I;16"),
    "sixteen bits with transparency": (png(1, 1, 16, 6, bytes(9)), "16 bits a channel"),
    "65,535 colours of a PPM": (b"P6 1 1 65535\n" + bytes(6), "16 bits a channel"),
    "floats of a PPM": (b"Pf\n1 1\n-1.0\n" + bytes(4), "pixel mode F"),
    "a PPM of many digits": (b"P6 " + b"9" * 10**5 + b" 1 255\n", "Token too long"),
    "frames of a PNG": (saved("PNG", **FRAMES), "2 frames, expected one"),
    "pages of a TIFF": (saved("TIFF", **FRAMES), "2 frames, expected one"),
    "a PNG cut": (saved("PNG")[:-30], "truncated"),
}  # fmt: skip
ACCEPTED = {
    "palette": (saved("PNG", "P"), 3), "CMYK": (saved("JPEG", "CMYK"), 3), "transparency": (saved("PNG", "RGBA"), 3),
    "one bit": (saved("PNG", "1"), 1), "grey with transparency": (saved("PNG", "LA"), 1), "WEBP": (saved("WEBP"), 3),
    "TIFF": (saved("TIFF"), 3), "BMP": (saved("BMP"), 3), "stereo": (saved("MPO", **FRAMES), 3),
    "PGM": (b"P5 1 1 255\n\0", 1), "PPM of 100": (b"P6 1 1 100\n\0\0\0", 3),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_images_that_are_refused(kind, tmp_path):
    content, message = REFUSED[kind]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.png: not a readable image .*({message})"):
        folder.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ACCEPTED)
def test_images_that_are_read(kind, tmp_path):
    content, channels = ACCEPTED[kind]
    (tmp_path / "a.png").write_bytes(content)
    assert folder.read_image(tmp_path / "a.png").shape[2] == channels


def test_a_size_beyond_all_pixels():
    for size in ("1000000x1000000", "0x4", "9" * 9 + "x1"):
        with pytest.raises(ValueError, match="expected folder:<path> or folder:<path>@<height>x<width> of at most"):
            folder.parse(f"a@{size}")


def test_a_folder_may_have_an_at_in_its_name(tmp_path):
    for name in ("a@b", "a@", "@", "a@2x2"):
        for part in ("cat", "dog"):
            (tmp_path / name / part).mkdir(parents=True)
            for i in range(2):
                (tmp_path / name / part / f"{i}.png").write_bytes(saved("PNG"))
        dataset = data.load(f"folder:{tmp_path / name}")
        assert dataset.name == f"folder-{name}" and dataset.x_train.shape[1:] == (4, 4, 3)
        assert data.load(f"folder:{tmp_path / name}@6x5").x_train.shape[1:] == (6, 5, 3)


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a\u202eb", b"a\xff".decode("utf-8", "surrogateescape")])
def test_names_of_classes_and_folders_can_be_printed(name, tmp_path):
    for part in ("cat", name):
        (tmp_path / "folder" / part).mkdir(parents=True)
    with pytest.raises(ValueError, match="its name holds characters that cannot be printed: rename the folder"):
        data.load(f"folder:{tmp_path / 'folder'}")
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="rename the folder"):
        data.load(f"folder:{tmp_path / name}")
