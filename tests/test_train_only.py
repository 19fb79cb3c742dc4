"""A machine that only trains from canvases needs the libraries of requirements-train.txt alone."""

import re
import shutil
import tomllib

import pytest
import scripts
from tiny import open_canvases, tiny_config

# What a library that is left out is called when it is imported.
MODULES = {
    "opencv-python-headless": "cv2",
    "tensorflow-cpu": "tensorflow",
    "pyvips[binary]": "pyvips",
    "scikit-learn": "sklearn",
}


def requirements(lines):
    """Version range by library."""
    rows = (line.strip() for line in lines)
    return dict(
        re.fullmatch(r"([^><=~]+)(.*)", row).groups() for row in rows if row and row[0] != "#"
    )


@pytest.mark.slow
def test_trains_and_evaluates_where_the_other_libraries_are_not_installed(
    data_dir, tmp_path, pytestconfig
):
    root = pytestconfig.rootpath
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed = requirements(project["dependencies"])
    train_only = requirements((root / "requirements-train.txt").read_text().splitlines())
    assert train_only.items() <= needed.items()
    hidden = [
        MODULES.get(name, name.replace("-", "_")) for name in needed if name not in train_only
    ]
    assert {"tensorflow", "tensorflow_datasets", "apache_beam", "mlcroissant"} <= set(hidden)

    built = open_canvases(tiny_config(), data_dir, tmp_path / "built").directory
    copied = tmp_path / "data" / "canvases" / built.relative_to(tmp_path / "built")
    shutil.copytree(built, copied)
    flags = ("--data_dir", str(tmp_path / "data"), "--workdir", str(tmp_path / "run"))
    done = scripts.run(
        root / "launch.py",
        *("--config", "configs/artist.py:tiny", "--config.model.name=vgg_small"),
        *("--config.image_size=32", "--config.canvas_size=40", "--config.batch_size=16"),
        *("--config.steps=2", *flags),
        hidden=",".join(hidden),
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert "test artist: top-1" in done.stdout
    assert (tmp_path / "run" / "evaluation" / "test" / "metrics.json").is_file()
