import pytest
from tiny import tiny_config

from artjax.errors import ConfigError
from artjax.models import Preprocessing
from artjax.models.presets import PRESETS, probably_meant, with_preset
from artjax.training.checks import check_config
from artjax.training.network import preprocessing_of


def test_a_preset_fills_what_is_not_set_beside_it():
    fields = {"preset": "caffe", "mean": (), "std": (), "channel_order": "RGB", "crop_share": 0.0}
    caffe = PRESETS["caffe"]
    assert with_preset(fields) == {**caffe, "channel_order": "RGB"}
    assert with_preset(fields | {"preset": "", "channel_order": ""}) == {}
    config = tiny_config(preprocessing__preset="caffe", preprocessing__crop_share=0.5)
    assert preprocessing_of(config) == Preprocessing(**caffe, crop_share=0.5)
    clip = preprocessing_of(tiny_config(preprocessing__preset="clip"))
    assert (clip.interpolation, clip.mean[0]) == ("cubic", 0.48145466)


@pytest.mark.parametrize(
    ("mean", "std", "meant"),
    [
        ((122.7, 116.7, 104.0), (), "caffe"),
        ((104, 117, 123), (1, 1, 1), "caffe"),
        ((123.68, 116.779, 103.939), (), "caffe"),
        ((123.675, 116.28, 103.53), (), "imagenet"),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "imagenet"),
        ((123.675, 116.28, 103.53), (0.229, 0.224, 0.225), "imagenet"),
        ((0.485, 0.456, 0.406), (0, 0, 0), "imagenet"),
        ((122.771, 116.746, 104.094), (68.5, 66.632, 70.323), "clip"),
        ((127.5, 127.5, 127.5), (), "tf"),
        ((), (-1, -1, -1), ""),
        ((10, 20, 30), (), ""),
    ],
)
def test_numbers_outside_of_the_range_are_refused_and_the_preset_is_named(mean, std, meant):
    assert probably_meant(mean, std) == meant
    config = tiny_config(preprocessing__mean=mean, preprocessing__std=std)
    with pytest.raises(ConfigError, match="it must be three numbers in ") as caught:
        check_config(config)
    named = f"preset={meant} is probably meant" if meant else "preset can be imagenet, caffe, tf"
    assert f"; --config.preprocessing.{named}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("mean", "std"), [((0.5, 0.5), ()), ((), (0.5,)), ((0.5, -0.1, 0), ())])
def test_three_numbers_are_needed(mean, std):
    with pytest.raises(ConfigError, match="three numbers"):
        check_config(tiny_config(preprocessing__mean=mean, preprocessing__std=std))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_valid_configuration(preset):
    fields = {f"preprocessing__{name}": value for name, value in PRESETS[preset].items()}
    check_config(tiny_config(preprocessing__preset=preset, **fields))
