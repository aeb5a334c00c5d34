"""MODEL arguments: FOLDER, FOLDER+ADAPTER, or NAME@URL of an OpenAI-compatible endpoint.

They are parsed here and nowhere else.
"""

import re
from pathlib import Path

from act.records import InputError

EMBEDDED = "smollm2-135m-instruct"  # the embedded model's folder, in this project's models/


def is_endpoint(spec: str | Path) -> bool:
    """Is a MODEL argument NAME@URL?"""
    return "@" in str(spec) and "://" in str(spec)


def split_endpoint(spec: str) -> tuple[str, str]:
    """(NAME, URL) of NAME@URL; the name may hold an @, too.

    >>> split_endpoint("@cf/meta/llama@https://host/v1")
    ('@cf/meta/llama', 'https://host/v1')
    """
    served = re.fullmatch(r"(.*)@(https?://.*)", spec)
    name, _, url = spec.partition("@")
    return (served[1], served[2]) if served else (name, url)


def split_spec(spec: str | Path) -> tuple[Path, Path | None]:
    """FOLDER or FOLDER+ADAPTER as paths; either may have a + in its name, the longest folder that
    is there is taken. Raises InputError for one that is not."""
    if is_endpoint(spec):
        name = model_name(spec)  # an address may hold a key
        raise InputError(f"{name}@...: an endpoint; a model folder is wanted here")
    parts = str(spec).split("+")
    for n in range(len(parts), 0, -1):
        folder, adapter = Path("+".join(parts[:n])), "+".join(parts[n:])
        if folder.is_dir():
            if n < len(parts) and not (adapter and Path(adapter).is_dir()):
                raise missing(adapter)
            return folder, Path(adapter) if adapter else None
    raise missing(parts[0])


def missing(path: str) -> InputError:
    """What is said of a folder that is not there; it may be a name on the Hub."""
    if Path(path).is_file():
        return InputError(f"{path}: a file; the folder that holds it is wanted")
    said = f"{path or '+'}: no such folder"
    several = path.split("+")
    if len(several) > 1 and all(Path(folder).is_dir() for folder in several):
        said += "; FOLDER+ADAPTER has one adapter: what train.py writes on top of one holds both"
    folder = Path(path)
    if folder.name == EMBEDDED:
        said += f"; in this project's folder: python -m act.model.embedded --out models/{EMBEDDED}"
    elif folder.name != path and folder.parent.is_dir():  # a slip of the pen?
        there = sorted(beside.name for beside in folder.parent.iterdir() if beside.is_dir())
        said += f"; {folder.parent} has {', '.join(there) or 'none'}"
    elif re.fullmatch(r"\w[\w.-]*/[\w.-]+", path):
        fetch = f"hf download {path} --local-dir models/{path.rpartition('/')[2]}"
        said += f"; a model of the Hub? {fetch} (a gated one: accept its licence there first)"
    return InputError(said)


def base_folder(spec: str | Path) -> Path:
    """The folder of a MODEL argument that must be a base model, without an adapter."""
    folder, adapter = split_spec(spec)
    if adapter:
        raise InputError(f"{spec}: a base model's folder is wanted here, without +ADAPTER")
    return folder


def model_name(spec: str | Path) -> str:
    """In short: gpt-5 of gpt-5@https://..., smollm2+judge of models/smollm2+runs/judge."""
    if is_endpoint(spec):
        return split_endpoint(str(spec))[0]
    return "+".join(path.resolve().name for path in split_spec(spec) if path)
