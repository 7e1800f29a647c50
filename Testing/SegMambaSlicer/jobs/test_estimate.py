"""Time estimates: windows counted as the network takes them, times learned and kept."""

import json

import pytest

REQUEST = {"model": "brats", "device": "auto"}
RESULT = {"window_seconds": 2.0, "compute_seconds": 16.0, "seconds": 17.0, "loaded": False}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "settings" / "times.json"


@pytest.mark.parametrize("overlap", (0.0, 0.25, 0.5, 0.7))
@pytest.mark.parametrize("size", ((10, 16, 17), (32, 33, 47), (240, 155, 5)))
def test_windows_are_counted_as_the_sliding_window_lays_them(jobs, size, overlap):
    from segmamba.inference.window import plan

    assert jobs.count_windows(size, (16, 16, 16), overlap) == plan(size, (16, 16, 16), overlap).count


def test_windows_are_counted_in_the_models_spacing(jobs):
    assert jobs.count_windows((20, 40, 32), (16, 16, 16), 0.5, (2, 1, 1), (1, 1, 2)) == 4 * 4 * 1


def test_nothing_is_known_before_the_first_job(jobs, file):
    estimates = jobs.Estimates(file)
    assert estimates.window_seconds(REQUEST) is None
    assert estimates.job_seconds(REQUEST, 8, loaded=True) is None
    assert not file.exists()


def test_what_was_learned_is_kept_for_the_next_session(jobs, file):
    jobs.Estimates(file).learn(REQUEST, RESULT)
    estimates = jobs.Estimates(file)
    assert estimates.window_seconds(REQUEST) == 2.0
    assert estimates.job_seconds(REQUEST, 4, loaded=True) == 9.0
    assert estimates.job_seconds(REQUEST, None, loaded=True) is None
    assert [path.name for path in file.parent.iterdir()] == ["times.json"]


def test_loading_the_model_counts_only_where_it_must_be_loaded(jobs, file):
    estimates = jobs.Estimates(file)
    estimates.learn(REQUEST, {**RESULT, "loaded": True}, seconds=26.0)
    assert estimates.job_seconds(REQUEST, 8, loaded=False) == 26.0
    estimates.learn(REQUEST, RESULT)
    assert estimates.job_seconds(REQUEST, 8, loaded=True) == 17.0
    assert estimates.job_seconds(REQUEST, 8, loaded=False) > 25.0


@pytest.mark.parametrize(
    "other", ({"model": "liver"}, {"device": "cpu"}, {"precision": "bf16"}, {"threads": 2}, {"tta": True})
)
def test_other_settings_have_times_of_their_own(jobs, file, other):
    estimates = jobs.Estimates(file)
    estimates.learn(REQUEST, RESULT)
    assert estimates.window_seconds({**REQUEST, **other}) is None
    assert estimates.window_seconds({**REQUEST, "precision": "auto", "threads": None, "tta": False}) == 2.0


def test_the_newest_times_count_most_and_the_oldest_entries_go(jobs, file):
    estimates = jobs.Estimates(file)
    for _ in range(8):
        estimates.learn(REQUEST, RESULT)
    for _ in range(3):
        estimates.learn(REQUEST, {**RESULT, "window_seconds": 1.0})
    assert 1.0 < estimates.window_seconds(REQUEST) < 1.2
    for number in range(200):
        estimates.learn({"model": str(number)}, RESULT)
    assert estimates.window_seconds(REQUEST) is None
    assert len(json.loads(file.read_text())) == 200


@pytest.mark.parametrize(
    "text", ("", "[]", "{", '{"brats | auto": 3}', '{"a": {"window": "x", "other": 1, "loading": NaN}}')
)
def test_a_damaged_file_is_as_none(jobs, file, text):
    file.parent.mkdir()
    file.write_text(text)
    estimates = jobs.Estimates(file)
    assert estimates.window_seconds(REQUEST) is None
    estimates.learn(REQUEST, RESULT)
    assert jobs.Estimates(file).window_seconds(REQUEST) == 2.0


@pytest.mark.parametrize("wrong", ({"window_seconds": None}, {"compute_seconds": "x"}, {"seconds": float("nan")}))
def test_an_answer_without_times_teaches_nothing(jobs, file, wrong):
    jobs.Estimates(file).learn(REQUEST, {**RESULT, **wrong})
    assert not file.exists()


def test_a_folder_that_cannot_be_written_costs_no_job(jobs, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    estimates = jobs.Estimates(tmp_path / "file" / "times.json")
    estimates.learn(REQUEST, RESULT)
    assert estimates.window_seconds(REQUEST) == 2.0
    assert "cannot be kept" in caplog.text
