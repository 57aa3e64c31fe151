"""Bands are chosen by request, by name, or in order, and a misfit says what is missing."""

import pytest

from engine.errors import RasterError
from engine.zoo.bands import choose_bands
from engine.zoo.card import BandSpec


def specs(*names):
    return [BandSpec(name, 1.0, 0.0, 0.0, 1.0) for name in names]


RGB = specs("red", "green", "blue")
RGBN = specs("red", "green", "blue", "nir")


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (("red", "green", "blue"), RGB, (1, 2, 3)),
        (("blue", "green", "red", "nir"), RGB, (3, 2, 1)),
        (("b02", "b03", "b04", "b08"), RGBN, (3, 2, 1, 4)),
        (("b1", "b2", "b3", "b4", "b5"), RGB, (4, 3, 2)),
        (("band 1 - blue", "band 2 - green", "band 3 - red"), RGB, (3, 2, 1)),
        (("b04 (665 nm)", "b03 (560 nm)", "b02 (490 nm)"), RGB, (1, 2, 3)),
        (("r", "g", "b", "near infrared"), RGBN, (1, 2, 3, 4)),
        (("red", "red edge", "green", "blue"), RGB, (1, 3, 4)),
        (("alpha", "blue", "green", "red"), RGB, (4, 3, 2)),
    ],
)
def test_bands_are_found_by_name(names, wanted, expected):
    bands, note = choose_bands(names, len(names), wanted, ())
    assert bands == expected
    assert "by name" in note


def test_the_cards_own_names_count():
    wanted = [BandSpec("height", 1, 0, 0, 1, names=("dsm", "ndsm")), *specs("red")]
    assert choose_bands(("red", "ndsm"), 2, wanted, ())[0] == (2, 1)


def test_without_names_the_first_bands_are_taken():
    assert choose_bands(("", "", ""), 3, RGB, ()) == (
        (1, 2, 3),
        "bands taken in order: red = 1, green = 2, blue = 3",
    )
    bands, note = choose_bands(("",) * 13, 13, RGB, ())
    assert bands == (1, 2, 3) and "please check" in note


def test_doubtful_names_are_not_used():
    bands, note = choose_bands(("red", "red", "green", "blue"), 4, RGB, ())
    assert bands == (1, 2, 3) and "please check" in note and "green = 2 (red)" in note


def test_alpha_is_skipped():
    assert choose_bands(("alpha", "", "", ""), 4, RGB, ())[0] == (2, 3, 4)


def test_a_request_wins():
    names = ("blue", "green", "red", "alpha")
    assert choose_bands(names, 4, RGB, (1, 1, 4)) == ((1, 1, 4), "")


@pytest.mark.parametrize(
    ("names", "requested", "words", "hint"),
    [
        (("gray",), (), "has 1 band, the model needs 3 (red, green, blue)", "1,1,1"),
        (("palette",), (), "colour indices", "palette"),
        (("red", "green"), (), "has 2 bands, the model needs 3", "choose a raster"),
        (("red", "green", "blue"), (1, 2), "2 bands are chosen (1,2)", "choose 3 bands"),
        (("red", "green", "blue"), (1, 2, 4), "band 4 is chosen, but the raster has 3", "1 to 3"),
        (("red", "green", "blue"), (0, 1, 2), "band 0 is chosen", "1 to 3"),
    ],
)
def test_a_misfit_names_both_sides_and_the_way_out(names, requested, words, hint):
    with pytest.raises(RasterError) as caught:
        choose_bands(names, len(names), RGB, requested)
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_a_fourth_band_marked_as_alpha_may_be_asked_for():
    names = ("red", "green", "blue", "alpha")
    with pytest.raises(RasterError, match="alpha is not counted") as caught:
        choose_bands(names, 4, RGBN, ())
    assert "1,2,3,4" in caught.value.hint
    assert choose_bands(names, 4, RGBN, (1, 2, 3, 4))[0] == (1, 2, 3, 4)
