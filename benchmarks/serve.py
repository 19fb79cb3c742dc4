"""Latency and pictures per second of the page to drop pictures on, and of the network alone.

    python benchmarks/serve.py --workdir runs/artist-studio --pictures FOLDER

A server is started as `--mode serve` starts it, and asked by one client, then by several at once, each
over its own connection. An answer is all of it: cleaning, probabilities, heat map, nearest works, JSON.
Beside it stands `load(workdir).predict_each`, which has probabilities only.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import common

import artjax

_READY = "is the page"


def started(args: argparse.Namespace) -> tuple[subprocess.Popen[str], str]:
    """The server, and its address."""
    launch = Path(artjax.__file__).parents[1] / "launch.py"
    command = [sys.executable, str(launch), "--workdir", str(args.workdir), "--mode", "serve"]
    command += ["--port", "0", "--per_minute", "1000000"]
    command += ["--data_dir", str(args.data_dir)] if args.data_dir else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if _READY in line:
            return process, line.split()[0]
    raise common.CannotRunError("the server did not start")


def asked(address: str, pictures: list[bytes]) -> list[float]:
    """Seconds of each answer to one client, who waits for it before the next picture."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    seconds = []
    for picture in pictures:
        since = time.perf_counter()
        connection.request("POST", "/predict", picture)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        seconds.append(time.perf_counter() - since)
    return seconds


def main() -> None:
    """Prints three lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=Path, required=True, help="of a run")
    parser.add_argument("--data_dir", type=Path, help="of its collection")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--clients", type=int, default=8, help="clients at the same time")
    parser.add_argument("--count", type=int, default=200, help="pictures of each measurement")
    args = parser.parse_args()
    files = sorted(path for path in args.pictures.rglob("*") if path.is_file())
    files = list(islice(cycle(files), args.count))
    contents = {path: path.read_bytes() for path in files}
    pictures = [contents[path] for path in files]
    process, address = started(args)
    try:
        asked(address, pictures[:20])
        alone = asked(address, pictures)
        shares = [pictures[i :: args.clients] for i in range(args.clients)]
        since = time.perf_counter()
        with ThreadPoolExecutor(args.clients) as people:
            answered = people.map(lambda share: asked(address, share), shares)
            together = list(chain.from_iterable(answered))
        taken = time.perf_counter() - since
    finally:
        process.terminate()
        process.wait()
    one = sorted(alone)
    print(
        f"one client: median {1e3 * statistics.median(one):.0f} ms, of 95 % at most "
        f"{1e3 * one[int(0.95 * (len(one) - 1))]:.0f} ms; {len(one) / sum(one):.1f} pictures/s"
    )
    print(
        f"{args.clients} clients: median {1e3 * statistics.median(together):.0f} ms, "
        f"{len(pictures) / taken:.1f} pictures/s"
    )
    run = artjax.load(args.workdir)
    list(run.predict_each(files[:64]))
    since = time.perf_counter()
    list(run.predict_each(files))
    taken = time.perf_counter() - since
    print(
        f"predict_each in one process: {len(files) / taken:.1f} pictures/s, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    sys.exit(common.run(main))
