"""What pyproject.toml cannot say: a wheel holds the repository's configs/ and datasets/ as well.

They lie in `artjax/bundled/`, where `artjax.places.bundled` looks for them. An editable install bundles
nothing: it uses those of the repository.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_FOLDERS = ("configs", "datasets")
_SUFFIXES = (".py", ".md", ".txt", ".bib")


def _bundled() -> list[str]:
    """The files of configs/ and of the builders, without their tests."""
    return sorted(
        file.as_posix()
        for folder in _FOLDERS
        for file in Path(folder).rglob("*")
        if file.suffix in _SUFFIXES and not file.name.endswith("_test.py")
    )


class BuildWithBundled(build_py):
    """Copies the bundled files beside the package's own."""

    def run(self) -> None:
        """As setuptools does, and then copies."""
        super().run()
        bundled = Path(self.build_lib) / "artjax" / "bundled"
        # What an earlier build has left there may be gone from the repository.
        shutil.rmtree(bundled, ignore_errors=True)
        for file in _bundled():
            self.mkpath(str((bundled / file).parent))
            self.copy_file(file, str(bundled / file))

    def get_source_files(self) -> list[str]:
        """What a source distribution needs."""
        return [*super().get_source_files(), *_bundled()]


setup(cmdclass={"build_py": BuildWithBundled})
