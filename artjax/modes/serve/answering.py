"""What one or more runs say of pictures that come one by one from several people at once."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artjax import config as config_lib
from artjax.evaluation import predict
from artjax.evaluation.judging import Judge
from artjax.evaluation.predict import Answer
from artjax.modes.serve.explaining import SHOWN_PX, Explainer, Explanation
from artjax.prepare.processes import Workers
from artjax.prepare.seeing import Seen, see
from artjax.runs import Run

AT_ONCE = 8
"""Pictures that the network sees together, at most, where several people ask at the same time."""

_CLEANING_SECONDS = 30
_TOO_SLOW = f"it cannot be decoded within {_CLEANING_SECONDS} seconds, or its decoder crashed"


class Told(NamedTuple):
    """What is said of a picture.

    Attributes:
      answer: with a `reason` if the picture is not usable; its file is gone.
      seen: what the networks saw of it.
      explanation: what the network looked at; None if the picture is not usable.
    """

    answer: Answer
    seen: Seen
    explanation: Explanation | None


class Answering:
    """Cleans pictures in processes of their own, and shows them to the networks, some at a time.

    A picture lies in a private temporary folder for as long as it is being cleaned, and nowhere else.
    `answer` may be called by several threads.
    """

    def __init__(
        self, runs: Sequence[Run], judges: Sequence[Judge], explainer: Explainer, cleaners: int
    ) -> None:
        """Starts the thread that runs the networks, and compiles for every number of pictures.

        Args:
          runs: several are an ensemble.
          judges: from `predict.judges_of`, of the same runs.
          explainer: of the first run.
          cleaners: number of processes that clean.
        """
        self._runs, self._judges, self._explainer = runs, judges, explainer
        sides = {config_lib.canvas_size(run.config) for run in runs}
        self._sides = tuple(sorted(sides | {SHOWN_PX}))
        self._workers = Workers(cleaners)
        self._waiting: queue.SimpleQueue[tuple[Seen, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="networks", daemon=True)
        self._warm_up()
        self._thread.start()

    def answer(self, picture: bytes) -> Told:
        """What the networks say of a picture file, whose bytes are given.

        Raises:
          OSError: if there is no room for a temporary file.
          Exception: what the networks raised, such as running out of memory.
        """
        seen = self._clean(picture)
        if seen.reason:
            return Told(Answer(Path(), reason=seen.reason), seen, None)
        future: Future[tuple[Answer, Explanation]] = Future()
        self._waiting.put((seen, future))
        answer, explanation = future.result()
        return Told(answer, seen, explanation)

    def close(self) -> None:
        """Ends the thread and the processes, after what they are doing."""
        self._waiting.put(None)
        self._thread.join()
        self._workers.close()

    def _clean(self, picture: bytes) -> Seen:
        look = partial(see, short_side_px=self._runs[0].record.short_side_px, sides=self._sides)
        with tempfile.TemporaryDirectory(prefix="artjax-serve-") as folder:
            file = Path(folder) / "picture"
            file.write_bytes(picture)
            return self._workers.apply(look, file, _CLEANING_SECONDS) or Seen(reason=_TOO_SLOW)

    def _warm_up(self) -> None:
        grey = Seen({side: np.full((side, side, 3), 128, np.uint8) for side in self._sides})
        count = 1
        while count <= AT_ONCE:
            self._said([grey] * count)
            count *= 2

    def _work(self) -> None:
        ended = False
        while not ended:
            item = self._waiting.get()
            asked = []
            while item is not None:
                asked.append(item)
                if len(asked) == AT_ONCE:
                    break
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            ended = item is None
            if asked:
                self._serve(asked)

    def _serve(self, asked: Sequence[tuple[Seen, Future[Any]]]) -> None:
        try:
            said = self._said([seen for seen, _ in asked])
        except Exception as error:  # it belongs to those who asked; the next ones are served
            for _, future in asked:
                future.set_exception(error)
            return
        for (_, future), of_picture in zip(asked, said, strict=True):
            future.set_result(of_picture)

    def _said(self, pictures: Sequence[Seen]) -> list[tuple[Answer, Explanation]]:
        found = predict.answers_of(self._runs, pictures, self._judges)
        answers = [found.of_row(Path(), row) for row in range(len(pictures))]
        return list(zip(answers, self._explainer.explain(pictures, found), strict=True))


def cleaners_for_this_machine() -> int:
    """A process for each core that may be used."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
