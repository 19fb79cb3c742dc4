"""Where compiled programs are kept. That a second start compiles none is tested in test_train.py."""

import jax
import jax.numpy as jnp
import pytest

import launch
from artjax.errors import DataError
from artjax.runtime.compilation_cache import CompilationCounter, use_cache

FLAGS = [
    *("--config", "configs/artist.py:tiny", "--config.image_size=32", "--config.canvas_size=40"),
    *("--config.batch_size=16", "--config.steps=12", "--config.model.name=vgg_small"),
    *("--stop_after_steps", "1"),
]


@pytest.fixture
def restored():
    before = jax.config.jax_compilation_cache_dir
    yield before
    jax.config.update("jax_compilation_cache_dir", before)


def test_where_programs_are_kept(restored, tmp_path, monkeypatch):
    assert use_cache() is None
    assert jax.config.jax_compilation_cache_dir == restored  # JAX's own variable, as it was set
    assert use_cache(str(tmp_path / "mine")) is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "artjax" / "compiled")
    use_cache("off")
    assert jax.config.jax_compilation_cache_dir is None


def test_folder_that_cannot_be_written_is_a_warning(restored, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    with pytest.raises(DataError, match="no prepared data set"):  # after the warning
        launch.main([*FLAGS, "--data_dir", str(tmp_path), "--compilation_cache", str(folder)])
    (warned,) = capsys.readouterr().err.splitlines()
    assert warned.startswith(f"artjax: compiled programs cannot be kept in {folder} (")
    assert jax.config.jax_compilation_cache_dir is None


def test_counter_counts_programs_only_while_it_is_open():
    function = jax.jit(lambda x: x * 3 + 7)
    with CompilationCounter() as counter:
        function(jnp.ones(5))
    programs = counter.programs
    assert programs >= 1
    function(jnp.ones(6))
    assert counter.programs == programs
