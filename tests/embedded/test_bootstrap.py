"""Which Kafka is used, and who said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mq.embedded import resolve
from mq.errors import ConfigurationError


def test_an_address_as_given_goes_before_everything(tmp_path: Path) -> None:
    (tmp_path / "mq.toml").write_text('bootstrap = "from-toml:1"')
    found = resolve("given:1", environ={"MQ_BOOTSTRAP": "from-env:1"}, directory=tmp_path)
    assert (found.address, found.data, found.origin) == ("given:1", None, "as given")


def test_a_directory_as_given_goes_before_the_environment(tmp_path: Path) -> None:
    found = resolve(data=Path("d"), environ={"MQ_BOOTSTRAP": "x:1"}, directory=tmp_path)
    assert (found.address, found.data) == (None, tmp_path / "d")


def test_the_environment_goes_before_mq_toml(tmp_path: Path) -> None:
    (tmp_path / "mq.toml").write_text('bootstrap = "from-toml:1"')
    found = resolve(environ={"MQ_BOOTSTRAP": "from-env:1"}, directory=tmp_path)
    assert (found.address, found.origin) == ("from-env:1", "from MQ_BOOTSTRAP")


def test_mq_toml_is_found_upward(tmp_path: Path) -> None:
    (tmp_path / "mq.toml").write_text('bootstrap = "from-toml:1"')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert resolve(environ={}, directory=below).address == "from-toml:1"


def test_without_an_address_the_broker_is_embedded_beside_mq_toml(tmp_path: Path) -> None:
    (tmp_path / "mq.toml").write_text("")
    below = tmp_path / "a"
    below.mkdir()
    found = resolve(environ={}, directory=below)
    assert (found.address, found.data) == (None, tmp_path / ".mq")
    assert "mq.toml" in str(found)


def test_without_anything_the_broker_is_embedded_here(tmp_path: Path) -> None:
    found = resolve(environ={}, directory=tmp_path)
    assert (found.address, found.data, found.origin) == (None, tmp_path / ".mq", "the default")


def test_mq_data_names_the_directory(tmp_path: Path) -> None:
    (tmp_path / "mq.toml").write_text("")
    found = resolve(environ={"MQ_DATA": "elsewhere"}, directory=tmp_path)
    assert (found.data, found.origin) == (tmp_path / "elsewhere", "from MQ_DATA")


def test_the_word_embedded_overrules_mq_toml(tmp_path: Path) -> None:
    (tmp_path / "mq.toml").write_text('bootstrap = "from-toml:1"')
    assert resolve(environ={"MQ_BOOTSTRAP": "embedded"}, directory=tmp_path).data is not None
    assert resolve("embedded", environ={}, directory=tmp_path).data is not None


@pytest.mark.parametrize(
    "production", [{"MQ_ENV": "production"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}]
)
def test_in_production_embedded_must_be_asked_for(
    tmp_path: Path, production: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match="MQ_BOOTSTRAP") as caught:
        resolve(environ=production, directory=tmp_path)
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigurationError):
        resolve("embedded", environ=production, directory=tmp_path)
    with pytest.raises(ConfigurationError):
        resolve(data=tmp_path, environ=production, directory=tmp_path)
    asked = {**production, "MQ_BOOTSTRAP": "embedded"}
    assert resolve(environ=asked, directory=tmp_path).data == tmp_path / ".mq"
    configured = {**production, "MQ_BOOTSTRAP": "kafka:9092"}
    assert resolve(environ=configured, directory=tmp_path).address == "kafka:9092"


@pytest.mark.parametrize("content", ["bootstrap = ", "bootstrap = 9092"])
def test_an_mq_toml_that_makes_no_sense_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "mq.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"mq\.toml"):
        resolve(environ={}, directory=tmp_path)


def test_an_address_and_a_directory_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        resolve("x:1", data=tmp_path)
