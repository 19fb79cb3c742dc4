"""The record of a checkpoint: what must be known of a run to use its network anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax import config as config_lib
from artjax.data.prepared import Prepared
from artjax.errors import ConfigError, WorkdirError
from artjax.places import Places

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

FORMAT = 1
"""Of the record and of the saved state. A change that older programs cannot read raises it."""


@dataclass(frozen=True)
class Record:
    """What a checkpoint says of its run.

    Attributes:
      config: the configuration, in which nothing is automatic any more.
      classes: for each task, the names of its classes in the order of the logits.
      collection: name of the prepared set, such as `wikiart/artist`.
      version: of the prepared set, such as `1.0.0`.
      fingerprint: of the prepared set, which changes when its data change.
      data_dir: TFDS's data directory in training, absolute.
      canvas_dir: the folder for canvases that was set; empty for the default.
      feature_dir: the folder for features that was set; empty for the default.
      train_works: number of images in the training split.
      short_side_px: the longest shorter side of a prepared picture; predicted pictures get the same.
      versions: of the libraries on which a result depends.
      pretrained: where the pretrained weights came from; `{}` for a run from scratch.
      log: the sums of the window of the log that is not written yet, from `Window.to_json`.
      best: the best validation so far, from `BestSoFar.to_json`.
      format: of the record and the state, `FORMAT`.
    """

    config: ConfigDict
    classes: Mapping[str, tuple[str, ...]]
    collection: str
    version: str
    fingerprint: str
    data_dir: str
    canvas_dir: str
    feature_dir: str
    train_works: int
    short_side_px: int
    versions: Mapping[str, str]
    pretrained: Mapping[str, Any] = field(default_factory=dict)
    log: Mapping[str, Any] = field(default_factory=dict)
    best: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes it again."""
        values = {of.name: getattr(self, of.name) for of in fields(self)}
        values["config"] = self.config.to_dict()
        values["classes"] = {task: list(names) for task, names in self.classes.items()}
        return values

    @classmethod
    def from_json(cls, values: Any, where: object) -> Record:
        """The inverse of `to_json`.

        Args:
          values: what was read.
          where: the checkpoint, for messages.

        Raises:
          WorkdirError: if it is no such record, or one of a later format.
        """
        if not isinstance(values, dict):
            raise WorkdirError(f"{where}: its record is damaged: it is no JSON object")
        number = values.get("format")
        if isinstance(number, int) and number > FORMAT:
            raise WorkdirError(
                f"{where} was written by a later version of artjax (format {number}, this one reads "
                f"{FORMAT}); update artjax to use it"
            )
        for name, expected in _TYPES.items():
            if not isinstance(values.get(name), expected):
                raise WorkdirError(
                    f"{where}: its record is damaged: '{name}' is missing or invalid"
                )
        known = {name: values[name] for name in _TYPES}
        try:
            config = config_lib.from_json(json.dumps(known["config"]))
        except (ConfigError, ValueError) as error:
            raise WorkdirError(f"{where}: its configuration cannot be read: {error}") from error
        classes = {task: tuple(names) for task, names in known["classes"].items()}
        return cls(**known | {"config": config, "classes": classes})

    @property
    def numbers_of_classes(self) -> dict[str, int]:
        """For each task, how many classes it has."""
        return {task: len(names) for task, names in self.classes.items()}

    def places(
        self, workdir: Path, data_dir: Path | None = None, canvas_dir: Path | None = None
    ) -> Places:
        """Where the run and its data are: as given, else as they were in training."""
        return Places(
            workdir,
            data_dir or Path(self.data_dir),
            canvas_dir or (Path(self.canvas_dir) if self.canvas_dir else None),
            Path(self.feature_dir) if self.feature_dir else None,
        )

    def with_log(self, log: Mapping[str, Any]) -> Record:
        """The record with the sums of the log that are not written yet."""
        return replace(self, log=log)

    def check_same_data(self, workdir: Path, prepared: Prepared) -> None:
        """Raises `WorkdirError` if the prepared data differ from those of training.

        A set that was built again may have moved works between splits. A test score on works of the
        training split would be worthless.
        """
        if self.fingerprint != prepared.fingerprint:
            raise WorkdirError(
                f"{workdir} was trained on other data of '{self.collection}' than those in "
                f"{prepared.directory}: the set was built again since, or is another "
                f"({self._differs_in(prepared)})\n"
                "set the --data_dir of the data it was trained on, or start a run in another --workdir: "
                f"with --config.model.weights={workdir} it goes on from this network (--mode predict "
                "needs no data)"
            )

    def _differs_in(self, prepared: Prepared) -> str:
        words = []
        for task, names in self.classes.items():
            now = prepared.labels.get(task, names)
            new, gone = len(set(now) - set(names)), len(set(names) - set(now))
            words += [f"{new:,} new classes of {task}"] * bool(new)
            words += [f"{gone:,} classes of {task} fewer"] * bool(gone)
        return "; ".join(["the fingerprint differs", *words])


_TYPES: Mapping[str, type] = {
    "config": dict,
    "classes": dict,
    **dict.fromkeys(
        ("collection", "version", "fingerprint", "data_dir", "canvas_dir", "feature_dir"), str
    ),
    "train_works": int,
    "short_side_px": int,
    **dict.fromkeys(("versions", "pretrained", "log", "best"), dict),
    "format": int,
}
