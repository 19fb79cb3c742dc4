"""What all our TFDS builders share. Only this module and the builders import TFDS at the top."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.writer import ExampleWriter
from tensorflow_datasets.proto import tf_example_pb2

from artjax.config import nearest
from artjax.data import prepared
from artjax.data.reports import SPLITS_CSV, read_split_rows, remember_splits
from artjax.data.splits import SHARES, SPLITS, shares_of
from artjax.errors import ConfigError, DataError, plain_if_uncaught
from artjax.prepare import previous, reuse, tfds_program
from artjax.prepare.apart import stay_lines
from artjax.prepare.beam_runner import without_download
from artjax.prepare.catalogue import Catalogue, Work
from artjax.prepare.cleaning import CleanedWork
from artjax.prepare.growth import growth_lines
from artjax.prepare.missing_urls import command, write_missing_urls
from artjax.prepare.origin import check_origin, origin
from artjax.prepare.picture_decoding import MAX_PIXELS, SHORT_SIDE_PX
from artjax.prepare.reading import reading_lines
from artjax.prepare.selection import select
from artjax.prepare.source_baseline import source_warnings
from artjax.runtime import locks
from artjax.runtime.tensorflow_import import import_tensorflow


class WorksInfo(tfds.core.DatasetInfo):
    """TFDS's description of a set. At the end of `tfds build`, which prints it, it is one line."""

    built_here = False

    def __repr__(self) -> str:
        return f"{self.full_name} is in {self.data_dir}" if self.built_here else super().__repr__()


class _SetAside(type(tfds.core.Path("/"))):  # type: ignore[misc]
    """The path of a prepared set, which is kept until another one is complete."""

    def rmtree(self, missing_ok: bool = False) -> None:
        if self.exists() or not missing_ok:
            previous.set_aside(Path(self))


class InOrderWriter(ExampleWriter):
    """Writes the features of each example in the order of their names.

    TFDS leaves the order to protobuf, which draws a new one in each process: the same pictures would
    give other bytes in each build.
    """

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        """As TFDS does; `examples` are pairs of a key and a serialised `tf.train.Example`."""
        in_order = (
            (key, tf_example_pb2.Example.FromString(example).SerializeToString(deterministic=True))
            for key, example in examples
        )
        return super().write(path, in_order)


def require_whole_number(field: str, value: Any) -> None:
    """Raises `ConfigError` if the value of a setting is not a whole number of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"--config: {field} must be a whole number from 1, not {value!r}")


@dataclasses.dataclass(eq=False)
class WorksConfig(tfds.core.BuilderConfig):
    """The settings that all our builders share; as JSON: `--config '{"name": "mine", "min_works": 5}'`.

    Attributes:
      min_works: classes with fewer works are left out, except those of an official list.
      short_side_px: pictures with a longer shorter side are scaled down to it.
      max_pixels: larger pictures are refused before they are decoded.
      near_duplicates: whether to look for near-duplicates and keep them in one split; "details" looks
        for details, large crops and framed copies as well.
      conflicts: near-duplicates with different labels are for "train" only, are kept like others
        ("keep"), or are left out ("drop").
      split_shares: of train, validation and test, for works that no list divides.
      split_by: a label or another column of the catalogue, such as "artist", whose works with the same
        cell are all in one split; empty to divide works one by one.
    """

    name: str = ""
    min_works: int = 1
    short_side_px: int = SHORT_SIDE_PX
    max_pixels: int = MAX_PIXELS
    near_duplicates: bool | str = True
    conflicts: str = "train"
    split_shares: Sequence[float] = SHARES
    split_by: str = ""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Raises `ConfigError` for unknown settings; TFDS passes on what the command line has."""
        fields = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in fields:
                hint = nearest(name, fields)
                with plain_if_uncaught():
                    raise ConfigError(f"--config: no setting '{name}'{hint}")
        return super().__new__(cls)

    @plain_if_uncaught()
    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raises `ConfigError` if a value is invalid."""
        if not self.name:
            raise ConfigError('--config: give the settings a name, as in {"name": "mine", …}')
        for field in ("min_works", "short_side_px", "max_pixels"):
            require_whole_number(field, getattr(self, field))
        if not (isinstance(self.near_duplicates, bool) or self.near_duplicates == "details"):
            raise ConfigError(
                "--config: near_duplicates must be true, false or 'details', not "
                f"{self.near_duplicates!r}"
            )
        self.require_one_of("conflicts", ("train", "keep", "drop"))
        if not isinstance(self.split_by, str):
            raise ConfigError(
                f'--config: split_by must be a column, such as "artist", not {self.split_by!r}'
            )
        shares = self.split_shares
        if not isinstance(shares, list | tuple) or not all(
            isinstance(share, float) and share > 0 for share in shares
        ):
            shares = ()
        if len(shares) != len(SPLITS) or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(
                f"--config: split_shares must be the shares of {', '.join(SPLITS)}, each above 0 and 1 "
                f"in sum, as in [0.7, 0.15, 0.15], not {self.split_shares!r}"
            )

    def require_one_of(self, field: str, valid: Sequence[str]) -> None:
        """Raises `ConfigError` if the value of a field is not a valid one."""
        value = getattr(self, field)
        if value not in valid:
            near = nearest(str(value), valid)
            shown = ", ".join(word for word in valid if word)
            raise ConfigError(f"--config: {field} '{value}' is none of {shown}{near}")


# mypy sees `object` where TFDS is not followed; TFDS's base class takes the keyword.
class WorksBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Cleans the pictures of a catalogue, divides them into splits, and reports what was left out.

    A builder defines `_info`, by `works_info`, and `read_catalogue`.
    """

    # TFDS asks for another major version where the splits have other examples.
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "2.0.0": "Splits are stratified: each has its share of every class.",
        "1.0.0": "Initial release.",
    }
    LABELS: ClassVar[tuple[str, ...]] = ()
    OTHER_CONFIGS: ClassVar[str] = ""  # how to write what is none of the configs
    # For builders without configs.
    SETTINGS: ClassVar[WorksConfig] = WorksConfig(name="default")
    METADATA: ClassVar[dict[str, Any]] = {}

    @plain_if_uncaught()
    def __init__(self, *, config: Any = None, **settings: Any) -> None:
        tfds_program.log_errors_only()
        if isinstance(config, str) and config.partition(":")[0] not in self.builder_configs:
            valid = ", ".join(self.builder_configs)
            near = nearest(config, self.builder_configs)
            raise ConfigError(
                f"--config {config}: {self.name} has the configs {valid}{near}{self.OTHER_CONFIGS}"
            )
        if not isinstance(config, str | None) and config is not self.builder_configs.get(
            config.name, config
        ):
            raise ConfigError(
                f"--config: the name '{config.name}' is taken by a config of {self.name}; "
                "choose another"
            )
        super().__init__(config=config, **settings)

    def read_catalogue(self, manual_dir: Path | None) -> Catalogue:
        """Reads the collection's own catalogue; no picture is opened.

        Args:
          manual_dir: the folder that the user gave; None for builders that need none.

        Raises:
          DataError: if it is missing or invalid.
        """
        raise TypeError(f"{type(self).__name__} must define read_catalogue")

    def dataset_info_from_configs(self, **described: Any) -> tfds.core.DatasetInfo:
        """As TFDS does, with our class."""
        texts = self.get_metadata()
        described |= {
            name: text for name in ("description", "citation") if (text := getattr(texts, name))
        }
        return WorksInfo(builder=self, **described)

    def works_info(self, **described: Any) -> tfds.core.DatasetInfo:
        """The DatasetInfo with the features that every prepared set has, and `LABELS`."""
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    **{label: tfds.features.ClassLabel() for label in self.LABELS},
                    "title": tfds.features.Text(),
                    "year": np.int32,
                    "year_uncertainty": np.int32,
                    "file_name": tfds.features.Text(),
                    "work_id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", self.LABELS[0]),
            metadata=tfds.core.MetadataDict(),
            **described,
        )

    @property
    def data_path(self) -> Any:
        """As TFDS has it; but `--overwrite`, which begins with its `rmtree`, sets the folder aside."""
        path = super().data_path
        return _SetAside(path) if path.name == str(self.VERSION) else path

    @plain_if_uncaught()
    def download_and_prepare(self, **settings: Any) -> None:
        """As TFDS does; at the end, prints what was prepared and what was left out."""
        self._summary = [
            f"{self.info.full_name} is prepared already and stays as it is: {self.data_dir} "
            "(--overwrite builds it again)"
        ]
        if Path(self.data_dir).exists():
            self._check_unchanged(settings.get("download_config"))
            self._prepare(**settings)
        else:
            with locks.after_others(Path(self.data_dir).parent, f"building {self.info.full_name}"):
                if Path(self.data_dir).exists():  # another process has built it meanwhile
                    self.info.read_from_directory(self.data_dir)
                try:
                    self._prepare(**settings)
                except BaseException:
                    previous.put_back(Path(self.data_dir))
                    raise
        for line in self._summary:
            print(line, flush=True)
        self.info.built_here = True
        folder = Path(self.data_dir)
        root = folder.parents[self.info.full_name.count("/")]
        tfds_program.say_next_at_exit(prepared.read(folder, root), root)
        if (folder / SPLITS_CSV).is_file():
            with locks.after_others(folder.parent, f"noting the splits of {self.info.full_name}"):
                remember_splits(folder / SPLITS_CSV, folder.parent / SPLITS_CSV)
        shutil.rmtree(reuse.cleaned_dir(folder), ignore_errors=True)
        previous.remove(folder)

    def _check_unchanged(self, download_config: Any) -> None:
        """Raises `ChangedListError` if the given folder, if one is given, has other works by now."""
        manual_dir = getattr(download_config, "manual_dir", None)
        metadata = Path(self.data_dir) / "metadata.json"
        if self.MANUAL_DOWNLOAD_INSTRUCTIONS is None or not manual_dir or not metadata.is_file():
            return
        folder = Path(manual_dir)
        if not folder.is_dir():
            raise DataError(f"the folder {folder} does not exist")
        check_origin(
            Path(self.data_dir),
            self.info.full_name,
            self.builder_config,
            self.read_catalogue(folder),
            folder,
        )

    def _prepare(self, **settings: Any) -> None:
        """As TFDS does; a data directory that cannot be written is one line."""
        import_tensorflow()
        try:
            super().download_and_prepare(**settings)
        except OSError as error:
            data_dir = Path(self.data_dir).parent
            at = str(error.filename or "")
            root = str(self._data_dir_root)
            if not at or not (at.startswith(root) or root.startswith(at)):
                raise
            raise DataError(
                f"cannot write {data_dir} ({error.strerror}); give another place with --data_dir"
            ) from None

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        # Either of them makes Beam distribute the work; TFDS's writer follows `_generate_examples`.
        self._beam = None
        if download_config.beam_options or download_config.beam_runner:
            options = download_config.beam_options
            download_config.beam_runner = without_download(download_config.beam_runner, options)
            self._beam = (download_config.beam_runner, options)
        super()._download_and_prepare(dl_manager, download_config)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        manual_dir = self._manual_dir(dl_manager)
        catalogue = self.read_catalogue(manual_dir)
        for line in reading_lines(catalogue):
            print(f"reading: {line}", flush=True)
        folder = Path(self.data_dir)  # the unfinished one, which is renamed when all is written
        settings = self.settings
        written = folder.parent / str(self.VERSION)  # where the folder will be
        before = previous.read_previous(written)
        sizes = (settings.short_side_px, settings.max_pixels)
        cleaned = reuse.clean_new(catalogue.works, written, before, sizes, self._beam)
        # Only the builder's version decides about works that nobody brings, such as the studio's.
        placed = [] if manual_dir is None else read_split_rows(folder.parent / SPLITS_CSV)
        selection = select(
            catalogue,
            cleaned,
            shares_of(catalogue.divided_into, settings.split_shares),
            settings.min_works,
            near_duplicates=settings.near_duplicates,
            conflicts=settings.conflicts,
            split_by=settings.split_by,
            previous=[row for row in placed if row.split in catalogue.divided_into],
        )
        selection.check()
        selection.write_reports(folder)
        for label in self.LABELS:
            self.info.features[label].names = list(selection.catalogue.class_names.get(label, ()))
        self.info.metadata.update(
            {
                **selection.metadata(),
                "short_side_px": settings.short_side_px,
                **self.METADATA,
                **(origin(catalogue, manual_dir) if manual_dir else {}),
            }
        )
        kept = (pair for works in selection.kept.values() for pair in works)
        reuse.write(reuse.file_beside(written), sizes, kept)
        self._summary = [*growth_lines(before, selection), *selection.summary(written)]
        self._summary += source_warnings(selection)
        self._summary += stay_lines(placed, settings.split_by, folder.parent / SPLITS_CSV)
        if selection.missing_urls and manual_dir is not None:
            urls_file = written / write_missing_urls(selection.missing_urls, [folder]).name
            self._summary.append(
                f"missing: {len(selection.missing_urls):,} pictures; download them, then build with "
                f"--overwrite: {command(urls_file, manual_dir)}"
            )
        return {split: self._generate_examples(works) for split, works in selection.kept.items()}

    def _example_writer(self) -> ExampleWriter:
        return InOrderWriter(self.info.file_format)

    def _generate_examples(self, works: Sequence[tuple[Work, CleanedWork]]) -> Any:
        example = partial(_example, labels=self.LABELS)
        if self._beam is None:
            return map(example, works)
        import apache_beam as beam

        # Nobody needs the fingerprints any more, and they are most of what would be sent.
        sent = [(work, dataclasses.replace(picture, fingerprint=None)) for work, picture in works]
        return beam.Create(sent) | beam.Reshuffle() | beam.Map(example)

    @property
    def settings(self) -> WorksConfig:
        """The settings of the config, or of the builder if it has no configs."""
        config = self.builder_config
        return config if isinstance(config, WorksConfig) else self.SETTINGS

    def _manual_dir(self, dl_manager: tfds.download.DownloadManager) -> Path | None:
        if self.MANUAL_DOWNLOAD_INSTRUCTIONS is None:
            return None
        try:
            return Path(dl_manager.manual_dir)
        except AssertionError as error:  # how TFDS says that the folder is missing or empty
            where = str(error).partition("Manual directory ")[2].partition(" does not exist")[0]
            instructions = " ".join(self.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
            there = not where or Path(where).is_dir()
            problem = "no pictures in {}" if there else "the folder {} does not exist"
            raise DataError(f"{problem.format(where or '--manual_dir')}. {instructions}") from error


def _example(picked: tuple[Work, CleanedWork], labels: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """(key, features) of a work; a function of the module, since Beam sends it to other processes."""
    work, picture = picked
    assert picture.jpeg is not None
    return work.file_name, {
        "image": picture.jpeg.read_bytes(),
        **{label: work.labels.get(label, -1) for label in labels},
        "title": work.title,
        "year": work.year,
        "year_uncertainty": work.year_uncertainty,
        "file_name": work.file_name,
        "work_id": work.work_id,
    }
