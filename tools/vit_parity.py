"""Compares artjax's vision transformers with the originals, stage by stage.

    python tools/vit_parity.py --originals PYTHON            # all models; about ten minutes on two cores
    python tools/vit_parity.py --originals PYTHON --only dinov2_small --naming timm
    python tools/vit_parity.py --originals PYTHON --golden   # writes tests/fixtures/vit.json

PYTHON is an interpreter with torch, timm, transformers and safetensors; it needs neither JAX nor artjax.
It builds each original with the weights of `draw`, runs it on the same pixels, and hands over the arrays
of its file and the output of each stage. No weights are downloaded.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FIXTURE = Path(__file__).parents[1] / "tests" / "fixtures" / "vit.json"
LIMIT = 1e-4
BATCH = 2

# `timm`, `OpenAI`, or a class of transformers, whose names in memory are not always those in its files.
NAMINGS = {
    "vit": ("timm", "ViTModel", "ViTModel in memory", "ViTForImageClassification"),
    "dinov2": ("timm", "Dinov2Model", "Dinov2Model in memory", "Dinov2ForImageClassification"),
    # The authors' names are those of timm, but for `register_tokens`, and a row for the class token.
    "dinov2reg": ("timm", "Meta", "Dinov2WithRegistersModel"),
    "clip": ("timm", "CLIPVisionModel", "CLIPModel", "OpenAI"),
    "siglip": ("timm", "SiglipVisionModel", "SiglipModel"),
}
# Image in pretraining, and another; multiples of the patch.
SIZES = {
    "vit": (224, 160),
    "dinov2": (518, 224),
    "dinov2reg": (518, 224),
    "clip": (224, 336),
    "siglip": (224, 256),
}
RESIZED = (((4, 4), (6, 6)), ((7, 7), (3, 3)), ((5, 3), (4, 8)))


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights by a formula, float32: the same in every process, and not of low rank."""
    seed = zlib.crc32(name.encode()) % 1000
    noise = np.sin(np.arange(np.prod(shape, dtype=int)) * 12.9898 + seed) * 43758.5453
    noise = (noise - np.floor(noise)) * 2 - 1
    return np.asarray(_scaled(name, noise.reshape(shape)), np.float32)


def _scaled(name: str, noise: np.ndarray) -> np.ndarray:
    """The scale of each weight, such that activations stay near 1."""
    shape = noise.shape
    bare = ("position", "pos_embed", "cls_", "class_", "probe", "latent", "token", "pixels")
    if any(part in name for part in bare):
        return noise
    if name.endswith("bias"):
        return 0.2 * noise
    if len(shape) < 2:  # LayerNorm, LayerScale, temperatures
        return 1 + 0.3 * noise
    return noise * np.sqrt(3 / np.prod(shape[1:]))


def probe(output: np.ndarray) -> list[float]:
    """Six values of an output, from its beginning to its end."""
    flat = np.asarray(output, np.float64).reshape(-1)
    return [float(f"{v:.6g}") for v in flat[np.linspace(0, flat.size - 1, 6).astype(int)]]


# ---- in the interpreter of the originals --------------------------------------------------------


def _import_torch() -> Any:
    """Imports torch such that torchvision, of which only Python is needed, can be imported too."""
    import torch

    register = torch.library.register_fake

    def without_torchvision(name: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *arguments, **options)

    torch.library.register_fake = without_torchvision
    return torch


def _timm_model(kind: str, design: Mapping[str, Any], size: int) -> Any:
    from timm.layers import LayerNorm
    from timm.models.vision_transformer import VisionTransformer

    # timm's SigLIP has the exact GELU where the authors' has the one by tanh.
    options = {
        "vit": {},
        "dinov2": {"init_values": 1e-5, "num_classes": 0},
        "dinov2reg": {
            "init_values": 1e-5,
            "num_classes": 0,
            "reg_tokens": 4,
            "no_embed_class": True,
        },
        "clip": {
            "pre_norm": True,
            "norm_layer": partial(LayerNorm, eps=1e-5),
            "act_layer": "quick_gelu",
            "num_classes": 16,
        },
        "siglip": {
            "class_token": False,
            "global_pool": "map",
            "act_layer": "gelu_tanh",
            "num_classes": 0,
        },
    }[kind]
    return VisionTransformer(
        img_size=size,
        patch_size=design["patch"],
        embed_dim=design["width"],
        depth=design["depth"],
        num_heads=design["heads"],
        dynamic_img_size=True,
        **options,
    )


def _transformers_model(cls: str, kind: str, design: Mapping[str, Any], size: int) -> Any:
    import transformers

    sizes = {
        "hidden_size": design["width"],
        "num_hidden_layers": design["depth"],
        "num_attention_heads": design["heads"],
        "patch_size": design["patch"],
        "image_size": size,
    }
    if not kind.startswith("dinov2"):
        sizes["intermediate_size"] = 4 * design["width"]
    if cls in ("CLIPModel", "SiglipModel"):
        text = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
        text |= {"num_hidden_layers": 3, "vocab_size": 9, "bos_token_id": 0, "eos_token_id": 1}
        text |= {"projection_size": 16} if kind == "siglip" else {}
        config = getattr(transformers, cls.replace("Model", "Config"))
        return getattr(transformers, cls)(config(vision_config=sizes, text_config=text))
    config = {
        "vit": "ViT",
        "dinov2": "Dinov2",
        "dinov2reg": "Dinov2WithRegisters",
        "clip": "CLIPVision",
        "siglip": "SiglipVision",
    }
    return getattr(transformers, cls)(getattr(transformers, f"{config[kind]}Config")(**sizes))


def _from_file(model: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The model with the weights of `draw`, by the names of the file that transformers writes of it."""
    from safetensors.numpy import load_file, save_file

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        file = Path(folder) / "model.safetensors"
        arrays = {name: draw(name, array.shape) for name, array in load_file(file).items()}
        save_file(arrays, file, {"format": "pt"})
        return type(model).from_pretrained(folder), arrays


def _openai_arrays(design: Mapping[str, Any], tokens: int) -> dict[str, np.ndarray]:
    """The image tower in the names of CLIP's authors (clip/model.py, VisionTransformer)."""
    c, p = design["width"], design["patch"]
    shapes: dict[str, tuple[int, ...]] = {
        "class_embedding": (c,),
        "positional_embedding": (tokens, c),
        "proj": (c, 16),
        "conv1.weight": (c, 3, p, p),
    }
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{norm}.weight": (c,), f"{norm}.bias": (c,)}
    for n in range(design["depth"]):
        block = f"transformer.resblocks.{n}"
        layers = {"attn.out_proj": (c, c), "mlp.c_fc": (4 * c, c), "mlp.c_proj": (c, 4 * c)}
        shapes |= {
            f"{block}.attn.in_proj_weight": (3 * c, c),
            f"{block}.attn.in_proj_bias": (3 * c,),
        }
        for layer, shape in {**layers, "ln_1": (c,), "ln_2": (c,)}.items():
            shapes |= {f"{block}.{layer}.weight": shape, f"{block}.{layer}.bias": shape[:1]}
    text = {
        "token_embedding.weight": draw("token", (9, 16)),
        "logit_scale": draw("logit_scale", ()),
    }
    return {f"visual.{n}": draw(f"visual.{n}", s) for n, s in shapes.items()} | text


def _meta_arrays(model: Any) -> dict[str, np.ndarray]:
    """DINOv2 with registers in the names of its authors (dinov2/models/vision_transformer.py)."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    _, patches, width = shapes.pop("pos_embed")
    shapes |= {"pos_embed": (1, 1 + patches, width), "mask_token": (1, width)}
    shapes["register_tokens"] = shapes.pop("reg_token")
    return {name: draw(name, shape) for name, shape in shapes.items()}


def original(
    kind: str, naming: str, design: Mapping[str, Any], size: int, other: tuple[int, ...]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Runs an original whose weights are those of `draw`.

    Args:
      kind: a key of `NAMINGS`.
      naming: one of its values.
      design: the fields of artjax's `Design`.
      size: side of the images that its position embeddings are for, in pixels.
      other: further sides.

    Returns:
      the arrays of its file by their names there, and its outputs by `<side>/<stage>`.
    """
    torch = _import_torch()
    from timm.layers import resample_abs_pos_embed
    from timm.models.vision_transformer import _convert_dinov2, _convert_openai_clip

    in_timm = naming in ("timm", "OpenAI", "Meta")
    cls = naming.partition(" ")[0]
    build = partial(_timm_model, kind) if in_timm else partial(_transformers_model, cls, kind)
    model = build(design, size)
    if naming == "OpenAI":
        arrays = _openai_arrays(design, model.pos_embed.shape[1])
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        model.load_state_dict(_convert_openai_clip(tensors, model))
    elif naming == "Meta":
        arrays = _meta_arrays(model)
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        model.load_state_dict(_convert_dinov2(tensors, model))
    elif in_timm or "memory" in naming:
        arrays = {n: draw(n, tuple(t.shape)) for n, t in model.state_dict().items()}
        model.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    else:
        model, arrays = _from_file(model)
    state = model.state_dict()

    outputs: dict[str, np.ndarray] = {}
    for side in (size, *other):
        if not in_timm and side != size:
            model, resized = build(design, side), dict(state)
            for name, tensor in model.state_dict().items():
                if tensor.shape != state[name].shape:
                    kept = 0 if kind == "siglip" else 1
                    grid = [side // design["patch"]] * 2
                    table = state[name].reshape(1, -1, design["width"])
                    table = resample_abs_pos_embed(table, grid, num_prefix_tokens=kept)
                    resized[name] = table.reshape(tensor.shape)
            model.load_state_dict(resized)
        model.eval()
        pixels = draw("pixels", (BATCH, side, side, 3)).transpose(0, 3, 1, 2)
        for stage, output in _stages(torch, model, kind, torch.tensor(pixels.copy())).items():
            outputs[f"{side}/{stage}"] = output.numpy()
    return arrays, outputs


def _stages(torch: Any, model: Any, kind: str, pixels: Any) -> dict[str, Any]:
    """The outputs of all stages, seen by hooks on the blocks."""
    tower = model
    for attribute in ("vision_model", "vit", "dinov2"):
        tower = getattr(tower, attribute, tower)
    is_timm = type(tower).__name__ == "VisionTransformer"
    lists = (m for m in tower.modules() if isinstance(m, torch.nn.ModuleList))
    blocks = tower.blocks if is_timm else next(lists)
    seen: dict[str, Any] = {}

    def after(n: int) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if n == 1:
                seen["embedding"] = inputs[0]
            seen[f"block{n}"] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [block.register_forward_hook(after(n)) for n, block in enumerate(blocks, start=1)]
    with torch.no_grad():
        if is_timm:
            pooled = tower.forward_head(tower.forward_features(pixels), pre_logits=True)
        else:
            result = tower(pixels)
            pooled = result.last_hidden_state[:, 0] if kind == "vit" else result.pooler_output
    for hook in hooks:
        hook.remove()
    return seen | {"pooled": pooled}


def resized_grids() -> list[list[float]]:
    """`torch.nn.functional.interpolate` of grids with two channels, for each of `RESIZED`."""
    torch = _import_torch()
    results = []
    for source, target in RESIZED:
        grid = torch.tensor(draw("position", (*source, 2)).transpose(2, 0, 1)[None].copy())
        result = torch.nn.functional.interpolate(grid, target, mode="bicubic", antialias=True)
        values = result[0].permute(1, 2, 0).reshape(-1).tolist()
        results.append([float(f"{value:.7g}") for value in values])
    return results


def _originals_main(folder: Path) -> None:
    """Writes `weights.npz` and `outputs.npz` of the case in `case.json`, or `resized.json`."""
    case = json.loads((folder / "case.json").read_text())
    if case is None:
        (folder / "resized.json").write_text(json.dumps(resized_grids()))
        return
    arrays, outputs = original(**case)
    np.savez(folder / "weights.npz", **arrays)
    np.savez(folder / "outputs.npz", **outputs)


# ---- in the interpreter of artjax ---------------------------------------------------------------


def _ask(python: str, case: Mapping[str, Any] | None, folder: Path) -> None:
    (folder / "case.json").write_text(json.dumps(case))
    command = [python, __file__, "--write", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def stages_of(design: Any, arrays: Mapping[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    """The output of each stage of artjax's network with the weights of a file.

    Raises:
      AssertionError: if the translated names and shapes are not those of the network.
    """
    import jax

    from artjax.models import Preprocessing
    from artjax.models.vit import ViT, translate

    translated = translate(design, Preprocessing(), arrays, side)
    model = ViT(design, classes={})
    pixels = draw("pixels", (BATCH, side, side, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), pixels)["params"]
    expected = {
        "/".join(("params", *(key.key for key in path))): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    assert {n: v.shape for n, v in translated.variables.items()} == expected
    params: dict[str, Any] = {}
    for path, values in translated.variables.items():
        *parents, leaf = path.split("/")[1:]
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = values
    run = jax.jit(lambda p, x: model.apply({"params": p}, x, mutable=["stages"])[1]["stages"])
    return {stage: np.asarray(output[0]) for stage, output in run(params, pixels).items()}


def kind_of(name: str) -> str:
    """The key of `NAMINGS` for a model: `dinov2_small_reg` → `dinov2reg`."""
    return name.partition("_")[0] + ("reg" if name.endswith("_reg") else "")


def _cases(only: str, naming: str) -> list[tuple[str, str, Any, int, int]]:
    from artjax.models.vit import DESIGNS

    cases = []
    for name, design in DESIGNS.items():
        kind = kind_of(name)
        # The larger ones differ in width; two blocks tell whether the names and shapes are right.
        design = design if "small" in name else replace(design, depth=2)
        for used in NAMINGS[kind]:
            if only in name and naming in used:
                cases.append((name, used, design, *SIZES[kind]))
    return cases


def compare(python: str, only: str, naming: str) -> bool:
    """Prints the largest absolute difference of each stage. Returns whether all are small."""
    good = True
    print(
        f"{'model':22}{'names':29}{'side':>5}{'blocks':>7}{'embedding':>11}{'worst block':>13}",
        end="",
    )
    print(f"{'pooled':>10}  (largest |value| of blocks, of pooled)")
    for name, used, design, size, other in _cases(only, naming):
        with tempfile.TemporaryDirectory() as folder:
            case = {"kind": kind_of(name), "naming": used, "design": asdict(design)}
            _ask(python, case | {"size": size, "other": [other]}, Path(folder))
            with np.load(Path(folder) / "weights.npz") as file:
                arrays = dict(file)
            with np.load(Path(folder) / "outputs.npz") as file:
                outputs = dict(file)
        for side in (size, other):
            ours = stages_of(design, arrays, side)
            differences = {
                stage: float(np.abs(values - outputs[f"{side}/{stage}"]).max())
                for stage, values in ours.items()
            }
            blocks = [stage for stage in ours if stage.startswith("block")]
            worst = max(differences[block] for block in blocks)
            high = max(float(np.abs(ours[block]).max()) for block in blocks)
            print(
                f"{name:22}{used:29}{side:5}{len(blocks):7}{differences['embedding']:11.1e}"
                f"{worst:13.1e}{differences['pooled']:10.1e}  "
                f"({high:.1f}, {np.abs(ours['pooled']).max():.1f})",
                flush=True,
            )
            good = good and max(differences.values()) <= LIMIT
    return good


TINY = {"patch": 4, "width": 48, "depth": 2, "heads": 3}
TINY_SIZES = (16, 24, 12)
GOLDEN = (
    ("vit", "timm"),
    ("vit", "ViTModel"),
    ("dinov2", "timm"),
    ("dinov2", "Dinov2ForImageClassification"),
    ("dinov2reg", "timm"),
    ("dinov2reg", "Meta"),
    ("clip", "timm"),
    ("clip", "CLIPModel"),
    ("clip", "OpenAI"),
    ("siglip", "timm"),
    ("siglip", "SiglipModel"),
)


def tiny_design(kind: str) -> Any:
    """A design like those of a key of `NAMINGS`."""
    from artjax.models.vit import DESIGNS

    return replace(next(d for n, d in DESIGNS.items() if kind_of(n) == kind), **TINY)


def write_golden(python: str) -> None:
    """Writes names, shapes and a few outputs of tiny originals.

    `#` in a name stands for the number of each block.
    """
    cases = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, naming in GOLDEN:
            case = {"kind": kind, "naming": naming, "design": TINY, "size": TINY_SIZES[0]}
            _ask(python, case | {"other": TINY_SIZES[1:]}, folder)
            with np.load(folder / "weights.npz") as file:
                shapes = {
                    re.sub(r"\.\d+\.", ".#.", n): file[n].shape
                    for n in file.files
                    if not n.startswith("text_model.encoder")
                }
            with np.load(folder / "outputs.npz") as file:
                outputs = {n: probe(file[n]) for n in file.files if "block1" not in n}
            cases.append({"kind": kind, "naming": naming, "arrays": shapes, "outputs": outputs})
        _ask(python, None, folder)
        resized = json.loads((folder / "resized.json").read_text())
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    FIXTURE.write_text(f'{{"cases":[\n{lines}\n],\n"resized":{json.dumps(resized)}}}\n')
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes")


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--originals", help="a Python with torch, timm, transformers, safetensors")
    parser.add_argument("--only", default="", help="models whose names contain this")
    parser.add_argument("--naming", default="", help="namings that contain this")
    parser.add_argument("--golden", action="store_true", help="write the fixture of the tests")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        _originals_main(arguments.write)
    elif arguments.golden:
        write_golden(arguments.originals)
    elif not compare(arguments.originals, arguments.only, arguments.naming):
        sys.exit(f"a difference is larger than {LIMIT:g}")


if __name__ == "__main__":
    main()
