from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermetic import HOSTILE, Site, add_good, add_hostile
from voxelzoo.api import MissingError, NotFoundError, PluginError
from voxelzoo.host.distributions import unmet_requirements
from voxelzoo.host.host import Host
from voxelzoo.host.loading import load_host
from voxelzoo.host.records import PluginRecord
from voxelzoo.host.targets import load_target


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site-packages on the path, and no user settings."""
    for variable in ("DISABLE_PLUGINS", "PLUGINS", "NO_PLUGINS", "STRICT_PLUGINS"):
        monkeypatch.delenv(f"ZOO_{variable}", raising=False)
    monkeypatch.setenv("ZOO_CONFIG", str(tmp_path / "config.yaml"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]


def record(host: Host, name: str, distribution: str | None = None) -> PluginRecord:
    (found,) = [
        r for r in host.records if r.name == name and distribution in (None, r.distribution)
    ]
    return found


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("badargs", "failed", "nope"),
        ("broken", "failed", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("sysexit", "failed", "SystemExit: 3"),
        ("typo", "failed", "did you mean zoo_register_extractors"),
        ("raises", "failed", "zoo_register_extractors raised RuntimeError: boom"),
        ("future", "incompatible", "plugin API 99"),
    ],
)
def test_a_hostile_plugin_is_reported_and_the_others_load(
    site: Site, name: str, status: str, reason: str
) -> None:
    add_hostile(site)
    host = load_host()
    found = record(host, name)
    assert found.status == status
    assert reason in (found.error or "")
    assert found.distribution == f"zoot-{name}"
    assert record(host, "nice").status == "loaded"
    assert record(host, "whisper").status == "loaded"
    assert not [spec for spec in host.extractors if spec.plugin == name]


def test_a_failed_plugin_keeps_its_traceback_and_a_refused_one_has_none(site: Site) -> None:
    add_hostile(site)
    host = load_host()
    assert "not_there_at_all" in (record(host, "broken").traceback or "")
    assert "boom" in (record(host, "raises").traceback or "")
    assert record(host, "typo").traceback is None
    assert [str(problem) for problem in host.problems] == [
        "zoot-raises: plugin 'raises': zoo_register_extractors raised RuntimeError: boom"
    ]


def test_two_distributions_with_one_plugin_name_both_fail_by_name(site: Site) -> None:
    add_hostile(site)
    host = load_host()
    assert "zoot-twin-b 1.2" in (record(host, "twin", "zoot-twin-a").error or "")
    assert "zoot-twin-a 1.2" in (record(host, "twin", "zoot-twin-b").error or "")
    mended = load_host(disabled=["zoot-twin-a"])
    assert record(mended, "twin", "zoot-twin-b").status == "loaded"


def test_strict_raises_what_the_plugin_raised(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("zoot-broken", {"broken": HOSTILE["broken"]})
    with pytest.raises(ModuleNotFoundError):
        load_host(strict=True)
    monkeypatch.setenv("ZOO_STRICT_PLUGINS", "1")
    with pytest.raises(ModuleNotFoundError):
        load_host()


@pytest.mark.parametrize("name", ["nice", "zoot-nice", "Zoot_Nice"])
@pytest.mark.parametrize("way", ["flag", "variable", "config"])
def test_a_blocked_plugin_is_never_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, way: str
) -> None:
    add_good(site)
    disabled = []
    if way == "flag":
        disabled = [name]
    elif way == "variable":
        monkeypatch.setenv("ZOO_DISABLE_PLUGINS", f"other, {name}")
    else:
        (tmp_path / "config.yaml").write_text(f"plugins: {{disabled: [{name}]}}\n")
    host = load_host(disabled=disabled)
    assert record(host, "nice").status == "blocked"
    assert "zoot_nice_nice_plugin" not in sys.modules
    assert record(host, "whisper").status == "loaded"


def test_allow_list_and_first_party_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add_good(site)
    host = load_host(first_party_only=True)
    assert {r.name for r in host.records if r.status == "blocked"} == {"nice"}
    monkeypatch.setenv("ZOO_NO_PLUGINS", "1")
    assert record(load_host(), "nice").error == "third-party plugins are off (ZOO_NO_PLUGINS)"
    monkeypatch.delenv("ZOO_NO_PLUGINS")
    monkeypatch.setenv("ZOO_PLUGINS", "zoot-nice,whisper")
    loaded = {r.name for r in load_host().records if r.status == "loaded"}
    assert loaded == {"nice", "whisper"}
    assert "zoot_nice_nice_plugin" in sys.modules


def test_disabling_an_unknown_plugin_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match="did you mean whisper"):
        load_host(disabled=["wisper"])
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "wisper")
    (problem,) = load_host().problems
    assert "ZOO_DISABLE_PLUGINS disables 'wisper'" in problem.message


@pytest.mark.parametrize("content", ["plugins: [nice]", "plugins: {disabled: nice}", "nice", "- a"])
def test_a_config_that_makes_no_sense_is_refused_with_its_line(
    site: Site, tmp_path: Path, content: str
) -> None:
    (tmp_path / "config.yaml").write_text(content + "\n")
    with pytest.raises(PluginError, match=r"config\.yaml:1: .*disabled"):
        load_host()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def zoo_register_models(): return []", "has no @hookimpl mark"),
        ("@hookimpl\ndef zoo_register_models(): return ['x']", "gave str 'x', not ModelEntry"),
        (
            "@hookimpl\ndef zoo_register_models(): return [ModelEntry('x', 'opt', 'text')]",
            "is for plugin 'opt', not 'odd'",
        ),
        (
            "@hookimpl\ndef zoo_register_aligners(): return [AlignerSpec('a', 'no target', 's')]",
            "target 'no target'",
        ),
        (
            "@hookimpl\ndef zoo_register_aligners(): return [AlignerSpec('a', 'a:B', 's')] * 2",
            "the name 'a' twice",
        ),
        (
            "@hookimpl\n"
            "def zoo_register_aligners(): return [AlignerSpec('a', 'a:B', 's', api_version=0)]",
            "plugin API 0",
        ),
        (
            "@hookimpl\n"
            "def zoo_register_aligners(): return [AlignerSpec('a', 'a:B', 's', api_version='1')]",
            "api_version '1'",
        ),
        ("@hookimpl(wrapper=True)\ndef zoo_register_models(): return (yield)", "is a wrapper"),
    ],
)
def test_what_a_plugin_must_not_register(site: Site, source: str, reason: str) -> None:
    imports = "from voxelzoo.api import *\nfrom voxelzoo.api import hookimpl\n"
    site.add("zoot-odd", {"odd": imports + source})
    found = record(load_host(), "odd")
    assert found.status == ("incompatible" if "API 0" in reason else "failed")
    assert reason in (found.error or "")


def test_what_a_plugin_prints_stays_out_of_the_data(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("zoot-loud", {"loud": "print('hello')"})
    load_host()
    assert capsys.readouterr().out == ""


def test_names_resolve_short_or_qualified_and_say_when_they_do_not(site: Site) -> None:
    aligners = """
        from voxelzoo.api import AlignerSpec, hookimpl
        @hookimpl
        def zoo_register_aligners():
            yield AlignerSpec("nearest-state", "aligners_heavy:Nearest", "The nearest.")
    """
    site.add("zoot-one", {"one": aligners})
    host = load_host()
    assert host.aligner("nearest-state").id == "one/nearest-state"
    assert host.aligner("one/nearest-state").distribution == "zoot-one"
    with pytest.raises(NotFoundError, match="did you mean nearest-state"):
        host.aligner("nearest-stat")
    site.add("zoot-two", {"two": aligners}, version="3.4")
    host = load_host()
    with pytest.raises(NotFoundError) as ambiguous:
        host.aligner("nearest-state")
    assert "one/nearest-state (zoot-one 1.2), two/nearest-state (zoot-two 3.4)" in str(
        ambiguous.value
    )
    assert host.aligner("two/nearest-state").version == "3.4"


def test_a_name_of_a_plugin_that_did_not_load_says_why(site: Site) -> None:
    add_hostile(site)
    host = load_host(disabled=["nice"])
    with pytest.raises(PluginError, match=r"'broken' of zoot-broken 1\.2 is failed: .*not_there"):
        host.extractor("broken", None)
    with pytest.raises(PluginError, match=r"zoot-nice 1\.2 is blocked: disabled by --disable"):
        host.extractor("nice", None)
    with pytest.raises(PluginError, match=r"zoot-future 1\.2 is incompatible"):
        host.dataset("future/anything")
    with pytest.raises(NotFoundError, match="zoot-broken"):
        host.aligner("broken-thing")
    with pytest.raises(NotFoundError, match=r"no plugin 'absent' is installed; available: .*opt"):
        host.extractor("absent", None)


def test_a_plugin_with_two_extractors_wants_one_named(site: Site) -> None:
    site.add(
        "zoot-two",
        {
            "two": """
                from voxelzoo.api import ExtractorSpec, hookimpl
                @hookimpl
                def zoo_register_extractors():
                    yield ExtractorSpec("a", "heavy:A", "text", "A.")
                    yield ExtractorSpec("b", "heavy:B", "text", "B.")
            """
        },
    )
    host = load_host()
    assert host.extractor("two", "b").spec.target == "heavy:B"
    with pytest.raises(NotFoundError, match="a, b"):
        host.extractor("two")
    with pytest.raises(NotFoundError, match="no extractor 'c'"):
        host.extractor("two", "c")


def _extractor(target: str, requires: str = "()") -> str:
    return f"""
        from voxelzoo.api import ExtractorSpec, hookimpl
        @hookimpl
        def zoo_register_extractors():
            yield ExtractorSpec("t", "{target}", "text", "T.", requires={requires})
    """


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("import absent_package", MissingError, "pip install 'absent_package'"),
        ("raise RuntimeError('boom')", PluginError, "RuntimeError: boom"),
        ("import sys; sys.exit(2)", PluginError, "SystemExit: 2"),
        ("X = 1", PluginError, "has no 'T'"),
        ("T = 1", PluginError, "not callable"),
    ],
)
def test_a_target_that_cannot_be_imported_gives_one_line(
    site: Site, source: str, error: type[Exception], message: str
) -> None:
    site.add("zoot-t", {"t": _extractor("t_heavy:T")}, other={"t_heavy": source})
    with pytest.raises(error) as raised:
        load_target(load_host().extractor("t"))
    assert message in str(raised.value)
    assert "zoot-t 1.2" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_requirements_are_looked_at_before_the_import(site: Site) -> None:
    site.add(
        "zoot-t",
        {"t": _extractor("t_heavy:T", "('numpy',)"), "u": _extractor("t_heavy:T", "('absent',)")},
        requires=["numpy<1", "pluggy>=1", "absent-thing>=2", "unasked; extra == 'more'"],
        other={"t_heavy": "raise AssertionError('imported')"},
    )
    host = load_host()
    with pytest.raises(MissingError, match=r"needs numpy<1, found .*pip install 'numpy<1'"):
        load_target(host.extractor("t"))
    with pytest.raises(MissingError, match="needs absent, which is not installed"):
        load_target(host.extractor("u"))
    unmet = unmet_requirements("zoot-t")
    assert len(unmet) == 2
    assert unmet[0].startswith("numpy<1, found")
    assert unmet[1] == "absent-thing>=2, not installed"


def test_first_party_plugins_come_by_the_same_path() -> None:
    host = load_host()
    first = [r for r in host.records if r.first_party]
    assert {r.distribution for r in first} == {"voxelzoo"}
    assert {"opt", "llama", "whisper", "hubert", "wavlm"} <= {r.name for r in first}
    assert [r.error for r in first if r.status != "loaded"] == []


def test_a_mistyped_plugin_gets_a_suggestion_and_no_package_to_install() -> None:
    """A package of an unknown name could be anybody's."""
    for ask in (lambda: load_host().extractor("opr"), lambda: load_host().aligner("opr/mean")):
        with pytest.raises(NotFoundError, match=r"no plugin 'opr'.*did you mean opt\?$") as raised:
            ask()
        assert "pip" not in str(raised.value)


@pytest.mark.parametrize(
    ("bibtex", "reason"),
    [
        ("'@misc{a, title = {T}}'", "bibtex is not a tuple of BibTeX entries"),
        ("('Doe (2020)',)", "bibtex has no valid BibTeX entry: 'Doe"),
        ("('@misc{a, title = {open}',)", "bibtex has no valid BibTeX entry"),
    ],
)
def test_a_citation_that_is_no_bibtex_is_refused(site: Site, bibtex: str, reason: str) -> None:
    source = (
        "from voxelzoo.api import AlignerSpec, hookimpl\n"
        "@hookimpl\n"
        f"def zoo_register_aligners(): return [AlignerSpec('a', 'a:B', 's', bibtex={bibtex})]\n"
    )
    site.add("zoot-cites", {"cites": source})
    assert reason in (record(load_host(), "cites").error or "")


def spec(name: str, **declared: object) -> str:
    arguments = "".join(f", {key}={value!r}" for key, value in declared.items())
    return f"RegressorSpec({name!r}, 'a:B', 's'{arguments})"


def test_two_defaults_of_one_protocol_are_an_error_that_names_both(site: Site) -> None:
    source = "from voxelzoo.api import RegressorSpec, hookimpl\n@hookimpl\n"
    source += f"def zoo_register_regressors(): return [{spec('mine', default_for=('clean',))}]\n"
    site.add("zoot-mine", {"mine": source})
    host = load_host()
    with pytest.raises(NotFoundError, match=r"mine/mine \(zoot-mine 1\.2\).*--regressor NAME"):
        host.default_regressor("clean")
    assert host.default_regressor("antonello2023").spec.name == "bootstrap-ridge"
    with pytest.raises(NotFoundError, match="no default aligner of protocol 'other'"):
        host.default_aligner("other")


def test_what_is_declared_is_found() -> None:
    host = load_host()
    assert host.default_regressor("clean").id == "regressors/ridge"
    assert host.default_aligner("clean").id == "aligners/lanczos"
    assert host.default_aligner("antonello2023").id == "aligners/lanczos"
    assert host.stacking_regressor().id == "regressors/stacking"
    assert host.default_dataset().id == "datasets/simulated"
    assert host.control("timing").id == "baselines/word-rate"
    assert host.control("position").id == "baselines/position"
    assert host.control("autocorrelation").id == "baselines/autocorrelation"
