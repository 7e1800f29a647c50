"""The networks that are compared: ours, and MONAI's as their papers or nnU-Net's planner size them.

Nothing heavy is imported before a network is built.
"""

from collections.abc import Callable
from dataclasses import dataclass

_NNUNET_3D = (32, 64, 128, 256, 320, 320)
_NNUNET_2D = (32, 64, 128, 256, 512, 512, 512, 512)


@dataclass(frozen=True)
class Network:
    """One network of the comparison.

    Attributes:
        name: As ``--network`` takes it.
        title: As tables show it.
        ours: Whether it is from this package.
        build: Takes image channels, classes and the cube's size; returns a module.
        configuration: What was chosen, in words.
    """

    name: str
    title: str
    ours: bool
    build: Callable
    configuration: str


def _own(network: str, **options) -> Callable:
    def build(channels: int, classes: int, size: int):
        from segmamba import networks

        return networks.build(network, channels, classes, **options)

    return build


def _monai(network: str, with_size: bool = False, **options) -> Callable:
    def build(channels: int, classes: int, size: int):
        from monai.networks import nets

        sized = {"img_size": (size, size, size)} if with_size else {}
        return getattr(nets, network)(in_channels=channels, out_channels=classes, **sized, **options)

    return build


def nnunet(dimensions: int, channels: int, classes: int):
    """nnU-Net's plain network as MONAI's DynUNet, without deep supervision.

    Args:
        dimensions: 3: six stages for patches of 96 to 160 (3d_fullres); 2: eight stages for patches of 512.
        channels, classes: Of image and output.
    """
    from monai.networks.nets import DynUNet

    widths = _NNUNET_3D if dimensions == 3 else _NNUNET_2D
    return DynUNet(
        spatial_dims=dimensions,
        in_channels=channels,
        out_channels=classes,
        kernel_size=[3] * len(widths),
        strides=[1] + [2] * (len(widths) - 1),
        upsample_kernel_size=[2] * (len(widths) - 1),
        filters=list(widths),
        norm_name=("INSTANCE", {"affine": True}),
        act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
    )


NETWORKS = (
    Network("segmamba", "SegMamba", True, _own("segmamba"), "as published"),
    Network("segmamba_v1", "SegMamba, first version", True, _own("segmamba_v1"), "as its paper describes it"),
    Network("segresmamba", "SegResMamba", True, _own("segresmamba"), "as its paper describes it"),
    Network(
        "segresmamba_published", "SegResMamba, published code", True, _own("segresmamba", variant="published"),
        "as its code computes, without the layers that it builds and never calls",
    ),
    Network("lightmunet", "LightM-UNet", True, _own("lightmunet"), "as published, 32 filters"),
    Network("segresnet16", "SegResNet (16)", False, _monai("SegResNet", init_filters=16), "MONAI, 16 filters"),
    Network("segresnet32", "SegResNet (32)", False, _monai("SegResNet", init_filters=32), "MONAI, 32 filters"),
    Network("unetr", "UNETR", False, _monai("UNETR", with_size=True), "MONAI, its defaults (ViT-B)"),
    Network("swinunetr", "SwinUNETR", False, _monai("SwinUNETR", feature_size=48), "MONAI, 48 features"),
    Network(
        "swinunetr_v2", "SwinUNETR-V2", False, _monai("SwinUNETR", feature_size=48, use_v2=True),
        "MONAI, 48 features, use_v2",
    ),
    Network(
        "dynunet", "DynUNet (nnU-Net)", False, lambda channels, classes, size: nnunet(3, channels, classes),
        "MONAI, nnU-Net's 3d_fullres: 32 64 128 256 320 320, instance norm, no deep supervision",
    ),
    Network("mednext", "MedNeXt-B", False, _monai("MedNeXtB", spatial_dims=3), "MONAI, base, kernel 3"),
)  # fmt: skip
NAMES = tuple(network.name for network in NETWORKS)
_BY_NAME = {network.name: network for network in NETWORKS}


def find(name: str) -> Network:
    """The network of a name that is known to exist."""
    return _BY_NAME[name]
