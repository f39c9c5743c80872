from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from edgeexpo.errors import OutputError, PictureError
from edgeexpo.imaging import sixteen_bit
from edgeexpo.imaging.files import check_output, read_exposure, read_picture, write_picture
from tests.support.icc_profiles import ADOBE, profile

ADOBE_RGB = profile(ADOBE, gamma=563 / 256, name="Adobe RGB")


def noise(height=19, width=23, kind=np.uint8, channels=3):
    random = np.random.default_rng(height * width)
    return random.integers(0, np.iinfo(kind).max, (height, width, channels), kind, endpoint=True)


def smooth(kind=np.uint16):
    rows, columns = np.mgrid[0:40, 0:50] / 50
    picture = np.stack([rows, columns, rows * columns], axis=2)
    return np.rint(picture * np.iinfo(kind).max).astype(kind)


def save(path, mode="RGB", size=(23, 19), **options):
    Image.new(mode, size).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_lossless_formats_keep_every_code(tmp_path, suffix, kind):
    picture = noise(kind=kind)
    write_picture(tmp_path / f"p{suffix}", picture)
    found = read_picture(tmp_path / f"p{suffix}")
    assert found.dtype == kind
    np.testing.assert_array_equal(found, picture)
    oracle = cv2.imread(str(tmp_path / f"p{suffix}"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(oracle[:, :, ::-1], picture)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_every_row_filter_of_16_bit_png_is_undone(height, width, seed):
    """Filter each row by the filter's definition, byte by byte, and expect the picture back."""
    random = np.random.default_rng(seed)
    picture = random.integers(0, 2**16, (height, width, 3), np.uint16)
    rows = picture.astype(">u2").tobytes()
    stride, stream = width * 6, bytearray()
    for y in range(height):
        kind = int(random.integers(0, 5))
        stream.append(kind)
        for x in range(stride):
            a = rows[y * stride + x - 6] if x >= 6 else 0
            b = rows[(y - 1) * stride + x] if y else 0
            c = rows[(y - 1) * stride + x - 6] if y and x >= 6 else 0
            nearest = min((a, b, c), key=lambda v: abs(a + b - c - v))
            stream.append((rows[y * stride + x] - (0, a, b, (a + b) // 2, nearest)[kind]) % 256)
    data = sixteen_bit.write_png(picture)
    at = data.index(b"IDAT")
    packed = zlib.compress(bytes(stream))
    found = sixteen_bit.read_png(data[: at - 4] + struct.pack(">I", len(packed)) + b"IDAT" + packed)
    np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize("compression", [1, 5, 8, 32946])
def test_16_bit_tiff_of_others(tmp_path, compression):
    picture = smooth()
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    assert cv2.imwrite(str(tmp_path / "p.tif"), picture[:, :, ::-1], options)
    np.testing.assert_array_equal(read_picture(tmp_path / "p.tif"), picture)


def test_16_bit_png_of_others(tmp_path):
    assert cv2.imwrite(str(tmp_path / "p.png"), smooth()[:, :, ::-1])
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png"), smooth())


def test_jpeg_is_written_with_little_loss(tmp_path):
    write_picture(tmp_path / "p.jpg", smooth(np.uint8))
    found = read_picture(tmp_path / "p.jpg").astype(float)
    assert np.abs(found - smooth(np.uint8)).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pictures_are_turned_upright(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = noise(kind=np.uint8)
    path = tmp_path / "p.png"
    Image.fromarray(picture).save(path, exif=exif)
    if kind == np.uint16:
        body = exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(body)) + b"eXIf" + body
        chunk += struct.pack(">I", zlib.crc32(b"eXIf" + body))
        data = sixteen_bit.write_png(picture.astype(np.uint16) * 257)
        path.write_bytes(data[:33] + chunk + data[33:])
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    found = read_picture(path)
    np.testing.assert_array_equal(found, expected.astype(kind) * (257 if kind == np.uint16 else 1))


def test_an_embedded_profile_is_converted_to_srgb(tmp_path):
    picture = smooth(np.uint8)
    swapped = renamed_profile()
    for old, new in ((b"rXYZ", b"tmp0"), (b"gXYZ", b"rXYZ"), (b"tmp0", b"gXYZ")):
        swapped = swapped.replace(old, new)
    Image.fromarray(picture).save(tmp_path / "own.png", icc_profile=swapped)
    Image.fromarray(picture).save(tmp_path / "srgb.png", icc_profile=srgb_profile())
    np.testing.assert_array_equal(read_picture(tmp_path / "srgb.png"), picture)
    found = read_picture(tmp_path / "own.png").astype(int)
    # The profile's red primary is sRGB's green, and its green primary is sRGB's red.
    assert np.abs(found - picture[:, :, [1, 0, 2]]).max() <= 2


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def renamed_profile():
    """Return the sRGB profile under a name that does not mention sRGB."""
    return srgb_profile().replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


def test_a_damaged_profile_is_refused(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "p.png", icc_profile=b"not a profile")
    with pytest.raises(PictureError, match="profile that cannot be read"):
        read_picture(tmp_path / "p.png")


def test_a_palette_without_alpha_is_rgb(tmp_path):
    path = save(tmp_path / "p.png", "P")
    assert read_picture(path).shape == (19, 23, 3)


@pytest.mark.parametrize(("mode", "name"), [("LAB", "p.tif"), ("F", "p.tif"), ("I", "p.tif")])
def test_other_channels_are_refused(tmp_path, mode, name):
    with pytest.raises(PictureError, match=rf"is 19x23 and {mode}; expected 8 or 16") as caught:
        read_picture(save(tmp_path / name, mode))
    assert "\n" not in str(caught.value)


def test_several_pictures_in_one_file_are_refused(tmp_path):
    frames = [Image.fromarray(noise()), Image.fromarray(noise()[::-1])]
    frames[0].save(tmp_path / "p.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="several pictures"):
        read_picture(tmp_path / "p.tif")


@pytest.mark.parametrize(
    "name", ["p.png", "p.jpg", "p.tif", "p.webp", "p.bmp", "deep.png", "d.tif"]
)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, name, part):
    if name[0] == "d":
        write_picture(tmp_path / name, noise(kind=np.uint16))
    else:
        Image.fromarray(noise()).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(PictureError, match=r"is not a picture|damaged|cannot be decoded") as caught:
        read_picture(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_text_with_a_pictures_name_is_refused(tmp_path):
    (tmp_path / "p.jpg").write_text("no picture")
    with pytest.raises(PictureError, match=r"p\.jpg is not a picture; expected PNG"):
        read_picture(tmp_path / "p.jpg")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "p.jpg")
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(tmp_path)


def test_decompression_bombs_are_refused(tmp_path):
    data = bytearray(sixteen_bit.write_png(noise(kind=np.uint16)))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "p.png").write_bytes(data)
    with pytest.raises(PictureError, match="larger than"):
        read_picture(tmp_path / "p.png")


def exposed(path, values):
    exif = Image.Exif()
    exif[0x8769] = values
    return save(path, exif=exif)


def test_exposure_grows_with_light(tmp_path):
    base = {33434: 1 / 100, 33437: 4.0, 34855: 100}
    known = read_exposure(exposed(tmp_path / "a.jpg", base))
    assert known == pytest.approx(np.log2(0.01 / 16), abs=1e-3)
    longer = read_exposure(exposed(tmp_path / "b.jpg", {**base, 33434: 4 / 100}))
    assert longer - known == pytest.approx(2, abs=1e-3)
    higher = read_exposure(exposed(tmp_path / "c.jpg", {**base, 34855: 800}))
    assert higher - known == pytest.approx(3, abs=1e-3)
    wider = read_exposure(exposed(tmp_path / "d.jpg", {**base, 33437: 2.0}))
    assert wider - known == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("values", [{}, {33434: 0.01, 33437: 4.0}, {33434: 0, 33437: 4, 34855: 1}])
def test_incomplete_exif_gives_no_exposure(tmp_path, values):
    assert read_exposure(exposed(tmp_path / "a.jpg", values)) is None


@pytest.mark.parametrize(
    ("picture", "name", "words"),
    [
        (noise(), "p.heic", "suffix '.heic'; expected .png"),
        (noise(), "p", "suffix 'of no format'"),
        (noise(kind=np.uint16), "p.jpg", "8 bits a channel"),
        (noise(channels=4), "p.png", "found 19x23x4 uint8"),
        (noise().astype(np.float32), "p.png", "float32; expected HxWx3 uint8"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, picture, name, words):
    with pytest.raises(PictureError, match=words):
        write_picture(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_picture(tmp_path / "none" / "p.png", noise())


def test_suffixes_are_checked_before_work():
    check_output("p.JPG")
    with pytest.raises(PictureError, match=r"use \.png"):
        check_output("p.jpg", np.dtype(np.uint16))


def test_interlaced_16_bit_png_is_refused(tmp_path):
    data = bytearray(sixteen_bit.write_png(noise(kind=np.uint16)))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "p.png").write_bytes(data)
    with pytest.raises(PictureError, match="interlac"):
        read_picture(tmp_path / "p.png")


def test_a_16_bit_picture_in_another_profile_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG", icc_profile=ADOBE_RGB)
    data = stream.getvalue()
    start = data.index(b"iCCP") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    own = sixteen_bit.write_png(noise(kind=np.uint16))
    (tmp_path / "p.png").write_bytes(own[:33] + chunk + own[33:])
    with pytest.raises(PictureError, match=r"'Adobe RGB'; expected sRGB: convert it to sRGB$"):
        read_picture(tmp_path / "p.png")


@pytest.mark.parametrize(
    ("name", "mark", "at", "layout"),
    [
        ("p.png", b"IHDR", 4, ">II"),
        ("p.jpg", b"\xff\xc0", 5, ">HH"),
        ("p.bmp", b"BM", 18, "<II"),
        ("p.gif", b"GIF8", 6, "<HH"),
        ("p.webp", b"\x9d\x01\x2a", 3, "<HH"),
    ],
)
def test_headers_of_a_thousand_megapixels_are_refused(tmp_path, name, mark, at, layout):
    Image.fromarray(noise()).save(tmp_path / name)
    data = bytearray((tmp_path / name).read_bytes())
    side = 16383 if name == "p.webp" else 32000
    struct.pack_into(layout, data, data.index(mark) + at, side, side)
    if name == "p.png":
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / name).write_bytes(data)
    tracemalloc.start()
    with pytest.raises(PictureError, match=r"larger than \d+ pixels") as caught:
        read_picture(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["p.png", "p.tif"])
def test_pixels_that_unpack_to_more_than_the_header_says_stay_packed(tmp_path, name):
    write_picture(tmp_path / name, noise(kind=np.uint16))
    data = (tmp_path / name).read_bytes()
    bomb = zlib.compress(bytes(1 << 26), 9)
    if name == "p.png":
        start = data.index(b"IDAT") - 4
        chunk = struct.pack(">I", len(bomb)) + b"IDAT" + bomb
        data = data[:start] + chunk + struct.pack(">I", zlib.crc32(chunk[4:]))
    else:
        entries = {273: len(data), 279: len(bomb)}
        for tag, value in entries.items():
            entry = struct.pack("<HHI", tag, 4, 1)
            at = data.index(entry) + len(entry)
            data = data[:at] + struct.pack("<I", value) + data[at + 4 :]
        data += bomb
    (tmp_path / name).write_bytes(data)
    tracemalloc.start()
    with pytest.raises(PictureError, match="too few or too many for its size"):
        read_picture(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_jpeg_has_no_more_than_65500_pixels_a_side(tmp_path):
    with pytest.raises(PictureError, match="holds 65500 pixels a side, the picture has 65501"):
        write_picture(tmp_path / "a.jpg", np.zeros((1, 65501, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("last", [False, True])
def test_exif_data_of_a_png_are_found_before_and_behind_the_pixels(tmp_path, last):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 4)).save(path, exif=exif)
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    if last:
        end = data.index(b"IEND") - 4
        path.write_bytes(data[:at] + data[at + len(chunk) : end] + chunk + data[end:])
    assert read_picture(path).shape == (8, 4, 3)


def test_a_png_without_exif_data_is_not_decoded_to_look_for_them(tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, np.zeros((8, 4, 3), np.uint8))
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") + 4
    data[at : at + 6] = bytes(6)
    path.write_bytes(data)
    assert read_exposure(path) is None
    with pytest.raises(PictureError):
        read_picture(path)
