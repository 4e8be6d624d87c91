"""``panelcal.toml``: what a store's settings may say."""

from pathlib import Path

import pytest

from panelcal.config import FILE_NAME, Settings, read_settings, settings_text
from panelcal.errors import InvalidInputError
from panelcal.storage.database import parse_database_url


def settings_of(directory: Path, content: str) -> Settings:
    (directory / FILE_NAME).write_text(content, encoding="utf-8")
    return read_settings(directory)


def test_without_a_file_everything_is_as_by_default(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings(database_url=None)


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "[database]\n"])
def test_a_file_that_says_nothing_is_as_by_default(tmp_path: Path, content: str) -> None:
    assert settings_of(tmp_path, content) == Settings()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@host/db",
        "postgresql://me:a\"b'c@host/db",
        "postgresql://me:back\\slash@host/db",
        "postgresql:///db?host=/run/post gres",
        "postgresql://me:pass%40word@host:5433/d%C3%A9j%C3%A0",
    ],
)
def test_a_url_is_read_as_it_was_written(tmp_path: Path, url: str) -> None:
    assert settings_of(tmp_path, settings_text(Settings(url))) == Settings(url)


def test_settings_by_default_need_no_file() -> None:
    assert settings_text(Settings()) == ""


@pytest.mark.parametrize("content", ["database =", "[database", "url: x", "\0"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInputError, match=r"panelcal\.toml is not TOML"):
        settings_of(tmp_path, content)


def test_a_file_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'[database]\nurl = "\xff"\n')
    with pytest.raises(InvalidInputError, match="is not TOML"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('colour = "red"', "colour"),
        ('[databse]\nurl = "postgresql://h/d"', "databse"),
        ('[database]\nurll = "postgresql://h/d"', "urll"),
        ("[database]\nurl = 5432", "url"),
        ('database = "postgresql://h/d"', "database"),
        ("database = 3", "database"),
        ('[[database]]\nurl = "postgresql://h/d"', "database"),
    ],
)
def test_what_panelcal_does_not_know_is_refused_by_name(
    tmp_path: Path, content: str, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"says '?{named}'?, which") as caught:
        settings_of(tmp_path, content)
    assert "[database]" in str(caught.value.hint)


@pytest.mark.parametrize("url", ["mysql://me@host/db", "sqlite:///x.db", "oracle://h/d"])
def test_a_url_of_another_engine_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="panelcal speaks PostgreSQL"):
        parse_database_url(url)


@pytest.mark.parametrize("url", ["", "nonsense", "postgresql:", "postgresql://h:port/d"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="the database URL cannot be read") as caught:
        parse_database_url(url)
    assert caught.value.hint == "postgresql://USER@HOST/DATABASE"


@pytest.mark.parametrize(
    "url", ["postgresql://me:hunter2@host:port/db", "mysql://me:hunter2@host/db"]
)
def test_a_refused_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_database_url(url)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
