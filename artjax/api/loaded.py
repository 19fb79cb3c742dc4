"""`artjax.load`: the network of a run, or of several as one, ready to predict and to evaluate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artjax.api.paths import AnyPath, given
from artjax.api.pictures import Pictures, Prediction, Ranked, as_files, named
from artjax.api.quiet import quiet_libraries
from artjax.errors import ConfigError, DataError
from artjax.evaluation import evaluate, looks, mc_dropout, predict, reliability
from artjax.evaluation.feature_export import export_features
from artjax.evaluation.judging import Judge
from artjax.evaluation.predict import Answer
from artjax.evaluation.views import number_of_views
from artjax.modes.evaluate import evaluate_workdirs
from artjax.runs import Run, runs_in, with_data
from artjax.runtime import mesh

if TYPE_CHECKING:
    from ml_collections import ConfigDict


@quiet_libraries()
def load(workdir: AnyPath | Sequence[AnyPath], checkpoint: str = "best") -> Loaded:
    """Loads the network of a run; nothing but its workdir is needed.

    Args:
      workdir: the folder of a run; or several, which are an ensemble: the mean of their probabilities. A
        cross-validation is an ensemble of its folds, a search one of its best networks.
      checkpoint: `best` by validation, or `last`.

    Raises:
      ConfigError: if `checkpoint` is neither of them, or no workdir is given.
      WorkdirError: if there is no checkpoint, or the runs have other tasks or classes.
    """
    several = [workdir] if isinstance(workdir, str | os.PathLike) else list(workdir)
    workdirs = [path for path in map(given, several) if path is not None]
    if not workdirs:
        raise ConfigError("load needs the workdir of a run")
    members = [member for path in workdirs for member in runs_in(path)]
    runs = [Run.load(member, checkpoint) for member in members]
    predict.check_same_classes(runs)
    return Loaded(workdirs, runs, checkpoint)


class Loaded:
    """The network of a run, or of several runs as one, on the devices.

    Attributes:
      runs: of each network its workdir, variables and record.
    """

    def __init__(self, workdirs: Sequence[Path], runs: Sequence[Run], checkpoint: str) -> None:
        self.runs = tuple(runs)
        self._workdirs = list(workdirs)
        self._checkpoint = checkpoint
        self._known = [reliability.of_run(run) for run in self.runs]
        for known in self._known:
            _ = known.farthest  # read now, so that predicting needs the workdir no more

    def __repr__(self) -> str:
        of = ", ".join(f"{run.workdir} (step {run.step:,})" for run in self.runs)
        classes = ", ".join(f"{len(names)} {task}s" for task, names in self.classes.items())
        return f"<artjax network of {of}: {classes}>"

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """For each task, the names of its classes."""
        return self.runs[0].classes

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the network predicts, such as `artist`."""
        return tuple(self.classes)

    @property
    def config(self) -> ConfigDict:
        """The configuration of the (first) run."""
        return self.runs[0].config

    @property
    def step(self) -> int | None:
        """The step of the checkpoint; None for several with different steps."""
        return self._common([run.step for run in self.runs])

    @property
    def collection(self) -> str | None:
        """The collection of training, such as `wikiart/artist`; None for several different ones."""
        return self._common([run.record.collection for run in self.runs])

    @property
    def version(self) -> str | None:
        """The version of that collection."""
        return self._common([run.record.version for run in self.runs])

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of that collection, which changes when its data change."""
        return self._common([run.record.fingerprint for run in self.runs])

    @staticmethod
    def _common(values: list[Any]) -> Any:
        return values[0] if all(value == values[0] for value in values) else None

    @quiet_libraries()
    def predict(self, pictures: Pictures, views: int | None = None) -> list[Prediction]:
        """Predicts the labels of pictures; writes nothing to the workdir.

        Args:
          pictures: the path of a file or folder, an array uint8 [H, W, 3] or [N, H, W, 3] (RGB), a
            Pillow image, or a list of these. Each is cleaned as in training. Arrays and images pass
            through a lossless temporary file.
          views: 1, 5 or 10 views of each picture, whose probabilities are averaged; default: as the
            run's `eval.views` says.

        Returns:
          One for each picture, in their order. A picture that cannot be used has a `reason`.

        Raises:
          ConfigError: for another number of views.
          DataError: if none of the pictures can be used.
        """
        found = list(self.predict_each(pictures, views))
        if not any(one.usable for one in found):
            raise predict.none_usable([(named(one.picture), one.reason) for one in found])
        return found

    def predict_each(self, pictures: Pictures, views: int | None = None) -> Iterator[Prediction]:
        """As `predict`, but yields each prediction as soon as it is there: for many pictures.

        The pictures that come next are cleaned meanwhile. That none can be used is no error here.

        Raises:
          ConfigError: for another number of views.
          DataError: if none were given.
        """
        judges = [
            Judge(
                known, number_of_views(run.config, views), mc_dropout.number_of_passes(run.config)
            )
            for known, run in zip(self._known, self.runs, strict=True)
        ]
        with as_files(pictures) as all_given:
            files = [one.file for one in all_given if not one.reason]
            with closing(predict.answers(self.runs, files, judges)) as several:
                answers = chain.from_iterable(several)
                for one in all_given:
                    yield (
                        Prediction(one.picture, {}, one.reason)
                        if one.reason
                        else self._prediction(one.picture, next(answers))
                    )

    def _prediction(self, picture: Path | int, answer: Answer) -> Prediction:
        return Prediction(
            picture,
            {task: self._ranked(task, of_task) for task, of_task in answer.probabilities.items()},
            answer.reason,
            answer.unsure,
            answer.unlikeness,
        )

    def _ranked(self, task: str, probabilities: np.ndarray) -> tuple[Ranked, ...]:
        names = self.classes[task]
        return tuple(
            Ranked(names[c], float(probabilities[c])) for c in predict.ranked(probabilities)
        )

    @quiet_libraries()
    def features(self, pictures: Pictures) -> np.ndarray:
        """The outputs of the last stage of the network before its heads, float32 [N, C].

        Rows are in the order of `predict`. Outputs that have a height and a width are flattened.

        Args:
          pictures: as for `predict`; all of them must be usable.

        Raises:
          ConfigError: for several networks.
          DataError: if a picture cannot be used.
        """
        if len(self.runs) > 1:
            raise ConfigError(
                f"features are those of one network, and {len(self.runs)} are loaded; load one of them, "
                f"such as {self.runs[0].workdir}"
            )
        run = self.runs[0]
        rows = []
        with as_files(pictures) as all_given:
            for one in all_given:
                _check_usable(one.picture, one.reason)
            files = [one.file for one in all_given]
            calls = iter(all_given)
            with closing(predict.batches_of([run], files)) as batches:
                for batch in batches:
                    for _, seen in batch:
                        _check_usable(next(calls).picture, seen.reason)
                    seen_ones = [seen for _, seen in batch]
                    outputs = run.network.trunk_outputs(
                        run.variables, predict.batch_of(run, seen_ones)
                    )
                    of_batch = np.asarray(outputs, np.float32)[: len(batch)]
                    rows.append(of_batch.reshape(len(batch), -1))
        return np.concatenate(rows)

    @quiet_libraries()
    def save_features(
        self,
        folder: AnyPath,
        data_dir: AnyPath | None = None,
        canvas_dir: AnyPath | None = None,
    ) -> None:
        """Writes the features of all works of the collection of training, as `--mode features` does.

        Row i of `features.npy`, float16 [N, C], and of `works.csv` is the same work.

        Args:
          folder: made if it is not there.
          data_dir: the data directory now; default: where it was in training.
          canvas_dir: the folder for canvases now; default: where it was in training.

        Raises:
          ConfigError: for several networks, unless they are folds with the same frozen trunk.
          WorkdirError: if the data has changed since training, or the files cannot be written.
          DataError: if the data cannot be found.
        """
        if len(self._workdirs) > 1:
            raise ConfigError(
                f"features are those of one network, and {len(self._workdirs)} are loaded; load one of "
                f"them, such as {self._workdirs[0]}"
            )
        places = given(data_dir), given(canvas_dir)
        export_features(self._workdirs[0], Path(folder), self._checkpoint, *places)

    @quiet_libraries()
    def evaluate(
        self,
        split: str = "test",
        views: int | None = None,
        data_dir: AnyPath | None = None,
        canvas_dir: AnyPath | None = None,
        cluster_by: str | None = None,
    ) -> dict[str, Any]:
        """Evaluates on a split of the collection of training; writes as `--mode evaluate` does.

        The networks of an ensemble are read again from their workdirs, one after the other. The `test`
        split of a cross-validation are all works, each predicted by the fold that did not see it. Of
        several seeds the result is that of the recipe. From the second look at the same test works on, a
        line says so.

        Args:
          split: `train`, `validation` or `test`.
          views: 1, 5 or 10 views of each work; default: as the run's `eval.views` says.
          data_dir: the data directory now; default: where it was in training.
          canvas_dir: the folder for canvases now; default: where it was in training.
          cluster_by: the label whose works the intervals keep together, or ""; default: as the run's
            `eval.cluster_by` says.

        Returns:
          The contents of `metrics.json`.

        Raises:
          ConfigError: for an unknown split or number of views.
          WorkdirError: if the data has changed since training.
          DataError: if the data cannot be found.
        """
        folders = {"data_dir": given(data_dir), "canvas_dir": given(canvas_dir)}
        settings = {} if cluster_by is None else {"cluster_by": cluster_by}
        evaluate.check_split(split)
        if len(self.runs) == 1:
            run = self.runs[0]
            result = evaluate.evaluate_split(with_data(run, **folders), split, views, settings)
            _say_looks(evaluate.folder_of(run.workdir, split, run.which))
            return result
        result, _, folder = evaluate_workdirs(
            self._workdirs,
            split,
            split != "test",
            {"views": views, "settings": settings, "which": self._checkpoint} | folders,
        )
        _say_looks(folder)
        return result


def _check_usable(picture: Path | int, reason: str) -> None:
    if reason:
        raise DataError(
            f"{named(picture)} is not a usable image: {reason}; leave it out (predict names all that "
            "are not usable)"
        )


def _say_looks(folder: Path) -> None:
    if mesh.is_first_process():
        for line in looks.lines(folder):
            print(line.strip(), flush=True)
