import json

import pytest
from tiny import tiny_config

from artjax.benchmark import benchmark, judge


@pytest.mark.slow
def test_benchmark_measures_three_rates_and_leaves_one_file(data_dir, tmp_path):
    said = []
    workdir = tmp_path / "run"
    config = tiny_config(steps=100, batch_size=0)
    result = benchmark(config, workdir, data_dir, seconds=0.2, say=said.append)
    assert [path.name for path in workdir.iterdir()] == ["benchmark.json"]
    assert json.loads((workdir / "benchmark.json").read_text()) == json.loads(json.dumps(result))
    # Of 60 works no more than a sixteenth, but one for each of the 8 devices.
    assert "batch size: auto is 8 works here; peak learning rate 0.05 as set" in said
    assert result["config"]["batch_size"] == 8
    for name in ("step", "data", "loop"):
        assert result[name] > 0
        assert any(line.startswith(f"{name}: {result[name]:,.0f} images/s") for line in said)
    assert result["verdict"] in said
    assert result["loop"] < 2 * min(result["step"], result["data"])


@pytest.mark.parametrize(
    ("rates", "limits", "says"),
    [
        ((100, 1000, 95), "step", "the step limits: data comes 10.0 times as fast"),
        ((100, 50, 49), "data", "the data limits: it comes at 0.50 times the speed of the step"),
        ((100, 1000, 40), "loop", "the loop limits: it reaches 40% of the bare step"),
    ],
)
def test_verdict_names_what_limits(rates, limits, says):
    found, verdict = judge(*rates)
    assert found == limits
    assert verdict.startswith(says)
