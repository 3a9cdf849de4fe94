"""``zoo data check``: every fault is listed, by kind and place, and only errors fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from data_folder import write_study, write_words
from shared_data import SHARED, needs_shared
from voxelzoo.api import Story
from voxelzoo.data.check import check_dataset
from voxelzoo.runs.alignment_check import AlignmentCurve, shifts_at
from voxelzoo_datasets.folder import FolderDataset
from zoo_cli import Zoo

Damage = Callable[[Path], object]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "mine", subjects=("ann", "bob", "cy"))


def change(subject: str, story: str, edit: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(root: Path) -> None:
        file = root / "responses" / subject / f"{story}.npy"
        np.save(file, edit(np.load(file)))

    return damage


def sound(seconds: float, level: float = 0.1) -> Damage:
    samples = np.random.default_rng(0).uniform(-level, level, int(8000 * seconds))
    return lambda root: soundfile.write(root / "stories/one/sound.wav", samples, 8000)


def same_words(source: str, target: str) -> Damage:
    return lambda root: shutil.copyfile(
        root / "stories" / source / "words.csv", root / "stories" / target / "words.csv"
    )


def words_at(story: str, onsets: np.ndarray) -> Damage:
    text = [f"w{i}" for i in range(len(onsets))]
    return lambda root: write_words(root / "stories" / story / "words.csv", text, onsets)


def put(index: object, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def edit(rows: np.ndarray) -> np.ndarray:
        rows[index] = value
        return rows

    return edit


def test_a_clean_study_has_no_findings(zoo: Zoo, study: Path) -> None:
    ended = zoo("data", "check", study, "--json")
    assert ended.code == 0
    report = ended.json
    assert report["ok"] is True
    assert report["findings"] == []
    assert report["subjects"] == ["ann", "bob", "cy"]
    assert [(s["name"], s["split"]) for s in report["stories"]] == [
        ("one", "train"),
        ("two", "train"),
        ("three", "test"),
    ]
    first = report["stories"][0]
    assert first["clock"] == {
        "tr": 2.0,
        "start": 0.0,
        "first_sample": 1.0,
        "last_sample": 239.0,
        "n_trs": 120,
        "n_dropped": None,
        "sound_start": None,
    }
    assert first["n_words"] == len((study / "stories/one/words.csv").read_text().split()) - 1
    assert len(report["responses"]) == 9
    assert report["responses"][0]["shape"] == [120, 20]
    assert report["alignment"] is None


@pytest.mark.parametrize(
    ("damage", "severity", "kind", "where", "said"),
    [
        (change("ann", "one", put((5, 3), np.nan)), "warning", "undefined-voxels", "ann, one", "1"),
        (change("ann", "one", put((..., 3), 7)), "warning", "undefined-voxels", "ann, one", "1"),
        (change("ann", "one", put(..., np.nan)), "error", "unusable", "ann, one", "no voxel"),
        (change("ann", "one", put((5, 3), np.inf)), "error", "responses", "ann, one", "voxel 3"),
        (
            change("bob", "two", lambda rows: rows[:-6]),
            "error",
            "length-mismatch",
            "bob, two",
            "114 response rows, 6 TRs fewer than the 120 of the other subjects",
        ),
        (
            change("bob", "two", lambda rows: rows[:, :-1]),
            "error",
            "responses",
            "bob, two",
            "voxels",
        ),
        (
            lambda root: shutil.copyfile(
                root / "responses/ann/one.npy", root / "responses/bob/one.npy"
            ),
            "error",
            "copied-responses",
            "bob, one",
            "the same numbers as ann, one",
        ),
        (
            change("cy", "three", lambda rows: np.stack([rows, rows + 1, rows])),
            "error",
            "copied-repeat",
            "cy, three",
            "repeat 3 is a copy of repeat 1",
        ),
        (same_words("one", "three"), "error", "shared-text", "train and test", "'three'"),
        (same_words("one", "two"), "warning", "duplicate-story", "two", "'one'"),
        (
            words_at("one", np.arange(400, 600.0)),
            "error",
            "words-outside-scan",
            "one",
            "200 of 200",
        ),
        (
            words_at("one", np.arange(100, 380.0)),
            "warning",
            "words-outside-scan",
            "one",
            "140 after",
        ),
        (words_at("one", np.arange(0, 100.0)), "warning", "length-mismatch", "one", "70 TRs"),
        (sound(100.0), "error", "audio-too-short", "one", "the sound ends at 100.0 s"),
        (sound(240.0, 0.0), "error", "audio", "one", "silent"),
        (
            lambda root: (root / "stories/one/sound.wav").write_bytes(b"RIFF"),
            "error",
            "audio",
            "one",
            "not readable",
        ),
        (
            lambda root: (root / "stories/two/words.csv").write_text("word,onset,offset\nx,1,y\n"),
            "error",
            "story",
            "two",
            "words.csv:2",
        ),
        (
            lambda root: (root / "responses/ann/voxels.csv").write_text("label\nAC\n"),
            "error",
            "labels",
            "ann",
            "1 labels for 20 voxels",
        ),
        (lambda root: (root / "dataset.yaml").write_text("tr: 0\n"), "error", "dataset", "", "tr"),
    ],
)
def test_a_fault_is_found_and_named(
    zoo: Zoo, study: Path, damage: Damage, severity: str, kind: str, where: str, said: str
) -> None:
    damage(study)
    ended = zoo("data", "check", study, "--json", "--quiet")
    findings = ended.json["findings"]
    (finding,) = [f for f in findings if f["kind"] == kind and f["where"].endswith(where)][:1]
    assert finding["severity"] == severity
    assert said in finding["message"]
    assert ended.code == (6 if any(f["severity"] == "error" for f in findings) else 0)
    assert (severity == "error") <= (ended.code == 6)


def test_every_fault_is_listed_not_only_the_first(zoo: Zoo, study: Path) -> None:
    (study / "stories/one/words.csv").write_text("nothing\n")
    change("ann", "two", lambda rows: rows[:-3])(study)
    change("cy", "three", put((0, 0), np.nan))(study)
    ended = zoo("data", "check", study, "--quiet")
    assert ended.code == 6
    for said in ("words.csv:1", "ann, two", "3 TRs fewer", "cy, three: of 20 voxels 1 have NaN"):
        assert said in ended.out
    lines = ended.out.splitlines()
    assert lines[-1].endswith("errors, 1 warning")
    kinds = [line.partition(":")[0] for line in lines if line.startswith(("error:", "warning:"))]
    assert kinds == sorted(kinds)  # errors first


def test_what_is_not_as_published_is_a_warning(study: Path) -> None:
    class Published(FolderDataset):
        def disagreements(self) -> list[str]:
            return ["one: 120 TRs, published with 121"]

    report = check_dataset(Published(study))
    (finding,) = report.findings
    assert (finding.kind, report.exit_code) == ("published", 0)
    assert finding.message == "one: 120 TRs, published with 121"


def test_models_of_words_run_without_sound_that_is_not_downloaded(zoo: Zoo, study: Path) -> None:
    for story in ("one", "three"):
        pointer = study / "stories" / story / "sound.wav"
        pointer.symlink_to("../../.git/annex/objects/MD5E-s99--1.wav/MD5E-s99--1.wav")
    ended = zoo("data", "check", study, "--json")
    assert ended.code == 0
    assert [f["kind"] for f in ended.json["findings"]] == ["not-fetched"] * 2
    assert "datalad get sound.wav" in ended.json["findings"][0]["message"]
    run = ("run", "--dataset", study, "--subject", "ann", "-q", "-p")
    assert zoo(*run, "word-rate").code == 0
    assert "datalad get" in zoo(*run, "sound-power").err


def test_leaks_are_found_despite_damaged_sound(zoo: Zoo, study: Path) -> None:
    same_words("one", "three")(study)
    for story in ("one", "three"):
        (study / "stories" / story / "sound.wav").write_bytes(b"RIFF")
    ended = zoo("data", "check", study, "--json")
    kinds = [finding["kind"] for finding in ended.json["findings"]]
    assert kinds.count("audio") == 2
    assert "shared-text" in kinds


def test_exceptions_of_a_plugin_are_findings(study: Path) -> None:
    class Broken(FolderDataset):
        def story(self, name: str) -> Story:
            raise KeyError(name) if name == "two" else ValueError("line\nbreak")

    report = check_dataset(Broken(study))
    said = [f.message for f in report.findings if f.kind == "story"]
    assert said[0] == "the dataset plugin fails: ValueError: line break"
    assert len(said) == 3
    assert len(report.responses) == 9


def test_rows_out_of_order_everywhere_are_a_warning(zoo: Zoo, study: Path) -> None:
    rng = np.random.default_rng(0)
    for file in study.glob("responses/*/*.npy"):
        np.save(file, rng.permutation(np.load(file)))
    ended = zoo("data", "check", study, "--json")
    assert ended.code == 0
    assert [f["kind"] for f in ended.json["findings"]] == ["no-autocorrelation"]


def test_shuffled_rows_of_a_single_story_are_found_by_comparing_subjects(
    zoo: Zoo, study: Path
) -> None:
    description = yaml.safe_load((study / "dataset.yaml").read_text())
    description["stories"] = {"train": ["one"]}
    (study / "dataset.yaml").write_text(yaml.safe_dump(description))
    assert zoo("data", "check", study).code == 0
    change("bob", "one", np.random.default_rng(0).permutation)(study)
    ended = zoo("data", "check", study, "--json")
    assert ended.code == 6
    (finding,) = ended.json["findings"]
    assert (finding["kind"], finding["where"]) == ("shuffled-rows", "bob, one")


def test_many_faults_of_a_kind_are_counted_for_people(zoo: Zoo, tmp_path: Path) -> None:
    root = write_study(tmp_path / "many", subjects=tuple(f"s{i}" for i in range(6)))
    for file in root.glob("responses/*/*.npy"):
        rows = np.load(file)
        rows[3, 4] = np.nan
        np.save(file, rows)
    ended = zoo("data", "check", root)
    assert ended.out.count("1 have NaN") == 10
    assert "and 8 more of kind undefined-voxels" in ended.out
    assert len(zoo("data", "check", root, "--json").json["findings"]) == 18


def test_unknown_names_are_no_report(zoo: Zoo, study: Path) -> None:
    assert zoo("data", "check", "nowhere").code == 3
    assert zoo("data", "check", study, "--subject", "eve").code == 3
    assert zoo("data", "check", study, "--dataset-option", "radius=1").code == 2


def test_words_without_times_are_counted(zoo: Zoo, study: Path) -> None:
    words = study / "stories" / "one" / "words.csv"
    lines = words.read_text().splitlines()
    lines[3:3] = ["lost,,", "gone,NA,NA"]
    words.write_text("\n".join(lines) + "\n")
    report = zoo("data", "check", study, "--json", "-q").json
    story = next(each for each in report["stories"] if each["name"] == "one")
    assert (story["n_words"], story["n_untimed"], story["n_silences"]) == (len(lines) - 1, 2, 0)


# ------------------------------------------------------------------------------------ alignment


def curve(zoo: Zoo, *arguments: object) -> tuple[int, dict[float, float], str]:
    ended = zoo("data", "check", *arguments, "--alignment", "--json", "--quiet")
    found = ended.json["alignment"]
    return ended.code, dict(zip(found["shifts"], found["r"], strict=True)), found["verdict"]


def test_word_rate_predicts_best_on_the_right_clock(zoo: Zoo, study: Path) -> None:
    code, r, verdict = curve(zoo, study)
    assert (code, verdict) == (0, "aligned")
    assert abs(max(r, key=r.__getitem__)) <= 4
    assert r[0] > 0.2
    assert max(abs(r[-40.0]), abs(r[40.0])) < r[0] / 3


def test_a_shifted_clock_lowers_word_rate_and_the_report_says_by_how_much(
    zoo: Zoo, study: Path
) -> None:
    _, right, _ = curve(zoo, study)
    description = yaml.safe_load((study / "dataset.yaml").read_text())
    (study / "dataset.yaml").write_text(yaml.safe_dump(description | {"start": 20.0}))
    code, wrong, verdict = curve(zoo, study)
    assert wrong[0] < right[0] / 2
    assert (code, verdict) == (6, "misaligned")
    best = max(wrong, key=wrong.__getitem__)
    assert 16 <= best <= 24  # the stimulus must come 20 s later, as the clock does


def test_a_curve_is_drawn_and_says_what_it_shows(zoo: Zoo, study: Path) -> None:
    ended = zoo("data", "check", study, "--alignment", "--quiet", "--subject", "ann")
    assert "██" in ended.out
    assert "the clock looks right" in ended.out
    assert "20 voxels of 1 subject, 3 stories" in ended.out


@pytest.mark.parametrize(
    ("peak_at", "height", "verdict", "said"),
    [
        (0, 0.3, "aligned", "the clock looks right"),
        (20, 0.3, "misaligned", "the clock looks wrong"),
        (-20, 0.3, "misaligned", "looks wrong"),
        (20, 0.065, "misaligned", "the clock may be wrong"),
        (20, 0.03, "no signal", "predicts nothing"),
    ],
)
def test_verdicts(peak_at: float, height: float, verdict: str, said: str) -> None:
    shifts = shifts_at(2.0)
    r = [0.02 * np.sin(shift) for shift in shifts]
    r[shifts.index(peak_at)] = height
    found = AlignmentCurve(shifts, tuple(r), n_voxels=1, n_stories=1, n_subjects=1)
    assert found.verdict == verdict
    assert said in found.say()
    assert found.is_wrong == ("looks wrong" in found.say())


@pytest.mark.slow
def test_noise_is_not_called_aligned(zoo: Zoo, tmp_path: Path) -> None:
    root = write_study(tmp_path / "noise")
    rng = np.random.default_rng(3)
    for file in root.glob("responses/*/*.npy"):
        np.save(file, rng.normal(size=(120, 20)))
    code, _, verdict = curve(zoo, root)
    assert code == 0
    assert verdict != "aligned"


@needs_shared
def test_alice_is_aligned(zoo: Zoo) -> None:
    alice = SHARED / "data" / "alice"
    code, r, verdict = curve(zoo, alice, "--subject", "group")
    assert (code, verdict) == (0, "aligned")
    assert r[0] == max(r.values())
    assert r[0] > 0.2
    assert max(r[-40.0], r[40.0]) < 0.1
    report = zoo("data", "check", alice, "--json").json
    assert "s33" in report["unusable"]
    (story,) = report["stories"]
    assert story["n_words"] == 2127
    assert (story["clock"]["start"], story["clock"]["n_dropped"]) == (20.0, 10)


@pytest.mark.slow
@needs_shared
def test_alice_with_a_wrong_clock_is_misaligned(zoo: Zoo) -> None:
    alice = SHARED / "data" / "alice"
    _, r, verdict = curve(zoo, alice, "--dataset-option", "shift=16")
    assert verdict == "misaligned"
    assert max(r, key=r.__getitem__) == -16


# -------------------------------------------------------------------------------- list, describe


def test_list_says_licence_and_what_needs_a_folder(zoo: Zoo) -> None:
    rows = {row["name"]: row for row in zoo("data", "list", "--json").json["datasets"]}
    assert rows["simulated"]["needs_path"] is False
    assert rows["lebel2023"]["needs_path"] is True
    assert rows["lebel2023"]["licence"] == "CC0"
    assert "alice" in zoo("data", "list").out


def test_describe_a_name_and_a_folder(zoo: Zoo, study: Path) -> None:
    said = zoo("data", "describe", "lebel2023")
    assert "CC0" in said.out
    assert "datalad" in said.out
    document = zoo("data", "describe", study, "--json").json["dataset"]
    assert document["train_stories"] == ["one", "two"]
    assert document["subjects"] == ["ann", "bob", "cy"]
    assert zoo("data", "describe", "simulated", "--json").json["dataset"]["licence"] == "Apache-2.0"
