"""``segmamba segment``: one mask by every way in, its geometry, and every file that can be asked for."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

import segmamba
from segmamba import images
from segmamba.cli import main
from segmamba.metadata import Label


def read(path):
    return sitk.ReadImage(str(path))


def voxels(path_or_image):
    image = path_or_image if isinstance(path_or_image, sitk.Image) else read(path_or_image)
    return sitk.GetArrayFromImage(image)


def place(image):
    return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()


def write_dicom(image, folder, uid="1.2.826.0.1.3680043.2.1"):
    """One file a slice, through GDCM."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = image.GetDirection()
    for k in range(image.GetSize()[2]):
        plane = image[:, :, k : k + 1]
        tags = {
            "0008|0018": f"{uid}.{k + 1}",
            "0008|0060": "MR",
            "0020|000d": f"{uid}.0",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{x:.10g}" for x in image.TransformIndexToPhysicalPoint((0, 0, k))),
            "0020|0037": "\\".join(f"{direction[n]:.10g}" for n in (0, 3, 6, 1, 4, 7)),
        }
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid.split('.')[-1]}_{k:03d}.dcm"))
        writer.Execute(plane)
    return folder


@pytest.fixture
def reference(tiny_model, volume):
    """The mask of the volume, through Python."""
    return segmamba.Segmenter(tiny_model)(volume)


def test_the_command_and_python_give_the_same_voxels(done, tmp_path, image, tiny_model, reference):
    out = done("segment", image, "-o", tmp_path / "mask.nii.gz", "--model", tiny_model)
    mask = read(tmp_path / "mask.nii.gz")
    assert np.array_equal(voxels(mask), voxels(reference.labels))
    assert set(np.unique(voxels(mask))) == {0, 1, 2}
    *rows, last = out.splitlines()
    assert [row.split()[0] for row in rows] == ["Front", "Back"]
    assert f"{reference.voxels['Front']} voxels" in rows[0] and f"{reference.volumes_ml['Front']:.3f} ml" in rows[0]
    assert last.startswith(str(tmp_path / "mask.nii.gz"))
    from_path = segmamba.Segmenter(tiny_model)(image)
    assert np.array_equal(voxels(from_path.labels), voxels(mask)) and place(from_path.labels) == place(mask)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_the_same_image_in_another_format_gives_the_same_mask(done, tmp_path, volume, tiny_model, reference, suffix):
    sitk.WriteImage(volume, str(tmp_path / f"image{suffix}"))
    done("segment", tmp_path / f"image{suffix}", "-o", tmp_path / f"mask{suffix}", "--model", tiny_model)
    assert np.array_equal(voxels(tmp_path / f"mask{suffix}"), voxels(reference.labels))


@pytest.mark.parametrize("spacing", [None, (1.3, 1.3, 1.3)])
@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), (True, False, True)), ((2, 0, 1), (False, True, False)), ((1, 0, 2), (True,) * 3)]
)
def test_the_same_image_stored_flipped_and_permuted_gives_the_same_physical_mask(
    done, tmp_path, volume, make_model, reference, tiny_model, order, flips, spacing
):
    if spacing is not None:  # the network sees another grid than the file's
        labels = reference.metadata.labels
        tiny_model = make_model(tmp_path / "spaced", ("T1",), labels, spacing=spacing)
        reference = segmamba.Segmenter(tiny_model)(volume)
    stored = sitk.Flip(sitk.PermuteAxes(volume, order), flips)
    sitk.WriteImage(stored, str(tmp_path / "stored.nrrd"))
    done("segment", tmp_path / "stored.nrrd", "-o", tmp_path / "mask.nrrd", "--model", tiny_model)
    mask = read(tmp_path / "mask.nrrd")
    assert place(mask) == place(read(tmp_path / "stored.nrrd"))
    expected = sitk.Flip(sitk.PermuteAxes(reference.labels, order), flips)
    assert np.allclose(mask.GetOrigin(), expected.GetOrigin())
    differing = int(np.count_nonzero(voxels(mask) != voxels(expected)))
    if spacing is None:  # reordering is exact
        assert differing == 0
    else:  # the other grid's origin is rounded differently, which may tip a voxel where two classes are level
        assert differing <= 3


def test_a_dicom_series_gives_the_same_physical_mask(done, tmp_path, volume, tiny_model, reference):
    folder = write_dicom(volume, tmp_path / "series")
    done("segment", folder, "-o", tmp_path / "mask.nii.gz", "--model", tiny_model)
    mask = read(tmp_path / "mask.nii.gz")
    assert np.allclose(mask.GetOrigin(), volume.GetOrigin(), atol=1e-4)
    assert np.allclose(mask.GetDirection(), volume.GetDirection(), atol=1e-6)
    assert np.array_equal(voxels(mask), voxels(reference.labels))


def test_of_several_series_one_is_chosen_by_its_uid(done, refused, tmp_path, volume, make_volume, tiny_model):
    one, other = "1.2.826.0.1.3680043.2.1", "1.2.826.0.1.3680043.2.7"
    folder = write_dicom(volume, tmp_path / "study", one)
    write_dicom(make_volume(seed=5), folder, other)
    arguments = ["segment", folder, "-o", tmp_path / "mask.nrrd", "--model", tiny_model]
    refused(arguments, folder, "2 DICOM series", "--series UID", "series=", one, other)
    refused([*arguments, "--series", "1.2.3"], "1.2.3", one, other)
    done(*arguments, "--series", other)
    wanted = segmamba.Segmenter(tiny_model)(folder, series=other)
    assert np.array_equal(voxels(tmp_path / "mask.nrrd"), voxels(wanted.labels))
    done(*arguments, "--series", one, "--preview", tmp_path / "preview.png")
    assert not np.array_equal(voxels(tmp_path / "mask.nrrd"), voxels(wanted.labels))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".seg.nrrd"])
def test_the_mask_of_a_real_image_has_its_exact_geometry(done, tmp_path, reference_data, tiny_model, suffix):
    source = reference_data / "data" / "hippocampus" / "imagesTr" / "hippocampus_001.nii.gz"
    mask = tmp_path / f"mask{suffix}"
    done("segment", source, "-o", mask, "--model", tiny_model, "--roi", "0:9,0:9,0:9")
    assert place(read(mask)) == place(read(source))


def test_a_slicer_segmentation_holds_names_and_colours(done, tmp_path, image, tiny_model, reference):
    done("segment", image, "-o", tmp_path / "mask.seg.nrrd", "--model", tiny_model)
    mask = read(tmp_path / "mask.seg.nrrd")
    assert np.array_equal(voxels(mask), voxels(reference.labels))
    assert [mask.GetMetaData(f"Segment{n}_Name") for n in (0, 1)] == ["Front", "Back"]
    assert [float(c) for c in mask.GetMetaData("Segment0_Color").split()] == pytest.approx(
        [230 / 255, 60 / 255, 50 / 255], abs=1e-5
    )


def test_four_channels_give_regions_painted_in_their_order(done, tmp_path, four_images, tiny_regions):
    more = ["--probabilities", tmp_path / "p.nrrd", "--json"]
    found = json.loads(done("segment", *four_images, "-o", tmp_path / "mask.nrrd", "--model", tiny_regions, *more))
    present = voxels(tmp_path / "p.nrrd") > 0.5
    assert present.shape[0] == 3
    painted = np.zeros(present.shape[1:], np.uint8)
    for value, region in zip((2, 1, 3), present, strict=True):
        painted[region] = value
    assert np.array_equal(voxels(tmp_path / "mask.nrrd"), painted)
    counts = {name: int(region.sum()) for name, region in zip(("WT", "TC", "ET"), present, strict=True)}
    assert found["voxels"] == counts


def test_json_tells_everything_and_stands_alone_on_standard_output(done, tmp_path, image, tiny_model, reference):
    found = json.loads(done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--json"))
    assert found["output"] == str(tmp_path / "mask.nrrd")
    assert (found["model"], found["version"], found["warnings"]) == ("tiny", "1.2.0", [])
    assert found["names"] == {"1": "Front", "2": "Back"}
    assert found["voxels"] == reference.voxels
    assert found["volumes_ml"] == pytest.approx(reference.volumes_ml)  # a NIfTI header keeps spacing in 32 bits
    assert found["backend"] == reference.backend != "" and found["seconds"] > 0


def test_statistics_count_the_masks_voxels(done, tmp_path, image, tiny_model):
    done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--statistics", tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mask = voxels(tmp_path / "mask.nrrd")
    assert [(row["name"], row["value"]) for row in rows] == [("Front", "1"), ("Back", "2")]
    for row in rows:
        count = int((mask == int(row["value"])).sum())
        assert int(row["voxels"]) == count
        assert float(row["millilitres"]) == pytest.approx(count * 0.9 * 1.1 * 1.5 / 1000, abs=1e-4)
        assert float(row["percent"]) == pytest.approx(100 * count / mask.size, abs=1e-4)


def test_the_preview_is_a_picture_with_the_labels_colours(done, tmp_path, image, tiny_model):
    done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--preview", tmp_path / "p.png")
    picture = np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).astype(int)
    assert picture.shape[0] > 300 and picture.shape[1] > 1000
    for colour in ((230, 60, 50), (60, 120, 220)):
        assert (np.abs(picture - colour).max(axis=2) < 12).sum() > 50


def test_probabilities_are_a_4d_image_on_the_grid_whose_greatest_is_the_mask(done, tmp_path, image, tiny_model):
    done(
        "segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--probabilities", tmp_path / "p.nii.gz"
    )
    maps = read(tmp_path / "p.nii.gz")
    assert maps.GetSize() == (22, 26, 18, 3)
    values = voxels(maps)
    assert np.allclose(values.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(values.argmax(axis=0), voxels(tmp_path / "mask.nrrd"))


def test_uncertainty_is_the_normalised_entropy_on_the_grid(done, tmp_path, image, volume, tiny_model):
    files = ["--uncertainty", tmp_path / "u.mha", "--probabilities", tmp_path / "p.nrrd"]
    done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, *files)
    uncertainty, maps = read(tmp_path / "u.mha"), voxels(tmp_path / "p.nrrd").astype(np.float64)
    assert np.allclose(np.ravel(place(uncertainty)[3]), volume.GetDirection())
    entropy = -(maps * np.log(np.maximum(maps, 1e-30))).sum(axis=0) / np.log(3)
    assert np.allclose(voxels(uncertainty), entropy, atol=1e-4)


def test_a_region_of_interest_keeps_the_whole_grid_and_is_empty_outside(done, tmp_path, image, tiny_model):
    done("segment", image, "-o", tmp_path / "m.nrrd", "--model", tiny_model, "--roi", "2:12,5:20,3:17")
    done("segment", image, "-o", tmp_path / "whole.nrrd", "--model", tiny_model)
    mask, whole = voxels(tmp_path / "m.nrrd"), voxels(tmp_path / "whole.nrrd")
    assert place(read(tmp_path / "m.nrrd")) == place(read(tmp_path / "whole.nrrd"))
    inside = np.zeros(mask.shape, bool)
    inside[3:17, 5:20, 2:12] = True
    assert mask[inside].any() and whole[~inside].any() and not mask[~inside].any()


def test_mirroring_and_overlap_change_what_is_computed(done, tmp_path, image, tiny_model):
    def maps(name, *more):
        done(
            "segment",
            image,
            "-o",
            tmp_path / "m.nrrd",
            "--model",
            tiny_model,
            "--probabilities",
            tmp_path / name,
            *more,
        )
        return voxels(tmp_path / name)

    plain = maps("p.nrrd")
    assert np.array_equal(plain, maps("again.nrrd"))
    assert np.abs(plain - maps("tta.nrrd", "--tta")).max() > 1e-3
    assert np.abs(plain - maps("o.nrrd", "--overlap", "0")).max() > 1e-3


def test_progress_as_json_rises_to_one_on_standard_error(command, tmp_path, image, tiny_model):
    arguments = ["segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--progress", "json", "--json"]
    outcome = command(*arguments)
    assert outcome.status == 0 and json.loads(outcome.out)["model"] == "tiny"
    events = [json.loads(line) for line in outcome.err.splitlines()]
    fractions = [event["fraction"] for event in events]
    assert {event["event"] for event in events} == {"progress"}
    assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions) and len(fractions) > 5
    assert all(event["message"] for event in events)
    assert events[0]["eta_s"] is None and events[-1]["eta_s"] == 0


def test_a_bar_goes_to_standard_error_and_ends_its_line(command, tmp_path, image, tiny_model):
    outcome = command("segment", image, "-o", tmp_path / "m.nrrd", "--model", tiny_model, "--progress", "bar")
    assert outcome.status == 0 and "100%" in outcome.err and outcome.err.endswith("\n")
    assert "%" not in outcome.out


def test_an_image_smaller_than_the_patch_is_padded_silently(done, tmp_path, make_volume, tiny_model):
    small = make_volume((5, 9, 3))
    sitk.WriteImage(small, str(tmp_path / "small.nrrd"))
    done("segment", tmp_path / "small.nrrd", "-o", tmp_path / "mask.nrrd", "--model", tiny_model)
    assert place(read(tmp_path / "mask.nrrd")) == place(read(tmp_path / "small.nrrd"))


def test_channels_are_taken_in_the_order_given(done, tmp_path, four_images, tiny_regions):
    done("segment", *four_images, "-o", tmp_path / "a.nrrd", "--model", tiny_regions)
    done("segment", *reversed(four_images), "-o", tmp_path / "b.nrrd", "--model", tiny_regions)
    assert not np.array_equal(voxels(tmp_path / "a.nrrd"), voxels(tmp_path / "b.nrrd"))


def test_a_channel_on_another_grid_is_resampled_with_a_warning(command, tmp_path, four_images, tiny_regions):
    moved = sitk.Resample(read(four_images[2]), (30, 30, 30), sitk.Transform(), sitk.sitkLinear, (-13, 29, -42))
    sitk.WriteImage(moved, str(four_images[2]))
    outcome = command("segment", *four_images, "-o", tmp_path / "mask.nrrd", "--model", tiny_regions)
    assert outcome.status == 0 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("segmamba: warning: ") and str(four_images[2]) in outcome.err
    # The header of NRRD keeps spacing times direction, which costs the last bit of either.
    for found, wanted in zip(place(read(tmp_path / "mask.nrrd")), place(read(four_images[0])), strict=True):
        assert np.allclose(found, wanted, rtol=1e-14)


def test_a_warning_is_said_once_where_a_preview_is_asked_for(command, tmp_path, volume, tiny_model):
    volume.SetDirection((1, 0, 0, 0, 1, 0, 0.002, 0, 1))  # sheared by a tenth of a degree
    sitk.WriteImage(volume, str(tmp_path / "image.nrrd"))
    files = ["-o", tmp_path / "mask.nrrd", "--preview", tmp_path / "p.png"]
    outcome = command("segment", tmp_path / "image.nrrd", "--model", tiny_model, *files)
    assert outcome.status == 0 and outcome.err.count("perpendicular") == 1 and outcome.err.count("\n") == 1


def test_an_existing_mask_is_replaced_whole(done, tmp_path, image, tiny_model, reference):
    (tmp_path / "mask.nrrd").write_text("an older result")
    done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model)
    assert np.array_equal(voxels(tmp_path / "mask.nrrd"), voxels(reference.labels))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.nii.gz", "mask.nrrd"]


def test_a_model_is_found_by_name_folder_and_zip(done, tmp_path, image, tiny_model, reference):
    done("models", "install", tiny_model)
    done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", "tiny")
    assert np.array_equal(voxels(tmp_path / "mask.nrrd"), voxels(reference.labels))


def test_two_series_of_one_folder_are_two_channels(done, refused, tmp_path, make_volume, make_model):
    model = make_model(tmp_path / "two", ("T1", "T2"), (Label(1, "blob", (255, 0, 0)),))
    volumes = [make_volume((18, 20, 16), seed=n) for n in range(2)]
    uids = ["1.2.826.0.1.3680043.2.7", "1.2.826.0.1.3680043.2.8"]
    for picture, uid in zip(volumes, uids, strict=True):
        write_dicom(picture, tmp_path / "study", uid)
    study, file = tmp_path / "study", tmp_path / "t2.nrrd"
    sitk.WriteImage(volumes[1], str(file))
    files = ["--model", model, "-o"]
    chosen = ["--series", uids[0], "--series", uids[1]]
    done("segment", study, study, *chosen, *files, tmp_path / "both.nrrd")
    done("segment", study, file, "--series", uids[0], *files, tmp_path / "one.nrrd")
    wanted = voxels(segmamba.Segmenter(model)(volumes).labels)
    assert wanted.any()
    assert np.array_equal(voxels(tmp_path / "both.nrrd"), wanted)
    assert np.array_equal(voxels(tmp_path / "one.nrrd"), wanted)
    python = segmamba.Segmenter(model)([study, file], series=uids[0])
    assert np.array_equal(voxels(python.labels), wanted)
    refused(["segment", study, study, *chosen[:2], *files, tmp_path / "m.nrrd"], "--series", "2 of the images")


def test_nothing_is_written_where_a_picture_cannot_be_drawn(tmp_path, image, tiny_model, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("no picture")

    monkeypatch.setattr("segmamba.inference.preview._draw", fails)
    arguments = ["segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--preview", tmp_path / "p.png"]
    with pytest.raises(RuntimeError, match="no picture"):
        main([str(argument) for argument in arguments])
    assert [path.name for path in tmp_path.iterdir()] == ["image.nii.gz"]


def test_the_image_of_a_preview_is_read_once(done, tmp_path, image, tiny_model, monkeypatch):
    seen = []
    read_placed = images.read_placed
    monkeypatch.setattr(images, "read_placed", lambda *a, **k: seen.append(a[0]) or read_placed(*a, **k))
    monkeypatch.setattr(images, "read_image", lambda *a, **k: seen.append(a[0]) or read_placed(*a, **k)[0])
    done("segment", image, "-o", tmp_path / "mask.nrrd", "--model", tiny_model, "--preview", tmp_path / "p.png")
    assert len(seen) == 1
