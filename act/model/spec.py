"""MODEL arguments: FOLDER, FOLDER+ADAPTER, or NAME@URL of an OpenAI-compatible endpoint.

They are parsed here and nowhere else.
"""

from pathlib import Path

from act.records import InputError


def is_endpoint(spec: str | Path) -> bool:
    """Is a MODEL argument NAME@URL?"""
    return "@" in str(spec) and "://" in str(spec)


def split_endpoint(spec: str) -> tuple[str, str]:
    """(NAME, URL) of NAME@URL."""
    name, _, url = spec.partition("@")
    return name, url


def split_spec(spec: str | Path) -> tuple[Path, Path | None]:
    """FOLDER or FOLDER+ADAPTER as paths; a folder with a + in its name is taken as it stands."""
    if is_endpoint(spec):
        name = model_name(spec)  # an address may hold a key
        raise InputError(f"{name}@...: an endpoint; a model folder is wanted here")
    folder, plus, adapter = str(spec).rpartition("+")
    if not plus or Path(spec).is_dir():
        folder, adapter = str(spec), ""
    for path in (folder, adapter):
        if path and not Path(path).is_dir():
            raise InputError(f"{path}: no such folder")
    return Path(folder), Path(adapter) if adapter else None


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
