"""Vision transformers: Dosovitskiy et al., An Image is Worth 16x16 Words (2021), and its descendants.

- `vit_small_patch16`, `vit_base_patch16`, `vit_large_patch16`: Steiner et al., How to train your ViT?
  Data, Augmentation, and Regularization in Vision Transformers (2022).
- `dinov2_small`, `dinov2_base`, `dinov2_large`: Oquab et al., DINOv2: Learning Robust Visual Features
  without Supervision (2024). Patches of 14 pixels.
- `dinov2_small_reg`, `dinov2_base_reg`, `dinov2_large_reg`: the same with four registers: Darcet et al.,
  Vision Transformers Need Registers (2024).
- `clip_base_patch16`, `clip_large_patch14`: the image towers of Radford et al., Learning Transferable
  Visual Models From Natural Language Supervision (2021).
- `siglip_base_patch16`, `siglip_large_patch16`: the image towers of Zhai et al., Sigmoid Loss for
  Language Image Pre-Training (2023).

Position embeddings have the size of the images that the network is built for; `translate` resamples
the embeddings of a file to this size. The features are the class token after the last LayerNorm (in
CLIP, before the projection to the space of the texts); in SigLIP, the tokens pooled by attention.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from artjax.models.activations import gelu
from artjax.models.normalization import LayerNorm
from artjax.models.preprocessing import Preprocessing
from artjax.models.presets import CLIP, SIGLIP
from artjax.models.registry import Family, Translated, register
from artjax.models.resampling import resize_grid
from artjax.models.staged import Stage, StagedNetwork, part_in_name, stage_names
from artjax.models.translation import TORCHVISION


@dataclass(frozen=True)
class Design:
    """What distinguishes one vision transformer from another.

    Attributes:
      patch: side of a patch in pixels.
      width: channels of a token.
      depth: number of blocks.
      heads: attention heads; they divide the width.
      activation: a name in `ACTIVATIONS`, between the layers of each MLP, whose width is 4 × `width`.
      epsilon: added to the variance by each LayerNorm.
      embedding_norm: whether a LayerNorm precedes the first block. The patches then have no bias.
      layer_scale: whether each residual branch ends with a factor for each channel: Touvron et al.,
        Going deeper with Image Transformers (2021), section 2.
      attention_pool: whether a learnt query pools the tokens: Zhai et al., Scaling Vision Transformers
        (2022), section 2.2. Otherwise a class token precedes the patches.
      registers: number of learnt tokens between class token and patches, without position: Darcet et
        al. (2024), section 2.2.
    """

    patch: int
    width: int
    depth: int
    heads: int
    activation: str = "gelu"
    epsilon: float = 1e-6
    embedding_norm: bool = False
    layer_scale: bool = False
    attention_pool: bool = False
    registers: int = 0


ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": gelu,
    "gelu_tanh": partial(nn.gelu, approximate=True),
    # Hendrycks & Gimpel, Gaussian Error Linear Units (2016), section 2: the approximation by a sigmoid.
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),
}

# Width, depth and heads.
_SMALL = (384, 12, 6)
_BASE = (768, 12, 12)
_LARGE = (1024, 24, 16)
_CLIP = partial(Design, activation="quick_gelu", epsilon=1e-5, embedding_norm=True)
_SIGLIP = partial(Design, activation="gelu_tanh", attention_pool=True)

# With their preprocessing: the constants are those that the weights were trained with.
_GROUPS: tuple[tuple[Preprocessing, Mapping[str, Design]], ...] = (
    (
        Preprocessing(crop_share=0.9, interpolation="cubic"),
        {
            "vit_small_patch16": Design(16, *_SMALL),
            "vit_base_patch16": Design(16, *_BASE),
            "vit_large_patch16": Design(16, *_LARGE),
        },
    ),
    (
        replace(TORCHVISION, interpolation="cubic"),
        {
            "dinov2_small": Design(14, *_SMALL, layer_scale=True),
            "dinov2_base": Design(14, *_BASE, layer_scale=True),
            "dinov2_large": Design(14, *_LARGE, layer_scale=True),
            "dinov2_small_reg": Design(14, *_SMALL, layer_scale=True, registers=4),
            "dinov2_base_reg": Design(14, *_BASE, layer_scale=True, registers=4),
            "dinov2_large_reg": Design(14, *_LARGE, layer_scale=True, registers=4),
        },
    ),
    (
        CLIP,
        {
            "clip_base_patch16": _CLIP(16, *_BASE),
            "clip_large_patch14": _CLIP(14, *_LARGE),
        },
    ),
    (
        SIGLIP,
        {
            "siglip_base_patch16": _SIGLIP(16, *_BASE),
            "siglip_large_patch16": _SIGLIP(16, *_LARGE),
        },
    ),
)

DESIGNS: Mapping[str, Design] = {n: d for _, designs in _GROUPS for n, d in designs.items()}
"""The design of each model."""

# As timm and the authors of DINOv2 draw the weights: cut at two deviations.
_INIT = nn.initializers.truncated_normal(0.02)


class ViT(StagedNetwork):
    """A vision transformer with one linear head for each task.

    Each parameter's name begins with its stage: `block3_query`. Images have the size of those with which
    the network was initialised. Attention weights and the statistics of LayerNorm are float32.

    Attributes:
      design: sizes and variants.
    """

    design: Design

    def run_stages(self, train: bool) -> Iterator[Stage]:
        """Yields `embedding`, `block1` … with tokens [B, N, C], and `pooled` with [B, C].

        The images are [B, H, W, 3]; H and W are multiples of the patch. N is the number of patches, row
        by row, after the class token and the registers if there are any.
        """
        yield "embedding", self._embedding
        for n in range(1, self.design.depth + 1):
            yield f"block{n}", partial(self._block, f"block{n}")
        yield "pooled", self._attention_pool if self.design.attention_pool else self._class_token

    @property
    def prefix(self) -> int:
        """Number of tokens before those of the patches: the class token, and registers."""
        return 0 if self.design.attention_pool else 1 + self.design.registers

    def last_place(self) -> str:
        """The stage before the last block, after which the class token takes from no other token.

        The query of an attention pool takes from all: there it is the last block.
        """
        return stage_names(self)[-2 if self.design.attention_pool else -3]

    def places_of(self, outputs: jax.Array) -> jax.Array:
        """The tokens [B, N, C] of the patches: [B, h, w, C]. The picture is a square."""
        if outputs.ndim != 3:
            raise ValueError(f"outputs of shape {outputs.shape} belong to no places of the picture")
        patches = outputs[:, self.prefix :]
        side = math.isqrt(patches.shape[1])
        return patches.reshape(len(patches), side, side, -1)

    def _embedding(self, images: jax.Array) -> jax.Array:
        design = self.design
        x = nn.Conv(
            design.width,
            (design.patch, design.patch),
            (design.patch, design.patch),
            padding="VALID",
            use_bias=not design.embedding_norm,
            kernel_init=_INIT,
            dtype=self.dtype,
            conv_general_dilated=_product_of_patches,
            name="embedding_patches",
        )(images)
        x = x.reshape(x.shape[0], -1, design.width)
        if not design.attention_pool:
            token = self._vector("embedding_class", nn.initializers.normal(1e-6), x.shape[0])
            x = jnp.concatenate([token, x], axis=1)
        position = self.param("embedding_position", _INIT, x.shape[1:])
        x = x + position.astype(self.dtype)[None]
        if design.registers:
            registers = self.param(
                "embedding_registers",
                nn.initializers.normal(1e-6),
                (design.registers, design.width),
            ).astype(self.dtype)
            registers = jnp.broadcast_to(registers[None], (x.shape[0], *registers.shape))
            x = jnp.concatenate([x[:, :1], registers, x[:, 1:]], axis=1)
        return self._norm("embedding_norm", x) if design.embedding_norm else x

    def _block(self, stage: str, x: jax.Array) -> jax.Array:
        """Dosovitskiy et al. (2021), equations 2 and 3, with LayerScale."""
        normed = self._norm(f"{stage}_norm1", x)
        x = x + self._scaled(f"{stage}_scale1", self._attention(stage, normed, normed))
        return x + self._scaled(f"{stage}_scale2", self._mlp(stage, x))

    def _class_token(self, x: jax.Array) -> jax.Array:
        return self._norm("pooled_norm", x[:, 0])

    def _attention_pool(self, x: jax.Array) -> jax.Array:
        """Zhai et al. (2022), section 2.2: one learnt query for all images, and an MLP."""
        x = self._norm("pooled_norm", x)
        probe = self._vector("pooled_probe", _INIT, x.shape[0])
        x = self._attention("pooled", probe, x)
        return (x + self._mlp("pooled", x))[:, 0]

    def _attention(self, stage: str, queries: jax.Array, tokens: jax.Array) -> jax.Array:
        """Multi-head attention of queries [B, Q, C] to tokens [B, N, C] → [B, Q, C]."""
        heads = (self.design.heads, self.design.width // self.design.heads)

        def split(name: str, x: jax.Array) -> jax.Array:
            return self._dense(f"{stage}_{name}", self.design.width, x).reshape(
                *x.shape[:2], *heads
            )

        given = split("query", queries), split("key", tokens), split("value", tokens)
        # It computes the weights in float32: JAX 0.10.2 asks what bfloat16 and float32 promote to, here
        # and, in bfloat16 only, once more where it compiles the gradient.
        with jax.numpy_dtype_promotion("standard"):
            x = jax.nn.dot_product_attention(*given)
        return self._dense(f"{stage}_out", self.design.width, x.reshape(queries.shape))

    def _mlp(self, stage: str, x: jax.Array) -> jax.Array:
        x = self._norm(f"{stage}_norm2", x)
        x = ACTIVATIONS[self.design.activation](self._dense(f"{stage}_fc1", 4 * x.shape[-1], x))
        return self._dense(f"{stage}_fc2", self.design.width, x)

    def _dense(self, name: str, width: int, x: jax.Array) -> jax.Array:
        return nn.Dense(width, kernel_init=_INIT, dtype=self.dtype, name=name)(x)

    def _norm(self, name: str, x: jax.Array) -> jax.Array:
        return LayerNorm(self.design.epsilon, dtype=self.dtype, name=name)(x)

    def _scaled(self, name: str, x: jax.Array) -> jax.Array:
        if not self.design.layer_scale:
            return x
        scale = self.param(name, nn.initializers.constant(1e-5), (self.design.width,))
        return x * scale.astype(self.dtype)[None, None]

    def _vector(self, name: str, init: nn.initializers.Initializer, batch: int) -> jax.Array:
        """A learnt token, the same for each image: [B, 1, C]."""
        vector = self.param(name, init, (self.design.width,)).astype(self.dtype)
        return jnp.broadcast_to(vector[None, None], (batch, 1, self.design.width))


def _product_of_patches(
    inputs: jax.Array, kernel: jax.Array, *arguments: Any, **options: Any
) -> jax.Array:
    """The convolution whose stride is its kernel's side, as one product of matrices.

    It has p²·3 channels for the tensor cores instead of 3, and its gradient is a product, too.
    """
    batch, height, width, channels = inputs.shape
    p = kernel.shape[0]
    x = inputs.reshape(batch, height // p, p, width // p, p, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // p, width // p, -1)
    return x @ kernel.reshape(-1, kernel.shape[-1])


# Names in files, without prefix and without `weight` and `bias`, and the names here. `#` is the number
# of the block, from 0 in files and from 1 here. Where several names follow, they share the rows of one
# array.
_LAYOUTS: tuple[Mapping[str, str], ...] = (
    {  # timm, and the authors of DINOv2
        "patch_embed.proj": "embedding_patches",  # first in each layout, which is told by it
        "cls_token": "embedding_class",
        "pos_embed": "embedding_position",
        "reg(?:ister)?_tokens?": "embedding_registers",
        "norm_pre": "embedding_norm",
        "blocks.#.norm1": "block#_norm1",
        "blocks.#.attn.qkv": "block#_query block#_key block#_value",
        "blocks.#.attn.proj": "block#_out",
        "blocks.#.ls1.gamma": "block#_scale1",
        "blocks.#.norm2": "block#_norm2",
        "blocks.#.mlp.fc1": "block#_fc1",
        "blocks.#.mlp.fc2": "block#_fc2",
        "blocks.#.ls2.gamma": "block#_scale2",
        "norm": "pooled_norm",
        "attn_pool.latent": "pooled_probe",
        "attn_pool.q": "pooled_query",
        "attn_pool.kv": "pooled_key pooled_value",
        "attn_pool.proj": "pooled_out",
        "attn_pool.norm": "pooled_norm2",
        "attn_pool.mlp.fc1": "pooled_fc1",
        "attn_pool.mlp.fc2": "pooled_fc2",
    },
    {  # transformers: ViT and DINOv2, in its files and, since version 5, in memory
        "embeddings.patch_embeddings.projection": "embedding_patches",
        "embeddings.cls_token": "embedding_class",
        "embeddings.position_embeddings": "embedding_position",
        "embeddings.register_tokens": "embedding_registers",
        "(?:encoder.layer|layers).#.(?:layernorm_before|norm1)": "block#_norm1",
        "(?:encoder.layer|layers).#.attention.(?:attention.query|q_proj)": "block#_query",
        "(?:encoder.layer|layers).#.attention.(?:attention.key|k_proj)": "block#_key",
        "(?:encoder.layer|layers).#.attention.(?:attention.value|v_proj)": "block#_value",
        "(?:encoder.layer|layers).#.attention.(?:output.dense|o_proj)": "block#_out",
        "encoder.layer.#.layer_scale1.lambda1": "block#_scale1",
        "(?:encoder.layer|layers).#.(?:layernorm_after|norm2)": "block#_norm2",
        "(?:encoder.layer|layers).#.(?:intermediate.dense|mlp.fc1)": "block#_fc1",
        "(?:encoder.layer|layers).#.(?:output.dense|mlp.fc2)": "block#_fc2",
        "encoder.layer.#.layer_scale2.lambda1": "block#_scale2",
        "layernorm": "pooled_norm",
    },
    {  # transformers: CLIP and SigLIP
        "embeddings.patch_embedding": "embedding_patches",
        "embeddings.class_embedding": "embedding_class",
        "embeddings.position_embedding": "embedding_position",
        "pre_layrnorm": "embedding_norm",
        "encoder.layers.#.layer_norm1": "block#_norm1",
        "encoder.layers.#.self_attn.q_proj": "block#_query",
        "encoder.layers.#.self_attn.k_proj": "block#_key",
        "encoder.layers.#.self_attn.v_proj": "block#_value",
        "encoder.layers.#.self_attn.out_proj": "block#_out",
        "encoder.layers.#.layer_norm2": "block#_norm2",
        "encoder.layers.#.mlp.fc1": "block#_fc1",
        "encoder.layers.#.mlp.fc2": "block#_fc2",
        "post_layernorm": "pooled_norm",
        "head.probe": "pooled_probe",
        "head.attention.in_proj": "pooled_query pooled_key pooled_value",
        "head.attention.out_proj": "pooled_out",
        "head.layernorm": "pooled_norm2",
        "head.mlp.fc1": "pooled_fc1",
        "head.mlp.fc2": "pooled_fc2",
    },
    {  # the authors of CLIP, and OpenCLIP
        "conv1": "embedding_patches",
        "class_embedding": "embedding_class",
        "positional_embedding": "embedding_position",
        "ln_pre": "embedding_norm",
        "transformer.resblocks.#.ln_1": "block#_norm1",
        "transformer.resblocks.#.attn.in_proj": "block#_query block#_key block#_value",
        "transformer.resblocks.#.attn.out_proj": "block#_out",
        "transformer.resblocks.#.ln_2": "block#_norm2",
        "transformer.resblocks.#.mlp.c_fc": "block#_fc1",
        "transformer.resblocks.#.mlp.c_proj": "block#_fc2",
        "ln_post": "pooled_norm",
    },
)

# Networks with these have the names above, but other features.
_OTHER_TOKENS = re.compile(r"(^|\.)dist(illation)?_token$")
_REGISTERS = re.compile(r"(^|\.)reg(ister)?_tokens?$")
_BARE = ("class", "probe", "scale1", "scale2")


def translate(
    design: Design,
    preprocessing: Preprocessing,
    arrays: Mapping[str, np.ndarray],
    image_size: int,
) -> Translated:
    """Gives the arrays of a file the names and layouts of `ViT`.

    Args:
      design: the network that they are for. Arrays of blocks beyond its depth are translated as well, so
        that whoever compares the names notices them.
      preprocessing: the input that they expect.
      arrays: by the names of timm, of transformers, or of the authors of DINOv2 or CLIP. A prefix such
        as `vit.` or `vision_model.` may precede them all.
      image_size: side of the images in pixels. Position embeddings are resampled to it as by timm's
        `resample_abs_pos_embed`: bicubic, antialiased, without the class token's.

    Raises:
      ValueError: if the names are others, or the position embeddings do not form a square.
    """
    entries, prefix = _layout_of(arrays)
    registers = [name for name in arrays if _REGISTERS.search(name)]
    if registers and not design.registers:
        raise ValueError(
            f"{registers[0]}: this network has no registers, those of DINOv2's _reg have"
        )
    variables: dict[str, np.ndarray] = {}
    unused = []
    for name, array in arrays.items():
        found = _find(entries, name.removeprefix(prefix)) if name.startswith(prefix) else None
        if found is None:
            unused.append(name)
            continue
        targets, kind = found
        rows = np.split(np.asarray(array, np.float32), len(targets)) if targets[1:] else [array]
        for target, part in zip(targets, rows, strict=True):
            leaf, values = _in_layout(target, kind, np.asarray(part, np.float32))
            if leaf == "embedding_position":
                prefixed = 0 if design.attention_pool else 1
                if design.registers:
                    values = _with_row_of_class(values)
                values = _resampled(values, prefixed, image_size // design.patch)
            variables[f"params/{leaf}"] = values
    return Translated(variables, tuple(unused), preprocessing, prefix)


_Entries = tuple[tuple[re.Pattern[str], str], ...]


def _pattern(theirs: str) -> re.Pattern[str]:
    path = theirs.replace(".", r"\.").replace("#", r"(?P<block>\d+)")
    return re.compile(rf"{path}(?:[._](?P<kind>weight|bias))?")


_ENTRIES: tuple[_Entries, ...] = tuple(
    tuple((_pattern(theirs), ours) for theirs, ours in layout.items()) for layout in _LAYOUTS
)


def _layout_of(arrays: Mapping[str, np.ndarray]) -> tuple[_Entries, str]:
    """The layout, and the prefix of its names: where there are patches, and blocks beside them."""
    other = [name for name in arrays if _OTHER_TOKENS.search(name)]
    if other:
        raise ValueError(f"{other[0]}: the vision transformers here have no such tokens")
    for layout, entries in zip(_LAYOUTS, _ENTRIES, strict=True):
        patches = f"{next(iter(layout))}.weight"
        for prefix in (n.removesuffix(patches) for n in arrays if f".{n}".endswith(f".{patches}")):
            found = (_find(entries, n.removeprefix(prefix)) for n in arrays if n.startswith(prefix))
            if any(entry is not None and entry[0][0].startswith("block") for entry in found):
                return entries, prefix
    known = ", ".join(next(iter(layout)) for layout in _LAYOUTS)
    raise ValueError(
        f"the names are not those of a vision transformer: none has blocks beside {known}; the first is "
        f"{next(iter(arrays), '(no array)')}"
    )


def _find(entries: _Entries, name: str) -> tuple[tuple[str, ...], str | None] | None:
    """The names here of one in a file, and whether it is a `weight` or `bias`; None if it has none."""
    for pattern, ours in entries:
        match = pattern.fullmatch(name)
        if match:
            groups = match.groupdict()
            number = str(int(groups["block"]) + 1) if groups.get("block") else ""
            return tuple(ours.replace("#", number).split()), groups["kind"]
    return None


def _in_layout(target: str, kind: str | None, array: np.ndarray) -> tuple[str, np.ndarray]:
    """The path of an array of PyTorch, and its values in the layout of Flax."""
    part = target.rpartition("_")[2]
    if part == "position":
        return target, array.reshape(-1, array.shape[-1])
    if part == "registers":
        return target, array.reshape(-1, array.shape[-1])
    if part in _BARE:
        return target, array.reshape(-1)
    if kind == "bias":
        return f"{target}/bias", array
    if array.ndim == 1:
        return f"{target}/scale", array
    return f"{target}/kernel", array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _with_row_of_class(table: np.ndarray) -> np.ndarray:
    """[n², C] → [1 + n², C]: timm adds the position of the class token to that token, and keeps none."""
    if math.isqrt(len(table)) ** 2 != len(table):
        return table
    return np.concatenate([np.zeros_like(table[:1]), table])


def _resampled(table: np.ndarray, prefix: int, side: int) -> np.ndarray:
    """Position embeddings [prefix + n², C] → [prefix + side², C]."""
    n = math.isqrt(max(0, len(table) - prefix))
    if prefix + n * n != len(table) or not n:
        raise ValueError(
            f"{len(table)} position embeddings: a square number"
            f"{' and one of the class token' if prefix else ''} was expected"
        )
    grid = resize_grid(table[prefix:].reshape(n, n, -1), side, side)
    return np.concatenate([table[:prefix], grid.reshape(side * side, -1)])


def _create(
    name: str, classes: Mapping[str, int], *, dtype: jnp.dtype, platform: str, **options: Any
) -> ViT:
    return ViT(DESIGNS[name], classes=classes, dtype=dtype, **options)


def _register(preprocessing: Preprocessing, designs: Mapping[str, Design]) -> None:
    register(
        Family(
            names=tuple(designs),
            create=_create,
            size_multiple=lambda name: DESIGNS[name].patch,
            part_of=part_in_name,
            preprocessing=replace(preprocessing, crop_share=1.0, interpolation="linear"),
            translate=lambda name, arrays, image_size: translate(
                DESIGNS[name], preprocessing, arrays, image_size
            ),
        )
    )


for _preprocessing, _designs in _GROUPS:
    _register(_preprocessing, _designs)
