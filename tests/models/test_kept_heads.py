import numpy as np

from artjax.models.kept_heads import kept_heads


def test_rows_follow_the_names():
    classes = {"artist": ("cy", "ada", "dora"), "genre": ("portrait",), "style": ("new",)}
    earlier = {"artist": ("ada", "bo", "cy"), "genre": ("portrait",), "style": ("old",)}
    heads = kept_heads(classes, earlier)
    assert set(heads) == {"artist", "genre"}  # no class of the styles is the same
    kernel = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    np.testing.assert_array_equal(heads["artist"].values(kernel), [[3, 1, 0], [6, 4, 0]])
    np.testing.assert_array_equal(heads["artist"].values(kernel[0]), [3, 1, 0])
    assert heads["artist"].in_words("artist") == (
        "the head for artist: 2 of 3 classes are kept; 1 is new: dora; 1 is gone: bo"
    )
    assert heads["genre"].in_words("genre") == ""
