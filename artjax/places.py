"""The folders of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

_INSTALLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Places:
    """The four folders of a run: its own, and those of data, canvases and features.

    Attributes:
      workdir: the run's own folder.
      data_dir: TFDS's data directory.
      canvas_dir: the folder for canvases; None = the default, in the data directory.
      feature_dir: the folder for the features of frozen trunks; None = the default.
    """

    workdir: Path
    data_dir: Path
    canvas_dir: Path | None = None
    feature_dir: Path | None = None

    @property
    def canvases(self) -> Path:
        """The folder for canvases, as set or `data_dir/canvases`."""
        return self.canvas_dir or self.data_dir / "canvases"

    @property
    def features(self) -> Path:
        """The folder for features, as set or `data_dir/features`."""
        return self.feature_dir or self.data_dir / "features"

    def with_workdir(self, workdir: Path) -> Places:
        """The same data for another run."""
        return replace(self, workdir=workdir)


def bundled() -> Path:
    """The folder that holds `configs/` and `datasets/`: the repository, or what was installed of it.

    A wheel has them in `artjax/bundled`. An editable install uses those of its repository.
    """
    return _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1]


def has_repository() -> bool:
    """Whether `configs/` and `datasets/` are those of a repository, in which `tfds build` finds them."""
    return not _INSTALLED.is_dir()


def program() -> str:
    """What the user types for artjax."""
    return "python launch.py" if has_repository() else "artjax"
