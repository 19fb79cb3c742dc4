"""`--mode serve`: pictures from several people, and what it refuses. The server is the real one."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import browser
import jax
import numpy as np
import pytest
import uvicorn
from PIL import Image
from tiny import ARTISTS, stripes, tiny_config

import artjax
from artjax.command_line import main
from artjax.errors import ConfigError
from artjax.evaluation.predict import judges_of
from artjax.modes.serve import app, mode
from artjax.modes.serve.answering import Answering
from artjax.modes.serve.explaining import Explainer
from artjax.modes.serve.limits import Rate
from artjax.pages import render
from artjax.places import Places
from artjax.prepare.processes import Workers
from artjax.runs import Run
from artjax.train import train

pytestmark = pytest.mark.slow
narrow_config = partial(tiny_config, model__name="narrow_bn")


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(narrow_config(steps=4), Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


@pytest.fixture(scope="module")
def answers(workdir):
    run = Run.load(workdir)
    found = Answering([run], judges_of([run]), Explainer(run, None, None), cleaners=2)
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(workdir):
    return render(
        "modes/serve/page.html",
        title="artist",
        what="A network.",
        scores=mode._scores(workdir, "best"),
        cautions=["<none>"],
        megabytes=1,
        where="this machine",
        address="http://127.0.0.1",
    )


class Server:
    """The application at a free port of this machine, in a thread."""

    def __init__(self, answers, page, **limits):
        given = {"megabytes": 1, "per_minute": 1000, "hosts": mode._names("127.0.0.1")} | limits
        self._listener = mode._listener("127.0.0.1", 0)
        self.url = mode._address("127.0.0.1", self._listener.getsockname()[1])
        application = app.application(answers, {"artist": ARTISTS}, page, app.Limits(**given))
        settings = uvicorn.Config(application, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.should_exit = True
        self._thread.join(20)
        self._listener.close()

    def ask(self, body, path="/predict", **headers):
        """Status, and what is said."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def server(answers, page):
    with Server(answers, page) as running:
        yield running


def encoded(image, form="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def drawn(artist, seed=0, form="PNG"):
    return encoded(stripes(artist, np.random.default_rng(seed)), form)


def test_an_answer_is_that_of_predict_with_what_the_network_looked_at(server, workdir):
    picture = drawn(1)
    status, said = server.ask(picture)
    said = json.loads(said)
    (expected,) = artjax.load(workdir).predict([Image.open(io.BytesIO(picture))])
    labels = said["tasks"]["artist"]["labels"]
    assert status == 200
    assert [row["label"] for row in labels] == [one.label for one in expected.ranked["artist"]]
    np.testing.assert_allclose(
        [row["probability"] for row in labels],
        [one.probability for one in expected.ranked["artist"]],
        rtol=1e-4,
    )
    assert said["tasks"]["artist"]["unsure"] == expected.unsure["artist"]
    assert len(said["nearest"]) == 5
    similar = [near["similarity"] for near in said["nearest"]]
    assert similar == sorted(similar, reverse=True)
    assert similar[0] <= 1.001
    assert {near["labels"]["artist"] for near in said["nearest"]} <= set(ARTISTS)
    for shown in (
        said["picture"],
        said["tasks"]["artist"]["heat_map"],
        said["nearest"][0]["picture"],
    ):
        assert shown.startswith("data:image/jpeg;base64,")


def test_many_at_once_have_their_own_answers(server):
    pictures = [drawn(i % 3, i) for i in range(12)]
    alone = [json.loads(server.ask(picture)[1]) for picture in pictures]
    with ThreadPoolExecutor(12) as people:
        together = [json.loads(said) for _, said in people.map(server.ask, pictures)]
    for one, other in zip(alone, together, strict=True):
        assert one["picture"] == other["picture"]
        for mine, theirs in zip(
            one["tasks"]["artist"]["labels"], other["tasks"]["artist"]["labels"], strict=True
        ):
            assert mine["probability"] == pytest.approx(theirs["probability"], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"no picture", 422, "not a usable picture: not a picture in any known format"),
        (b"", 422, "no picture: send the bytes of a file"),
        (drawn(0)[:200], 422, "not a usable picture"),
        # 256 megapixels in a few kilobytes: refused before it is decoded.
        (
            encoded(Image.new("1", (16_000, 16_000))),
            422,
            "16000 x 16000 pixels are more than the limit",
        ),
    ],
)
def test_what_cannot_be_used_has_a_reason(server, body, status, reason):
    got, said = server.ask(body)
    assert got == status
    assert re.search(reason, json.loads(said)["error"])


@pytest.mark.parametrize("said", ["Content-Length: 1000001", "Transfer-Encoding: chunked"])
def test_a_large_file_is_refused_as_soon_as_it_is_known(server, said):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: localhost\r\n{said}\r\n\r\n".encode())
        if "chunked" in said:  # one byte too many, and nothing that would stay unread
            for size in (*[62_500] * 16, 1):
                connection.sendall(f"{size:x}\r\n".encode() + b"x" * size + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_other_pages_and_foreign_names_are_refused(server):
    assert server.ask(drawn(0), Origin="http://elsewhere.example")[0] == 403
    assert server.ask(drawn(0), Origin=server.url)[0] == 200
    assert server.ask(None, "/", Host="rebound.example")[0] == 400
    assert server.ask(None, "/")[0] == 200


def test_a_visitor_may_ask_so_often_and_no_more(answers, page):
    with Server(answers, page, per_minute=2) as running:
        assert [running.ask(drawn(0))[0] for _ in range(3)] == [200, 200, 429]


def test_the_rate_is_that_of_an_address_and_comes_back():
    now = [0.0]
    rate = Rate(2, lambda: now[0])
    assert [rate.seconds_to_wait("a") for _ in range(3)] == [0, 0, 30]
    assert rate.seconds_to_wait("b") == 0
    now[0] = 30.0
    assert [rate.seconds_to_wait("a") for _ in range(2)] == [0, 30]


def test_nothing_is_kept(server, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda p, b: (seen.append(p), write(p, b))[1])
    server.ask(drawn(0))
    server.ask(b"no picture")
    assert len(seen) == 2
    assert all(path.is_relative_to(tmp_path) for path in seen)  # it was there
    assert list(tmp_path.iterdir()) == []


def test_a_failure_costs_one_answer(server, answers, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(answers, "_said", lambda pictures: 1 / 0)
        assert server.ask(drawn(0))[0] == 500
    assert "a picture was not answered: division by zero" in capfd.readouterr().err
    assert server.ask(drawn(0))[0] == 200


def test_a_decoder_that_crashes_or_hangs_costs_one_picture():
    workers = Workers(1)
    assert workers.apply(os._exit, 3, 60) is None
    assert workers.apply(abs, -2, 60) == 2
    assert workers.apply(time.sleep, 60, 0.2) is None
    with pytest.raises(TypeError):
        workers.apply(abs, "x", 60)
    workers.close()


@pytest.mark.skipif(browser.PROGRAM is None, reason="Chromium is not installed")
def test_pictures_are_dropped_on_the_page(server, tmp_path):
    (tmp_path / "first.png").write_bytes(drawn(0))
    (tmp_path / "second.tif").write_bytes(drawn(1, form="TIFF"))
    (tmp_path / "<b>broken.jpg").write_bytes(b"no picture")
    with browser.Browser(tmp_path / "profile") as page:
        page.open(server.url)
        page.drop(sorted(tmp_path.glob("*.*")), "#drop")
        page.until("document.querySelectorAll('.answer').length == 3")
        # The last one is at the top.
        assert page.value(
            "[...document.querySelectorAll('.answer h3')].map(h => h.textContent)"
        ) == [
            "second.tif",
            "first.png",
            "<b>broken.jpg",
        ]
        assert page.value("document.querySelectorAll('.answer .note').length") >= 1
        assert "not a usable picture" in page.value(
            "[...document.querySelectorAll('.answer')].at(-1).textContent"
        )
        page.value("document.querySelector('.views input:not(:checked)').click()")
        assert "coloured" in page.value("document.querySelector('.answer .whole img').alt")
        page.until("[...document.images].every(image => image.complete && image.naturalWidth)")
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        refused = [p for p in page.problems if "422" not in json.dumps(p)]
        assert refused == []


def test_the_command_says_where_and_ends_with_ctrl_c(workdir):
    words = ["--workdir", str(workdir), "--mode", "serve", "--port", "0"]
    program = f"import narrow, sys; from artjax.command_line import main; sys.exit(main({words!r}))"
    command = [sys.executable, "-c", program]
    tests = Path(browser.__file__).parent
    paths = {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    with subprocess.Popen(
        command, env=os.environ | paths, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = []
        while not (lines and "is the page" in lines[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        url = lines[-1].split()[0]
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest.endswith("ended\n")
    assert "Traceback" not in rest
    assert re.search(r"of \d+ works that it had not seen have the right artist", text)


def test_what_cannot_be_served_is_one_line(workdir, monkeypatch):
    words = ["--workdir", str(workdir), "--mode", "serve"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1, port {port}: .*in use"):
            main([*words, "--port", port])
    with pytest.raises(ConfigError, match="--port 70000: it must be between 0 and 65535"):
        main([*words, "--port", "70000"])
    with pytest.raises(ConfigError, match="--max_mb 0: it must be 1 or more"):
        main([*words, "--max_mb", "0"])
    with pytest.raises(ConfigError, match=r"--host nowhere\.invalid: "):
        main([*words, "--host", "nowhere.invalid"])
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"needs Starlette and Uvicorn: pip install .*\[serve\]"):
        main(words)


def test_only_this_machine_unless_told_otherwise():
    assert mode._is_loopback("127.0.0.1")
    assert mode._is_loopback("::1")
    assert not mode._is_loopback("0.0.0.0")
    assert "*" not in mode._names("localhost")
