"""`python -m artjax.studio.prepare DATA_DIR`: `tfds build datasets/studio` without a repository."""

import sys

from artjax.errors import show_plainly


def main() -> None:
    """Draws the studio and prepares it in the data directory that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m artjax.studio.prepare DATA_DIR")
    from artjax.studio.builder import Builder

    Builder(data_dir=sys.argv[1]).download_and_prepare()


if __name__ == "__main__":
    show_plainly()
    main()
