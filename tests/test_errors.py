import sys

import pytest

from artjax.errors import DataError, plain_if_uncaught


@pytest.fixture
def hook(monkeypatch):
    def hook(kind, error, traceback):
        raise AssertionError("not this one")

    monkeypatch.setattr(sys, "excepthook", hook)
    return hook


def test_hook_stays_where_no_error_of_the_user_leaves_the_block(hook):
    with plain_if_uncaught():
        pass
    with pytest.raises(ValueError, match="a bug"), plain_if_uncaught():
        raise ValueError("a bug")
    assert sys.excepthook is hook


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (DataError("no pictures in x"), 2, "artjax: no pictures in x\n"),
        (
            KeyboardInterrupt(),
            130,
            "artjax: interrupted; incomplete files will not be used\n",
        ),
    ],
)
def test_error_of_the_user_is_shown_plainly_if_uncaught(hook, capsys, error, status, says):
    with pytest.raises(type(error)) as caught, plain_if_uncaught():
        raise error
    assert caught.value is error
    with pytest.raises(SystemExit) as end:
        sys.excepthook(type(error), error, error.__traceback__)
    assert end.value.code == status
    assert capsys.readouterr().err == says
    with pytest.raises(AssertionError, match="not this one"):
        sys.excepthook(ValueError, ValueError(), None)
