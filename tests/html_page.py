"""A page as a browser reads it."""

from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path


class Page(HTMLParser):
    """What a browser would load, the text that it shows, and what a screen reader needs.

    Attributes:
      sources: of pictures and the like.
      links: their addresses.
      tags: those that occur.
      text: the pieces of text, the style sheet included.
      language: of the page, or None.
      alternatives: the texts for pictures; None for a picture without one.
      headings: the level of each heading.
    """

    VOID = frozenset(("meta", "br", "img", "link", "input", "hr", "wbr", "col"))

    def __init__(self, file):
        super().__init__()
        self.sources, self.links, self.tags, self.open, self.text = [], [], set(), [], []
        self.language, self.alternatives, self.headings = None, [], []
        self.feed(Path(file).read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        self.sources += [attributes["src"]] if "src" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag == "html":
            self.language = attributes.get("lang")
        if tag == "img":
            self.alternatives.append(attributes.get("alt"))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)  # of a drawing

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def headings_skip_no_level(self):
        """Whether there is one first heading, and each is at most one level below the one before."""
        steps = [after - before for before, after in pairwise(self.headings)]
        return self.headings.count(1) == 1 and self.headings[0] == 1 and max(steps, default=0) <= 1
