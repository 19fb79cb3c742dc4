"""Writes docs/config.md from the fields of the configuration."""

from pathlib import Path

from artjax import config
from artjax.training.checks import tables

PAGE = Path(__file__).with_name("config.md")

if __name__ == "__main__":
    PAGE.write_text(config.as_markdown(tables()), encoding="utf-8")
