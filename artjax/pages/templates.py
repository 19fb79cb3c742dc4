"""One environment for the templates of all pages."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


@cache
def _environment() -> jinja2.Environment:
    # Imported here: a machine that only trains need not have it.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("artjax", ""),
        autoescape=True,  # names and titles come from catalogues
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def render(template: str, **values: Any) -> str:
    """A page as HTML. It needs no script, no server and no network.

    A template belongs to the room that fills it. It extends `pages/base.html`, which has the style
    sheet, and imports parts such as tables and bars from `pages/parts.html`. Three filters are known
    everywhere: `count` (1,234), `percent` (of a share in [0, 1]: 12.3%), and `capitalize_first`.

    Args:
      template: its path inside the package, such as `modes/describe/page.html`.
      values: what the template names; text is escaped.

    Raises:
      jinja2.UndefinedError: if the template names a value that is not given.
    """
    return _environment().get_template(template).render(values)
