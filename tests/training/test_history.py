"""The history of a run: events in their order, whatever a kill has left."""

from artjax.training import history


def test_events_are_read_as_they_were_noted_and_damaged_lines_are_left_out(tmp_path):
    history.note(tmp_path, history.STARTED, 0)
    history.note(tmp_path, history.WARNED, 0, "une façade")
    with (tmp_path / history.FILE).open("a") as file:
        file.write('{"time": 3, "what": "fin\n[1]\n')
    history.note(tmp_path, history.STOPPED, 7, "stopped by SIGTERM")
    found = [(event.what, event.step, event.text) for event in history.read(tmp_path)]
    assert found == [
        ("started", 0, ""),
        ("warned", 0, "une façade"),
        ("stopped", 7, "stopped by SIGTERM"),
    ]
    assert history.read(tmp_path / "nothing") == []
