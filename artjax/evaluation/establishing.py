"""Sets temperature and thresholds of a run on its validation works, when its training has ended."""

from __future__ import annotations

from artjax import config as config_lib
from artjax.evaluation import reliability, train_embeddings, unlike
from artjax.evaluation.evaluate import predict_works
from artjax.evaluation.reliability import Calibration, Reliability
from artjax.runs import OpenRun
from artjax.runtime.mesh import first_process_first, is_first_process


def establish(opened: OpenRun) -> Reliability:
    """Writes `reliability.json`, and `train_embeddings.npz` if `eval.kept_works` is above 0.

    It takes a pass over validation for the temperature, with the views of `eval.views`, and one over
    train and validation for the distances. These works also chose the checkpoint.

    Args:
      opened: the run with its best checkpoint, and its data. All processes must call this together.

    Raises:
      WorkdirError: if the files cannot be written.
    """
    run, settings = opened.run, opened.run.config.eval
    validation = opened.data.split("validation", config_lib.label_features(run.config))
    predictions = predict_works(opened, validation, settings.views)
    calibrations = {
        task: Calibration.of(of_task)
        for task, (known, of_task) in predictions.items()
        if len(known)
    }
    train, distances = None, []
    if settings.kept_works and len(validation):
        train = train_embeddings.of_train(opened, settings.kept_works)
        there = train_embeddings.of_works(opened, validation)
        distances = unlike.distances(there, train.works).tolist()
    found = Reliability(
        run.workdir,
        run.step,
        settings.views,
        settings.error_rate,
        settings.foreign_rate,
        calibrations,
        distances,
    )
    with first_process_first():
        if is_first_process():
            if train is not None:
                train_embeddings.keep(run.workdir, train)
            reliability.keep(found)
    return found
