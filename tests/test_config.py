import json
import math
import re

import pytest
from narrow import FAMILY as NARROW
from tiny import tiny_config

from artjax import config as config_lib
from artjax.config import apply_overrides, default_config, from_json, to_json
from artjax.errors import ConfigError, WorkdirError
from artjax.runs import claim
from artjax.training.checks import check_config as check
from artjax.training.checks import tables
from artjax.training.optim import peak_lr

ROOT_CONFIGS = ["artist", "genre", "location", "style"]


def test_overrides_take_the_type_of_the_default():
    config = default_config()
    apply_overrides(
        config,
        [
            ("optim.peak_lr", "1"),
            ("batch_size", "64"),
            ("augment.flip", "false"),
            ("task", "artist,genre"),
            ("optim.drop_at", "(0.1, 0.2)"),
            ("model.name", "vgg11"),
        ],
    )
    assert config.optim.peak_lr == 1.0
    assert isinstance(config.optim.peak_lr, float)
    assert config.batch_size == 64
    assert config.augment.flip is False
    assert config.task == ("artist", "genre")
    assert config.optim.drop_at == (0.1, 0.2)
    check(config)


def test_steps_replace_epochs_and_vice_versa():
    config = default_config()
    apply_overrides(config, [("steps", "10")])
    assert (config.steps, config.epochs) == (10, 0.0)
    apply_overrides(config, [("epochs", "3")])
    assert (config.steps, config.epochs) == (0, 3.0)


def test_another_optimizer_does_not_keep_the_learning_rate_of_a_recipe():
    def rate_after(*overrides):
        config = tiny_config(optim__name="adamw", optim__peak_lr=0.003)
        apply_overrides(config, overrides)
        check(config)
        return peak_lr(config.optim)

    assert rate_after(("optim.name", "lion")) == 0.0001
    assert rate_after(("optim.name", "sgd")) == 0.1
    assert rate_after(("optim.name", "lion"), ("optim.peak_lr", "0.002")) == 0.002
    assert rate_after(("optim.peak_lr", "0.002"), ("optim.name", "lion")) == 0.002
    assert rate_after(("optim.name", "adamw")) == 0.003  # that of the recipe
    assert rate_after(("seed", "1")) == 0.003


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("optim.peek_lr", "1", "did you mean optim.peak_lr?"),
        ("learning_rate", "1", "did you mean optim.peak_lr?"),
        ("momentum", "0.9", "did you mean optim.momentum?"),
        ("batchsize", "8", "did you mean batch_size?"),
        ("collection", "studio", "--config FILE.py:COLLECTION"),
        ("batch_size", "many", "--config.batch_size=many: not of type int (default 256)"),
        ("batch_size", "3.5", "not of type int"),
        ("optim.peak_lr", "fast", "not of type float"),
        ("augment.flip", "perhaps", "not of type bool"),
        ("optim.drop_at", "half", "not of type tuple"),
    ],
)
def test_wrong_overrides_name_the_field_and_the_nearest(field, text, says):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(default_config(), [(field, text)])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": ("Object Type",)}, "'Object Type' is not a label; labels have small letters"),
        ({"task": ("Object Type",)}, "did you mean object_type?"),
        ({"task": ()}, "it must be a label, as in --config.task=medium"),
        ({"task": ("genre", "genre")}, "without duplicates"),
        ({"model__name": "vgg15"}, "valid are auto, "),
        ({"steps": 0}, "exactly one of them must be above 0"),
        ({"epochs": 2.0}, "exactly one of them must be above 0"),
        ({"image_size": 40}, "multiple of 16"),
        ({"canvas_size": 16}, "at least image_size (32)"),
        ({"batch_size": -1}, "1 to 1,048,576, or auto"),
        ({"optim__peak_lr": -0.1}, "0 (the optimizer's own) or more"),
        ({"optim__name": "lion"}, "too high for lion, which diverges above 0.005; 0.0001 is usual"),
        ({"optim__schedule": "sinus"}, "valid are constant, cosine, "),
        ({"optim__plateau_factor": 1.0}, "in (0, 1)"),
        ({"optim__sam_rho": 0.05, "accumulate": 2}, "SAM needs the gradient of the whole batch"),
        ({"loss__focal_gamma": 2.0, "augment__mixup": 0.2}, "a mixed image has no single label"),
        ({"loss__focal_gamma": 2.0, "augment__cutmix": 1.0}, "a mixed image has no single label"),
        (
            {"augment__policy": "rand", "augment__hue": 0.1},
            "set --config.augment.hue=0, or the policy",
        ),
        ({"loss__class_weights": "balance"}, "did you mean balanced?"),
        ({"sampling": "random"}, "valid are shuffled, balanced"),
        ({"early_stop_patience": -1}, "0 (train to the end) or more validations"),
        ({"optim__drop_at": (0.7, 0.5)}, "increasing fractions"),
        ({"optim__warmup_steps": 3}, "set one of them to 0"),
        ({"model__dropout": 1.0}, "in [0, 1)"),
        ({"augment__min_area": 0.0}, "in (0, 1]"),
        ({"eval__views": 2}, "--config.eval.views=2: valid are 1, 5, 10"),
        ({"precision": "float16"}, "valid are auto, float32, bfloat16"),
        ({"preprocessing__channel_order": "RBG"}, "=RBG: valid are empty, RGB, BGR; did you mean"),
        ({"source": "streem"}, "valid are auto, device, host, stream; did you mean stream?"),
    ],
)
def test_impossible_combinations_are_one_line(changes, says):
    with pytest.raises(ConfigError) as caught:
        check(tiny_config(**changes))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nraise SystemExit(0)", r", line 2: SystemExit: it ends the program \(0\)"),
        ("x = 1\ndef get_config(:", r", line 2: SyntaxError: invalid syntax"),
        ("def get_config(collection):\n    return 1 / 0", r", line 2: ZeroDivisionError: division"),
        (
            "import nothing_of_this_name",
            r", line 1: ModuleNotFoundError: No module named 'nothing_",
        ),
        ("def get_config(): pass", r": TypeError: get_config\(\) takes 0 positional arguments"),
        ("def get_config(collection): pass", r": get_config returns NoneType, not a configuration"),
        ("config = 1", r" does not define get_config\(collection\)"),
    ],
)
def test_a_config_file_that_fails_is_one_line(tmp_path, text, says):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(file)) + says) as caught:
        config_lib.load_config_file(file, "studio")
    assert "\n" not in str(caught.value)


def test_no_number_is_endless():
    for field in config_lib.FIELDS.values():
        kind = type(field.default)
        if kind is float:
            wrong = [math.nan, math.inf, -math.inf, *([1e300] if "epochs" in field.name else [])]
        elif kind is int:
            wrong = [2**63, 10**300]
        else:
            continue
        for value in wrong:
            with pytest.raises(
                ConfigError, match=re.escape(f"--config.{field.name}={value}: ")
            ) as caught:
                config_lib.check_field(field.name, value)
            assert "\n" not in str(caught.value)
    for name, value in (("image_size", 100_000), ("batch_size", 100_000_000)):
        with pytest.raises(ConfigError, match=f"{name}={value}: it must be 1 to "):
            config_lib.check_field(name, value)


@pytest.mark.parametrize("field", config_lib.AUGMENT_LIMITS)
def test_magnitudes_out_of_range_are_one_line(field):
    config = tiny_config()
    config.augment[field] = float(config_lib.AUGMENT_LIMITS[field])
    check(config)
    for wrong in (-0.1, config_lib.AUGMENT_LIMITS[field] + 0.1, float("nan")):
        config.augment[field] = wrong
        with pytest.raises(ConfigError) as caught:
            check(config)
        assert f"--config.augment.{field}={wrong}: it must be in [0, " in str(caught.value)
        assert "\n" not in str(caught.value)


def test_config_files_with_unknown_fields_are_refused():
    config = tiny_config()
    config.optim.unlock()
    config.optim.peek_lr = 1.0
    with pytest.raises(ConfigError, match=r"unknown config field optim.peek_lr; did you mean"):
        check(config)


def test_json_gives_the_same_config_back():
    config = tiny_config(task=("artist", "genre"))
    assert from_json(to_json(config)) == config
    assert config_lib.differences(from_json(to_json(config)), config) == []


def test_json_that_lacks_a_field_or_has_an_unknown_one_is_refused():
    def said_of(change):
        values = json.loads(to_json(tiny_config()))
        change(values)
        with pytest.raises(ConfigError) as caught:
            from_json(json.dumps(values))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def rename(values):
        values["optim"]["peek_lr"] = values["optim"].pop("peak_lr")

    assert said_of(lambda values: values["augment"].pop("mixup")) == (
        "the configuration lacks the field augment.mixup: it was edited, or another version of "
        "artjax wrote it"
    )
    assert "lacks the fields accumulate, remat:" in said_of(
        lambda values: [values.pop(name) for name in ("remat", "accumulate")]
    )
    assert "lacks the field optim.peak_lr and has the unknown field optim.peek_lr" in said_of(
        rename
    )
    assert "has the unknown field loss.temperature:" in said_of(
        lambda values: values["loss"].update(temperature=1.0)
    )
    assert "and 16 more and has the unknown field optim:" in said_of(
        lambda values: values.update(optim=3)
    )


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}"])
def test_json_that_is_no_configuration_lacks_all_fields(text):
    with pytest.raises(ConfigError, match=f"and {len(config_lib.FIELDS) - 6} more: it was edited"):
        from_json(text)


def test_a_run_with_such_a_config_json_is_refused_with_the_name_of_the_file(tmp_path):
    values = json.loads(to_json(tiny_config()))
    del values["augment"]["mixup"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(WorkdirError) as caught:
        claim(tmp_path, tiny_config())
    what, then = str(caught.value).split("\n")
    assert what.startswith(
        f"{tmp_path / 'config.json'}: the configuration lacks the field augment.mixup"
    )
    assert then == "restore the file, or start again in another --workdir"


def test_batch_size_can_be_auto():
    config = default_config()
    apply_overrides(config, [("batch_size", "auto")])
    assert config.batch_size == 0
    check(config)


def test_differences_name_field_and_both_values():
    lines = config_lib.differences(tiny_config(), tiny_config(seed=3, optim__peak_lr=0.2))
    assert lines == ["optim.peak_lr: 0.05 there, 0.2 now", "seed: 0 there, 3 now"]


@pytest.mark.parametrize("task", ROOT_CONFIGS)
@pytest.mark.parametrize("collection", ["studio", "collection", "wikiart", "wga", "wikiart/artist"])
def test_every_config_file_checks_for_every_collection(task, collection, pytestconfig):
    path = pytestconfig.rootpath / "configs" / f"{task}.py"
    config = config_lib.load_config_file(path, collection)
    check(config)
    assert config.task == (task,)
    assert config.collection == collection


def test_all_labels_checks_for_every_collection(pytestconfig):
    for collection in ("studio", "collection", "wga"):
        config = config_lib.load_config_file(
            pytestconfig.rootpath / "configs" / "all_labels.py", collection
        )
        check(config)
        assert config.task == ("artist", "genre", "location")


def test_missing_config_file_lists_the_existing_ones(pytestconfig):
    with pytest.raises(
        ConfigError, match=r"no config file .*artst.py.* has all_labels.py, any.py, artist.py"
    ):
        config_lib.load_config_file(pytestconfig.rootpath / "configs" / "artst.py", "studio")


@pytest.mark.parametrize("typed", ["probe", "probe.py", "elsewhere/probe.py"])
def test_a_config_of_artjax_is_named_where_its_folder_was_left_out(typed):
    with pytest.raises(ConfigError, match=r"no config file \S+; did you mean configs/probe\.py\?"):
        config_lib.load_config_file(typed, "studio")


def test_canvas_is_an_eighth_larger_than_the_picture():
    assert config_lib.canvas_size(tiny_config(image_size=224, canvas_size=0)) == 256
    assert config_lib.canvas_size(tiny_config(image_size=64, canvas_size=0)) == 72


def test_page_of_the_fields_is_up_to_date(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "config.md").read_text()
    # Without the networks that tests register.
    own = tables() | {"model": [name for name in tables()["model"] if name not in NARROW.names]}
    assert page == config_lib.as_markdown(own), "run python docs/make_config_page.py"


@pytest.mark.parametrize("name", config_lib.FIELDS)
def test_every_field_is_described_and_has_a_valid_default(name):
    field = config_lib.FIELDS[name]
    assert field.reason.endswith(".")
    assert f"--config.{name}=" in config_lib.as_text(tables())
    assert f"| `{name}` |" in config_lib.as_markdown(tables())
    assert not field.excludes or config_lib.FIELDS[field.excludes].excludes == name


def test_the_defaults_are_valid():
    check(default_config())  # raises ConfigError otherwise
