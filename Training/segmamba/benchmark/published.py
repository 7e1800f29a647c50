"""What papers say of their own and other networks: not measured here, and beside what was."""

#: Cubes of 96, parameters in millions, and what the table calls FLOPs in G: by the networks that MONAI has, too, they
#: are multiply-adds.
TABLE_96_SOURCE = "Lee et al. 2022, 3D UX-Net, arXiv:2209.15076 (and its repository, MASILab/3DUX-Net)"
TABLE_96 = (
    ("nnU-Net", 31.2, 743.3),
    ("TransBTS", 31.6, 110.4),
    ("UNETR", 92.8, 82.6),
    ("nnFormer", 149.3, 240.2),
    ("SwinUNETR", 62.2, 328.4),
    ("3D UX-Net (kernel 7)", 53.0, 639.4),
)

SEGMAMBA = "arXiv:2401.13560"
SEGRESMAMBA = "arXiv:2503.07766"
LIGHTMUNET = "arXiv:2403.05246"

#: (network, source, what it states)
STATEMENTS = (
    (
        "SegMamba",
        SEGMAMBA,
        "BraTS2023, Dice / HD95: WT 93.61 / 3.37, TC 92.65 / 3.85, ET 87.71 / 3.48, mean 91.32 / 3.56",
    ),
    ("SegResMamba", SEGRESMAMBA, "119.98 M parameters, 336 to 340 G multiply-adds"),
    ("SegResMamba", SEGRESMAMBA, "Dice: BTCV 0.8361, BraTS2021 0.8839, Spleen 0.9147"),
    (
        "SegResMamba",
        SEGRESMAMBA,
        "training memory on BTCV at batch 1: 5.10 GB (SegMamba 13.51, SwinUNETR 7.77, UNETR 3.08)",
    ),
    ("SegResMamba", SEGRESMAMBA, "inference 0.0841 s (SegMamba 0.1693, SwinUNETR 0.1343)"),
    ("SegResMamba", SEGRESMAMBA, "CO2 of training 10.60 kg (SegMamba 12.73, SwinUNETR 12.72)"),
    ("LightM-UNet", LIGHTMUNET, "LiTS: Dice 84.58; 1.87 M parameters, 47 times fewer than nnU-Net"),
    (
        "LightM-UNet",
        LIGHTMUNET,
        "two dimensions: 1.09 M parameters, 116 times fewer than nnU-Net, and 21 times less computation",
    ),
)
