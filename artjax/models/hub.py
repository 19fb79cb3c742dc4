"""Files of models on the Hugging Face hub, through its own library and cache."""

from __future__ import annotations

import re
from pathlib import Path

from artjax.errors import WeightsError

_PREFIX = "hf:"
_MODEL = re.compile(r"hf:(?P<model>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^@\s]+))?")
_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order of preference


def is_model(source: str) -> bool:
    """Whether a source of weights names a model of the hub."""
    return source.startswith(_PREFIX)


def fetch(source: str) -> tuple[Path, str]:
    """Downloads the weights of a model, unless they are in the cache.

    The library obeys HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE.

    Args:
      source: `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`: a branch, a tag or a commit.

    Returns:
      The file in the cache, and the hash of its commit.

    Raises:
      WeightsError: if the library is missing, there is no such model, revision or file, the hub cannot
        be reached, or does not permit it.
    """
    match = _MODEL.fullmatch(source)
    if match is None:
        raise WeightsError(
            f"{source}: models of the hub are written hf:OWNER/NAME or hf:OWNER/NAME@REVISION"
        )
    try:
        import huggingface_hub
        from huggingface_hub import errors
        from huggingface_hub.utils import logging
    except ImportError:
        raise WeightsError(
            f"{source}: models of the Hugging Face hub need: pip install artjax[hub]"
        ) from None

    # Its warnings about single requests say less than the errors below.
    logging.set_verbosity_error()
    unreachable = False
    for name in _FILES:
        try:
            file = Path(
                huggingface_hub.hf_hub_download(
                    match["model"],
                    name,
                    revision=match["revision"],
                    # The library tries for half a minute, which need not be repeated.
                    local_files_only=unreachable,
                )
            )
        except errors.LocalEntryNotFoundError:
            unreachable = True  # but the next file may be in the cache
        except errors.EntryNotFoundError:
            continue
        except errors.GatedRepoError:
            raise WeightsError(
                f"{source}: no permission; accept the model's terms on its page, then log in with "
                "`hf auth login` or set HF_TOKEN"
            ) from None
        except errors.RepositoryNotFoundError:
            raise WeightsError(
                f"{source}: there is no such model on the hub, or it is private; check the name, or "
                "log in with `hf auth login` or HF_TOKEN"
            ) from None
        except errors.RevisionNotFoundError:
            raise WeightsError(f"{source}: the model has no revision {match['revision']}") from None
        except Exception as error:  # of the several libraries that it downloads with
            raise WeightsError(
                f"{source}: the download failed: {str(error).partition(chr(10))[0]}"
            ) from None
        else:
            return file, file.parent.name  # the cache keeps snapshots/COMMIT/NAME
    if unreachable:
        raise WeightsError(
            f"{source}: not in the cache, and the hub cannot be reached; connect, or unset "
            "HF_HUB_OFFLINE, or give a file instead"
        )
    raise WeightsError(f"{source}: the model has neither {_FILES[0]} nor {_FILES[1]}")
