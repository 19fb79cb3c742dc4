import json

import pytest
from tiny import tiny_config

from artjax.modes.benchmark import benchmark, judge
from artjax.places import Places


@pytest.mark.slow
def test_benchmark_measures_three_rates_and_leaves_one_file(data_dir, tmp_path):
    said = []
    workdir = tmp_path / "run"
    config = tiny_config(model__name="narrow_bn", steps=100, batch_size=0)
    result = benchmark(config, Places(workdir, data_dir), seconds=0.2, say=said.append)
    assert [path.name for path in workdir.iterdir()] == ["benchmark.json"]
    assert json.loads((workdir / "benchmark.json").read_text()) == json.loads(json.dumps(result))
    # At most a sixteenth of the 60 works, but at least one for each of the 8 devices.
    assert "batch size: auto is 8 here; the peak learning rate stays 0.05" in said
    assert result["config"]["batch_size"] == 8
    for name in ("step", "data", "loop"):
        assert result[name] > 0
        assert any(line.startswith(f"{name}: {result[name]:,.0f} images/s") for line in said)
    assert result["verdict"] in said
    assert result["loop"] < 2 * min(result["step"], result["data"])


@pytest.mark.parametrize(
    ("rates", "bound", "says"),
    [
        ((100, 1000, 95), "compute", "the run is compute-bound: the data is 10.0 times as fast as"),
        (
            (100, 50, 49),
            "input",
            "the run is input-bound: the data is 0.50 times as fast as the step",
        ),
        (
            (100, 1000, 40),
            "loop",
            "the run is bound by the loop: it has 40% of the speed of the step",
        ),
    ],
)
def test_verdict_names_the_bottleneck(rates, bound, says):
    found, verdict = judge(*rates)
    assert found == bound
    assert verdict.startswith(says)
