"""Third-party distributions without pip: metadata and packages written into a folder.

`importlib.metadata` sees a real distribution in every such folder on `sys.path`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent


@dataclass(frozen=True)
class Site:
    """A folder that stands for site-packages."""

    folder: Path

    def add(
        self,
        distribution: str,
        plugins: Mapping[str, str],
        *,
        version: str = "1.2",
        requires: Sequence[str] = (),
        other: Mapping[str, str] | None = None,
    ) -> None:
        """A distribution whose plugins are given by the source of their light module.

        Plugin ``acme`` is module ``acme_plugin``; ``other`` maps further modules to their source.
        """
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        metadata = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(metadata) + "\n")
        modules = {f"{distribution}_{name}_plugin".replace("-", "_"): name for name in plugins}
        points = [f"{name} = {module}" for module, name in modules.items()]
        (info / "entry_points.txt").write_text("\n".join(["[voxelzoo.plugins]", *points]) + "\n")
        sources = {module: plugins[name] for module, name in modules.items()} | dict(other or {})
        for module, source in sources.items():
            (self.folder / f"{module}.py").write_text(dedent(source))

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a child process that finds these distributions, and no user files."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ZOO_")}
        path = os.pathsep.join(filter(None, [str(self.folder), kept.get("PYTHONPATH", "")]))
        own = {
            "ZOO_CONFIG": str(self.folder / "config.yaml"),
            "ZOO_CACHE": str(self.folder / "cache"),
            "HF_HUB_OFFLINE": "1",
        }
        return {**kept, "PYTHONPATH": path, **own, **variables}

    def zoo(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs ``zoo`` with these distributions installed."""
        return subprocess.run(
            [sys.executable, "-c", "from voxelzoo.cli import main; main()", *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


GOOD = """
    from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl

    @hookimpl
    def zoo_register_extractors():
        yield ExtractorSpec("{name}", "{name}_heavy:Length", "text", "Letters of a word.")

    @hookimpl
    def zoo_register_models():
        yield ModelEntry(name="{model}", plugin="{name}", modality="text", n_layers=0, embed_dim=1)
"""

HEAVY = """
    import numpy as np
    from voxelzoo.api import StateBlock

    class Length:
        def __init__(self, request):
            self.request = request
        def layers(self):
            return [0]
        def fingerprint(self):
            return {}
        def times(self, story):
            return story.need_words().times
        def extract(self, story, layers):
            lengths = [float(len(word)) for word in story.need_words().text]
            states = np.array(lengths, dtype=np.float32)[None, :, None]
            yield StateBlock(0, np.repeat(states, len(layers), axis=0))
        def close(self):
            pass
"""

HOSTILE = {
    "badargs": """
        from voxelzoo.api import hookimpl
        @hookimpl
        def zoo_register_extractors(nope):
            return []
    """,
    "broken": """
        import not_there_at_all
    """,
    "sysexit": """
        import sys
        sys.exit(3)
    """,
    "typo": """
        from voxelzoo.api import hookimpl
        @hookimpl
        def zoo_register_extractor():
            return []
    """,
    "raises": """
        from voxelzoo.api import hookimpl
        @hookimpl
        def zoo_register_extractors():
            raise RuntimeError("boom")
    """,
    "future": """
        from voxelzoo.api import ExtractorSpec, hookimpl
        @hookimpl
        def zoo_register_extractors():
            yield ExtractorSpec("future", "future_heavy:X", "text", "Later.", api_version=99)
    """,
}
"""Plugins that break the contract, each in its own way."""


def add_good(site: Site, name: str = "nice", model: str = "nice-length") -> None:
    """A well-behaved third-party plugin with a model of its own."""
    heavy = {f"{name}_heavy": HEAVY}
    site.add(f"zoot-{name}", {name: GOOD.format(name=name, model=model)}, other=heavy)


def add_hostile(site: Site) -> None:
    """The hostile eight, and one that is well-behaved.

    Besides :data:`HOSTILE`: two distributions that give the same plugin name, and one whose model
    has a first-party model's name.
    """
    add_good(site)
    for name, source in HOSTILE.items():
        site.add(f"zoot-{name}", {name: source})
    for distribution in ("zoot-twin-a", "zoot-twin-b"):
        site.add(distribution, {"twin": GOOD.format(name="twin", model="twin-length")})
    add_good(site, "dupmodel", "whisper-tiny")
