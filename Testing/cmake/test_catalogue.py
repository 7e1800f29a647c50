"""The entry for Slicer's catalogue of extensions, and the icons: what its reviewers check."""

import json
import re
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "Resources" / "Catalogue" / "SegMamba.json"
# Of the schema 1.0.2: the keys it knows, with their types.
KEYS = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}


def test_the_entry_follows_the_schema():
    entry = json.loads(ENTRY.read_text())
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    for key, value in entry.items():
        assert isinstance(value, KEYS[key]), key
    assert {"category", "scm_url"} <= entry.keys()
    assert 1 <= entry["tier"] <= 5
    assert b"\r" not in ENTRY.read_bytes()


def test_extension_and_repository_are_named_as_the_catalogue_wants():
    entry = json.loads(ENTRY.read_text())
    assert not ENTRY.stem.lower().startswith("slicer")
    assert entry["scm_url"].startswith("https://")
    assert entry["scm_url"].rstrip("/").rpartition("/")[2].startswith("Slicer")


def test_the_entry_and_the_build_say_the_same():
    entry, build = json.loads(ENTRY.read_text()), (ROOT / "CMakeLists.txt").read_text()
    settings = dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]*)"\)', build))
    assert re.search(r"^project\((\w+)\)$", build, re.MULTILINE)[1] == ENTRY.stem
    assert settings["DEPENDS"].split() == entry["build_dependencies"]
    assert settings["CATEGORY"] == entry["category"]
    assert int(settings["TIER"]) == entry["tier"]
    assert settings["HOMEPAGE"] == entry["scm_url"]


def test_icons_are_png_of_128_pixels_with_a_transparent_background():
    for icon in ("Resources/Icons/SegMamba.png", "SegMambaSlicer/Resources/Icons/SegMambaSlicer.png"):
        data = (ROOT / icon).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
        assert (width, height, bits, colour) == (128, 128, 8, 6)  # 6: RGBA
