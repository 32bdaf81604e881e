from __future__ import annotations

import pytest

from detectors import config as configs
from detectors.datasets import BUNDLED
from detectors.errors import ConfigError
from detectors.toml import to_toml
from models.errors import UnknownKindError

GOOD = {
    "schema": 1,
    "name": "pen",
    "dataset": "d",
    "classifier": {"kind": "lstm", "hidden": 8},
    "rule": {"alpha": 0.2},
}


def changed(path, value):
    """Return GOOD as TOML with the entry at `path` set to `value`; None takes it out."""
    table = {key: dict(x) if isinstance(x, dict) else x for key, x in GOOD.items()}
    *outer, last = path.split(".")
    inner = table[outer[0]] if outer else table
    inner[last] = value
    return to_toml(table)


def test_what_is_left_out_gets_the_documented_default():
    config = configs.parse(to_toml(GOOD))
    assert (config.rule.alpha, config.rule.delta) == (0.2, 0.05)
    assert (config.rule.control, config.rule.mode, config.rule.late) == (
        "conditional", "reference", "end",
    )  # fmt: skip
    assert (config.signal, config.horizon, config.shadow_share) == ("auto", None, 0.05)
    options = config.classifier.options
    assert (options.hidden, options.learning_rate, options.batch) == (8, 1e-3, 64)
    assert (options.correctness_weight, options.patience) == (0.2, 30)


def test_a_configuration_written_is_read_back_equal():
    config = configs.parse(to_toml(GOOD))
    assert configs.parse(configs.document(config)) == config
    settled = config.resolved(signal="correctness", horizon=8)
    assert configs.parse(configs.document(settled)) == settled


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("rule.alpha", 0.0, r"\$\.rule\.alpha"),
        ("rule.alpha", 1.0, r"\$\.rule\.alpha"),
        ("rule.alpha", "small", r"\$\.rule\.alpha"),
        ("rule.delta", -0.1, r"\$\.rule\.delta"),
        ("rule.delta", float("nan"), r"\$\.rule\.delta"),
        ("rule.control", "both", r"\$\.rule\.control"),
        ("rule.mode", "improved", r"\$\.rule\.mode"),
        ("rule.late", "step:0", r"\$\.rule\.late"),
        ("rule.aplha", 0.1, "aplha"),
        ("signal", "magic", r"\$\.signal"),
        ("horizon", 0, r"\$\.horizon"),
        ("horizon", 2.5, r"\$\.horizon"),
        ("shadow_share", 1.5, r"\$\.shadow_share"),
        ("shadow_share", float("nan"), r"\$\.shadow_share"),
        ("seed", -1, r"\$\.seed"),
        ("name", "Pen Digits", r"\$\.name"),
        ("name", "pen\n", r"\$\.name"),
        ("name", "../pen", r"\$\.name"),
        ("name", None, "name"),
        ("dataset", "", r"\$\.dataset"),
        ("modality", "smell", r"\$\.modality"),
        ("schema", 2, r"\$\.schema"),
        ("schema", None, "schema"),
        ("colour", "red", "colour"),
        ("classifier.kind", None, r"\$\.classifier"),
        ("classifier.kind", 3, r"\$\.classifier"),
        ("classifier.hidden", 0, r"\$\.classifier\.hidden"),
        ("classifier.hidden", "many", r"\$\.classifier\.hidden"),
        ("classifier.learning_rate", 0.0, r"\$\.classifier\.learning_rate"),
        ("classifier.learning_rate", float("inf"), r"\$\.classifier\.learning_rate"),
        ("classifier.hiden", 3, "hiden.*classifier"),
    ],
)
def test_a_bad_value_is_refused_with_its_path(path, value, where):
    with pytest.raises(ConfigError, match=where) as refusal:
        configs.parse(changed(path, value), "pen.toml")
    assert str(refusal.value).startswith("pen.toml: ")


def test_an_unknown_classifier_is_answered_with_the_known_ones():
    with pytest.raises(UnknownKindError, match=r"has: .*lstm"):
        configs.parse(changed("classifier.kind", "magic"))


@pytest.mark.parametrize("text", ["", "schema = ", "= 1", "[rule", "schema = 1\nschema = 1"])
def test_what_is_no_toml_is_refused(text):
    with pytest.raises(ConfigError):
        configs.parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.toml"):
        configs.read(tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match="UTF-8"):
        configs.read(tmp_path / "latin.toml")


def test_the_demo_configuration_is_the_promised_one():
    config = configs.read(BUNDLED / "pendigits.toml")
    assert (config.rule.alpha, config.rule.delta) == (0.1, 0.05)
    assert (config.rule.control, config.rule.mode) == ("conditional", "reference")
    assert config.dataset == "pendigits-parts"


@pytest.mark.parametrize(
    "text", ['a "quoted" \\ name', "tab\tnewline\n", "\x7f\x00\x1f", "ñ 漢 😀"]
)
def test_any_text_survives_toml(text):
    import tomllib

    assert tomllib.loads(to_toml({"x": text, "t": {"y": text}})) == {"x": text, "t": {"y": text}}
