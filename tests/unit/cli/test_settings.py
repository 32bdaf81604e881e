"""Settings that cannot work are refused before anything is done."""

import pytest
from pydantic import ValidationError

from cli.errors import CommandError
from cli.settings import Settings


@pytest.mark.parametrize(
    "values",
    [{"topic": "a", "decisions_topic": "a"}, {"topic": Settings().decisions_topic}],
)
def test_events_and_decisions_need_topics_of_their_own(values):
    with pytest.raises(ValidationError, match="TOCSIN_TOPIC names the same topic"):
        Settings(**values)


@pytest.mark.parametrize("name", ["topic", "decisions_topic", "group"])
def test_an_empty_name_is_refused(monkeypatch, name):
    monkeypatch.setenv(f"TOCSIN_{name.upper()}", "")
    with pytest.raises(ValidationError, match="at least 1 character"):
        Settings()


@pytest.mark.parametrize("url", ["nonsense", "", "postgresql://u:hunter2#1@h:hunter2/x"])
def test_a_url_of_no_known_form_is_refused_without_being_quoted(url):
    with pytest.raises(ValidationError) as refused:
        Settings(store_url=url)
    (fault,) = refused.value.errors(include_input=False)
    assert "postgresql://USER@HOST:PORT/DATABASE" in fault["msg"]
    assert "hunter2" not in fault["msg"]


def test_a_password_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        settings = Settings(store_url="postgresql://u@h/x", store_password_file=path)
        with pytest.raises(CommandError, match="TOCSIN_STORE_PASSWORD_FILE names"):
            settings.resolved_store_url()


def test_the_file_of_the_key_for_a_remote_api_is_a_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "key"))
    assert Settings().api_key_file == tmp_path / "key"


@pytest.mark.parametrize("taken", ["TOCSIN_TOPIC", "TOCSIN_DECISIONS_TOPIC"])
def test_labels_need_a_topic_of_their_own(monkeypatch, taken):
    monkeypatch.setenv(taken, "one-for-all")
    monkeypatch.setenv("TOCSIN_LABELS_TOPIC", "one-for-all")
    with pytest.raises(ValidationError, match="a topic of their own"):
        Settings()
