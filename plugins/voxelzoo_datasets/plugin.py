"""Register the datasets and recognise their layouts on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from voxelzoo.api import DatasetSpec, hookimpl
from voxelzoo_datasets import citations

_LANGUAGES = ("CN", "EN", "FR")


def is_folder(path: Path) -> bool:
    """Whether this is a plain folder, with a ``dataset.yaml``."""
    return (path / "dataset.yaml").is_file()


def alice_root(path: Path) -> Path | None:
    """The root of the published Alice data, given it or a folder in it; otherwise ``None``."""
    for root in (path, path.parent):
        if (root / "alice_data_shared").is_dir() and (root / "alice_stim_shared").is_dir():
            return root if root == path or path.name.startswith("alice_") else None
    return None


def is_alice(path: Path) -> bool:
    """Whether this is Alice as published: ``alice_data_shared`` and ``alice_stim_shared``."""
    return alice_root(path) is not None


def is_lebel(path: Path) -> bool:
    """Whether this is OpenNeuro ds003020: responses in ``derivative/preprocessed_data``."""
    return (path / "derivative" / "preprocessed_data").is_dir()


def is_antonello_box(path: Path) -> bool:
    """Whether this is the paper's folder: transcripts and responses in joblib files."""
    grids = path / "story_data" / "grids_huge.jbl"
    return grids.is_symlink() or grids.exists()


def is_narratives(path: Path) -> bool:
    """Whether this is OpenNeuro ds002345: words aligned by gentle, and derivatives."""
    return (path / "stimuli" / "gentle").is_dir() and (path / "derivatives").is_dir()


def is_petit_prince(path: Path) -> bool:
    """Whether this is OpenNeuro ds003643: annotations by language, and derivatives."""
    words = (path / "annotation" / code / f"lpp{code}_word_information.csv" for code in _LANGUAGES)
    return (path / "derivatives").is_dir() and any(w.is_symlink() or w.exists() for w in words)


def is_podcast(path: Path) -> bool:
    """Whether this is OpenNeuro ds005574: the transcript of its podcast."""
    words = path / "stimuli" / "podcast_transcript.csv"
    return words.is_symlink() or words.exists()


def is_bids(path: Path) -> bool:
    """Whether this is a folder of BIDS derivatives, according to its description."""
    try:
        text = (path / "dataset_description.json").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return '"derivative"' in text and any(path.glob("sub-*"))


def is_imported(path: Path) -> bool:
    """Whether this is an output of ``zoo data import``, finished or not."""
    return (path / "imported.yaml").is_file() or (path / "importing.yaml").is_file()


FOLDER = DatasetSpec(
    "folder",
    "voxelzoo_datasets.folder:FolderDataset",
    "A plain folder, simple enough to write by hand.",
    recognise=is_folder,
)

ALICE = DatasetSpec(
    "alice",
    "voxelzoo_datasets.alice:AliceDataset",
    "Chapter 1 of Alice in Wonderland, 14 listeners, 6 regions (Brennan et al. 2016).",
    recognise=is_alice,
    bibtex=(citations.BRENNAN2016,),
    licence="CC BY 4.0",
)

LEBEL2023 = DatasetSpec(
    "lebel2023",
    "voxelzoo_datasets.lebel:LebelDataset",
    "Hours of spoken stories per listener, OpenNeuro ds003020 (LeBel et al. 2023).",
    recognise=is_lebel,
    bibtex=(citations.LEBEL2023,),
    licence="CC0",
    homepage="https://openneuro.org/datasets/ds003020",
    obtain=(
        "datalad clone https://github.com/OpenNeuroDatasets/ds003020.git DST",
        "datalad get -d DST DST/derivative/preprocessed_data/UTS03 DST/derivative/TextGrids "
        "DST/derivative/respdict.json DST/stimuli",
        "or: aws s3 sync --no-sign-request s3://openneuro.org/ds003020 DST "
        "--exclude 'sub-*' --exclude 'derivative/pycortex-db/*'",
        "or: openneuro-py download --dataset=ds003020 --target-dir=DST "
        "--include=derivative/preprocessed_data --include=derivative/TextGrids "
        "--include=derivative/respdict.json --include=stimuli",
    ),
)

ANTONELLO_BOX = DatasetSpec(
    "antonello-box",
    "voxelzoo_datasets.antonello:AntonelloBox",
    "The folder of Antonello et al. (2023): pickled responses, words and features.",
    recognise=is_antonello_box,
    bibtex=(citations.ANTONELLO2023SCALING, citations.LEBEL2023),
    homepage="https://utexas.box.com/v/EncodingModelScalingLaws",
    pickles=True,
)

NARRATIVES = DatasetSpec(
    "narratives",
    "voxelzoo_datasets.narratives:NarrativesDataset",
    "345 listeners, 27 spoken stories, OpenNeuro ds002345 (Nastase et al. 2021).",
    recognise=is_narratives,
    bibtex=(citations.NASTASE2021,),
    licence="CC0",
    homepage="https://openneuro.org/datasets/ds002345",
    obtain=(
        "datalad install -s ///labs/hasson/narratives DST",
        "datalad get -d DST DST/stimuli/gentle DST/stimuli/pieman_audio.wav",
        "datalad get -d DST DST/derivatives/afni-smooth/sub-*/func/*_task-pieman_*_bold.nii.gz "
        "DST/derivatives/afni-smooth/tpl-*",
    ),
)

PETIT_PRINCE = DatasetSpec(
    "petit-prince",
    "voxelzoo_datasets.petit_prince:PetitPrinceDataset",
    "An audiobook in English, Chinese or French, OpenNeuro ds003643 (Li et al. 2022).",
    recognise=is_petit_prince,
    bibtex=(citations.LI2022,),
    licence="CC0",
    homepage="https://openneuro.org/datasets/ds003643",
    obtain=(
        "datalad clone https://github.com/OpenNeuroDatasets/ds003643.git DST",
        "datalad get -d DST DST/annotation DST/derivatives/sub-EN057",
    ),
)

PODCAST_ECOG = DatasetSpec(
    "podcast-ecog",
    "voxelzoo_datasets.podcast:PodcastDataset",
    "Electrodes of nine patients during a podcast, OpenNeuro ds005574 (Zada et al. 2025).",
    recognise=is_podcast,
    bibtex=(citations.ZADA2025,),
    licence="CC0",
    homepage="https://openneuro.org/datasets/ds005574",
    obtain=(
        "datalad clone https://github.com/OpenNeuroDatasets/ds005574.git DST",
        "datalad get -d DST DST/stimuli/podcast.wav DST/stimuli/podcast_transcript.csv "
        "DST/derivatives/ecogprep/sub-*/ieeg/*_desc-highgamma_ieeg.fif",
    ),
)

BIDS = DatasetSpec(
    "bids",
    "voxelzoo_datasets.bids:BidsDataset",
    "BIDS derivatives from fMRIPrep: volumes, surfaces, CIFTI, parcellations.",
    recognise=is_bids,
)

IMPORTED = DatasetSpec(
    "imported",
    "voxelzoo_datasets.imported:ImportedDataset",
    "The output of `zoo data import`: responses that are read by voxel block.",
    recognise=is_imported,
)

SIMULATED = DatasetSpec(
    "simulated",
    "voxelzoo_datasets.simulated:SimulatedDataset",
    "Simulated speech and voxels with known drivers and noise ceilings.",
    needs_path=False,
    default=True,
    licence="Apache-2.0",
)


@hookimpl
def zoo_register_datasets() -> Iterator[DatasetSpec]:
    """The datasets of this distribution."""
    yield from (
        FOLDER,
        ALICE,
        LEBEL2023,
        ANTONELLO_BOX,
        NARRATIVES,
        PETIT_PRINCE,
        PODCAST_ECOG,
        BIDS,
        IMPORTED,
        SIMULATED,
    )
