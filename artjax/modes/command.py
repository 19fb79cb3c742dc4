"""What the user asked for, and what it means for configuration and folders."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax import config as config_lib
from artjax import default_collection
from artjax.data import prepared
from artjax.errors import ConfigError
from artjax.modes.table import MODES
from artjax.places import Places, bundled
from artjax.prepare.picture_paths import asked_for
from artjax.runs import latest_record, read_config
from artjax.runtime import mesh
from artjax.training.checks import check_config

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_FOLDERS = ("data_dir", "canvas_dir", "feature_dir")


@dataclass(frozen=True)
class Command:
    """A command line, of which every flag belongs to its mode.

    Attributes:
      mode: its name.
      flags: the value of each flag that was given, by name.
      fields: the pairs (field, text) of all `--config.field=text`.
      program: what the user types for artjax, such as `python launch.py`.
    """

    mode: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    fields: Sequence[tuple[str, str]] = ()
    program: str = "python launch.py"

    @property
    def config_file(self) -> str:
        """`FILE` of `--config FILE:COLLECTION`; empty if there is none."""
        return str(self.flags.get("config", "")).partition(":")[0]

    @property
    def collection(self) -> str:
        """`COLLECTION` of `--config FILE:COLLECTION`; empty if none is named."""
        return str(self.flags.get("config", "")).partition(":")[2]

    @property
    def workdirs(self) -> list[Path]:
        """All `--workdir`."""
        return list(self.flags.get("workdir", ()))

    @property
    def data_dir(self) -> Path:
        """The data directory: as given, else TFDS's own."""
        given: Path | None = self.flags.get("data_dir")
        return (given or prepared.default_data_dir()).expanduser()

    def config_and_places(self, ending: str = "") -> tuple[ConfigDict, Places]:
        """The configuration of `--config`, or of the run in `--workdir`, and the folders.

        Without a collection, the default one is chosen. The embedded sample is drawn if it is missing.

        Args:
          ending: of the default workdir.

        Raises:
          ConfigError: if neither is given, or something in them is invalid.
        """
        canvas_dir, feature_dir = self.flags.get("canvas_dir"), self.flags.get("feature_dir")
        if self.config_file:
            config = self.config()
            if config.collection == default_collection.NAME:
                with mesh.first_process_first():
                    default_collection.build_if_missing(config.task, self.data_dir, canvas_dir)
            workdir = self.workdirs[0] if self.workdirs else self._default_workdir(config, ending)
            return config, Places(workdir, self.data_dir, canvas_dir, feature_dir)
        own = read_config(self.workdirs[0]) if self.workdirs else None
        if own is None:
            raise ConfigError(
                f"nothing to {self.mode}: set --config configs/artist.py (or genre.py, location.py, "
                "style.py, all_labels.py), or the --workdir of a run"
            )
        config_lib.apply_overrides(own, self.fields)
        record = latest_record(self.workdirs[0])
        if record is None:
            return own, Places(self.workdirs[0], self.data_dir, canvas_dir, feature_dir)
        given = self.data_dir if "data_dir" in self.flags else None
        return own, record.places(self.workdirs[0], given, canvas_dir)

    def config(self) -> ConfigDict:
        """The configuration of `--config`, checked. Chooses the collection if none is named."""
        # Checked first, so that a typo is reported before anything is built.
        config = self._load(self.collection or default_collection.NAME)
        if self.collection:
            return config
        canvas_dir = self.flags.get("canvas_dir")
        chosen = mesh.texts_of_processes(
            default_collection.choose(config.task, self.data_dir, canvas_dir)
        )
        if len(set(chosen)) > 1:
            raise ConfigError(
                f"the processes have different data, and would choose {', '.join(chosen)}; set the "
                f"collection, as in --config {self.config_file}:{chosen[0]}"
            )
        if mesh.is_first_process():
            print(default_collection.why(chosen[0], config.task, self.data_dir), flush=True)
        return self._load(chosen[0])

    def _load(self, collection: str) -> ConfigDict:
        file = Path(self.config_file)
        if not file.is_file() and (bundled() / file).is_file():
            file = (
                bundled() / file
            )  # called from another folder, or installed without the repository
        config = config_lib.load_config_file(file, collection)
        config_lib.apply_overrides(config, self.fields)
        check_config(config)
        return config

    def _default_workdir(self, config: ConfigDict, ending: str = "") -> Path:
        collection = config.collection.replace("/", "-")
        return Path("runs") / f"{Path(self.config_file).stem}-{collection}{ending}"

    def runs(self) -> list[Path]:
        """The workdirs of finished runs: as given, else the default one of `--config`.

        Raises:
          ConfigError: if neither is given, or `--config` is of another task than the run.
        """
        if not self.workdirs:
            if not self.config_file:
                raise ConfigError(f"--mode {self.mode} needs the --workdir of a run")
            return [self._default_workdir(self.config())]
        if self.config_file:
            self._check_same_task(self.workdirs[0])
        return self.workdirs

    def _check_same_task(self, workdir: Path) -> None:
        """Raises `ConfigError` if `--config` asks for another task or collection than the run's."""
        config, own = self._load(self.collection or default_collection.NAME), read_config(workdir)
        if own is None:
            return
        wanted = [(config.task, own.task, "task")]
        if self.collection:
            wanted.append((self.collection, own.collection, "collection"))
        for asked, there, what in wanted:
            if asked != there:
                asked, there = (x if isinstance(x, str) else ", ".join(x) for x in (asked, there))
                raise ConfigError(
                    f"--config {self.flags['config']} has the {what} {asked}, and the run in {workdir} "
                    f"the {what} {there}; leave --config out: --mode {self.mode} takes the run's own"
                )

    def pictures(self) -> list[Path]:
        """The files and folders that are typed, or named by standard input for `-`; may wait for it.

        Raises:
          DataError: if a pattern fits no file, or standard input names none.
        """
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # names of files may be any bytes
        return asked_for(self.flags.get("pictures", []), sys.stdin)

    def views(self) -> int | None:
        """The views that evaluation and prediction shall use; None = as the run says."""
        if "eval.test" in dict(self.fields):
            raise ConfigError(
                f"--config.eval.test is for a training; leave it out: --mode {self.mode} looks at what "
                "it is asked for"
            )
        return self._typed_of_eval("views").get("views")

    def eval_settings(self) -> dict[str, Any]:
        """The fields of `eval` that are typed for a finished run, by name; see `evaluate_workdir`.

        Raises:
          ConfigError: for a field that only a training can use, or an invalid value.
        """
        if "eval.kept_works" in dict(self.fields):
            raise ConfigError(
                f"--config.eval.kept_works: --mode {self.mode} uses what the training has kept; set it "
                "when a run is trained"
            )
        return self._typed_of_eval(
            "error_rate", "foreign_rate", "cluster_by", "mc_dropout", "report"
        )

    def _typed_of_eval(self, *names: str) -> dict[str, Any]:
        """Those of some fields of `eval` that are typed, by name, checked."""
        config = config_lib.default_config()
        config_lib.apply_overrides(config, self.fields)
        given = dict(self.fields)
        typed = [name for name in names if f"eval.{name}" in given]
        for name in typed:
            config_lib.check_field(f"eval.{name}", config.eval[name])
        return {name: config.eval[name] for name in typed}

    def words(
        self,
        *,
        workdir: str | Path | None = None,
        collection: str | None = None,
        leave_out: tuple[str, ...] = (),
        mode: str = "train",
        setting: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The words of the same command in another mode, to be typed again, without `--mode`.

        Args:
          workdir: in place of the one given.
          collection: in place of the one given.
          leave_out: beginnings of fields that are not repeated.
          mode: only the flags and fields that it uses are repeated.
          setting: values of fields, by name, in place of those given.
        """
        words, used = [], MODES[mode]
        if self.config_file:
            named = collection or self.collection
            words += ["--config", f"{self.config_file}:{named}" if named else self.config_file]
        for path in [workdir] if workdir else self.workdirs:
            words += ["--workdir", str(path)]
        for name in _FOLDERS:
            if name in self.flags and name in used.flags:
                words += [f"--{name}", str(self.flags[name])]
        kept = {
            name: text
            for name, text in self.fields
            if name.startswith(used.fields) and not (leave_out and name.startswith(leave_out))
        }
        return words + [
            f"--config.{name}={text}" for name, text in (kept | dict(setting or {})).items()
        ]

    def next(self, mode: str, *more: str, setting: Mapping[str, str] | None = None) -> str:
        """The line that says what to type next: the same command in another mode.

        Args:
          mode: its name.
          more: further words.
          setting: values of fields, by name, in place of those given.
        """
        of_mode = [] if mode == "train" else ["--mode", mode]
        words = [*self.words(mode=mode, setting=setting), *of_mode, *more]
        return f"next: {self.program} {shlex.join(words)}"
