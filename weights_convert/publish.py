"""Puts converted weights on the Hugging Face Hub, with a generated model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hear_edgel3.errors import DownloadError, InvalidOption, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.schema import Published
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.file import check_tensors, decode
from hear_edgel3.weights.upstream import expected_checksum

_CARD = """---
library_name: hear_edgel3
pipeline_tag: feature-extraction
license: {licence}
tags:
- audio
- audio-embeddings
- hear-benchmark
- {family}
---

# {name}

{summary}. Converted from the authors' checkpoint, without retraining, for the package `hear_edgel3`.

```python
import hear_edgel3

extractor = hear_edgel3.load("{name}")
embeddings, timestamps_ms = extractor.timestamp_embeddings(audio)  # audio: (n, samples) at {sample_rate} Hz in [-1, 1]
```

| | |
|---|---|
| embedding size | {embedding_size} |
| parameters | {n_parameters:,} |
| sample rate to feed | {sample_rate} Hz |
| sample rate of the net | {net_sample_rate} Hz |
| window | {window_ms:g} ms, centred on its timestamp |
| default hop | {hop_ms:g} ms |
| embedding version | {embedding_version} |

## Provenance

| | |
|---|---|
| upstream file | {upstream_url} |
| its git blob id | `{source_git_blob}` |
| its sha256 | `{source_sha256}` |
| converter | {converter} |
| sha256 of `{filename}` | `{sha256}` |

Licence of the weights: {licence}, {copyright} ({project}).

## Citation

{citation}
"""


@dataclass(frozen=True)
class Publication:
    """What would be, or was, uploaded.

    Attributes:
        repo_id: the repository.
        filename: of the weights in it.
        sha256: of the weights file.
        size: of the weights file in bytes.
        card: text of the model card.
        revision: the commit, or None in a dry run.
    """

    repo_id: str
    filename: str
    sha256: str
    size: int
    card: str
    revision: str | None


def publish(row: Published, weights: Path, repo_id: str | None = None, upload: bool = False) -> Publication:
    """Creates or updates the Hub repository of a checkpoint.

    Args:
        row: the checkpoint.
        weights: its converted file.
        repo_id: repository; None for the one in the registry.
        upload: whether to do it; otherwise nothing leaves this machine.

    Raises:
        WeightsNotFound: there is no such file.
        InvalidOption: the weights have no licence under which they could be published.
        WeightsMismatch: the file is not a conversion of this checkpoint's published file.
        WeightsCorrupt: the file is damaged.
        DownloadError: the Hub refused.
    """
    if not weights.is_file():
        raise WeightsNotFound(
            f"the converted file {weights} does not exist; make it with: python -m weights_convert {row.name}"
        )
    if not row.upstream.states_licence:
        raise InvalidOption(
            f"the licence of the weights of {row.name} is {row.upstream.licence}: they cannot be published by others "
            f"before their authors ({row.upstream.project}) allow it"
        )
    data = weights.read_bytes()
    file = decode(data, str(weights))
    check_tensors(file.tensors, row.net.build(), row.name, str(weights))
    if file.quantization is not None and file.quantization.int8:
        raise WeightsMismatch(
            f"{weights} has {file.quantization.in_words} weights; under the name of {row.name} only float ones are "
            f"published: publish the file that it was made from"
        )
    provenance = _complete(file.provenance)
    if not _from_published(row, provenance):
        raise WeightsMismatch(
            f"{weights} was not converted from the published file of {row.name} ({row.upstream.filename}, "
            f"{expected_checksum(row)}; the file says {provenance.get('configuration')}, "
            f"{provenance.get('source_file')}, {provenance.get('source_git_blob')}); only such files are published "
            f"under its name"
        )
    repo_id, filename = repo_id or row.hub.repo_id, row.hub.filename
    card = model_card(row, provenance, filename, file.sha256)
    revision = _upload(repo_id, {filename: data, "README.md": card.encode()}, row.name) if upload else None
    return Publication(repo_id, filename, file.sha256, len(data), card, revision)


def _from_published(row: Published, provenance: dict[str, str]) -> bool:
    """Whether a converted file says it comes from the file published as ``row``; by name where no checksum is known."""
    if provenance.get("configuration") != row.name:
        return False
    if not row.upstream.has_checksum:
        return provenance.get("source_file") == row.upstream.filename
    return all(provenance.get(f"source_{name}") == value for name, value in row.upstream.checksums.items())


def _complete(provenance: dict[str, Any]) -> dict[str, str]:
    """The provenance, if it is the converter's; else nothing."""
    needed = ("configuration", "source_git_blob", "source_sha256", "converter")
    return provenance if all(isinstance(provenance.get(key), str) for key in needed) else {}


def model_card(row: Published, provenance: dict[str, str], filename: str, sha256: str) -> str:
    """The README.md of a checkpoint's repository."""
    return _CARD.format(
        name=row.name,
        family=row.family,
        summary=row.summary,
        sample_rate=row.sample_rate,
        net_sample_rate=row.net_sample_rate,
        embedding_size=resolve(row.name).embedding_size,
        n_parameters=row.n_parameters,
        window_ms=1000 * row.window / row.net_sample_rate,
        hop_ms=row.hop_ms,
        embedding_version=row.embedding_version,
        upstream_url=row.upstream.url,
        source_git_blob=provenance["source_git_blob"],
        source_sha256=provenance["source_sha256"],
        converter=provenance["converter"],
        filename=filename,
        sha256=sha256,
        licence=row.upstream.licence.lower(),
        copyright=row.upstream.copyright,
        project=row.upstream.project,
        citation=row.citation,
    )


def _upload(repo_id: str, files: dict[str, bytes], name: str) -> str:
    """One commit with all files; returns its 40-hex id."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(library_name="hear_edgel3")
    try:
        api.create_repo(repo_id, exist_ok=True)
        operations = [CommitOperationAdd(path, data) for path, data in files.items()]
        commit = api.create_commit(repo_id, operations, commit_message=f"Weights of {name}")
    except (HfHubHTTPError, OSError) as error:
        raise DownloadError(
            f"the Hub refused the upload to {repo_id}: {error}; log in with `hf auth login` as a member of its "
            f"organisation, or choose another repository with --repo-id"
        ) from error
    except Exception as error:
        # The HTTP client's own classes differ between versions 1 and 2 of huggingface_hub.
        raise DownloadError(f"nothing was uploaded to {repo_id}: {type(error).__name__}: {error}") from error
    return str(commit.oid)
