"""Which volume is which channel."""

import numpy as np
import pytest
from mrml_places import SHAPE
from SegMambaSlicerLib.nodes import dicom, picking

from segmamba.metadata import Channel

BRATS = tuple(Channel(name, "MR") for name in ("T1", "T1Gd", "T2", "FLAIR"))
SEGMAMBA = tuple(Channel(name, "MR") for name in ("t2w", "t2f", "t1n", "t1c"))


@pytest.mark.parametrize(
    ("kind", "names"),
    {
        "t1": ["t1", "T1w", "BraTS-GLI-00001-000-t1n", "t1_mpr_sag_p2_iso", "T1 pre", "sT1W_3D_TFE", "T1 native",
               "MPRAGE", "3: Ax T1 FSPGR"],
        "t1c": ["t1c", "T1Gd", "t1ce", "T1post", "t1_mpr_KM", "Ax T1 post", "T1-weighted post-contrast", "T1+C",
                "case_t1gd", "3D_T1c_MPRAGE", "T1 GD"],
        "t2": ["t2", "T2w", "BraTS-GLI-00001-000-t2w", "t2_tse_tra", "e1 T2W_TSE", "T2-weighted"],
        "flair": ["FLAIR", "t2f", "BraTS-GLI-00001-000-t2f", "T2-FLAIR", "t2_flair_tra", "t2_tirm_tra_dark-fluid",
                  "Ax FLAIR post", "T1_FLAIR"],
        "ct": ["CT", "CT chest +C", "abdomen_ct"],
        "pet": ["PET", "FDG suv"],
        "other": ["T2star", "T2*", "ep2d_dwi_b1000", "ADC", "swi"],
        None: ["MRHead", "posterior", "volume", "", "T1 to T2", "contrast", "compact"],
    }.items(),
)  # fmt: skip
def test_names_speak_of_what_people_mean_by_them(slicer_core, kind, names):
    assert {name: picking.kind_of(name) for name in names} == dict.fromkeys(names, kind)


@pytest.fixture
def add(make_volume):
    return lambda name, **options: make_volume(np.zeros(SHAPE, np.int16), name=name, **options)


def names(picked) -> list:
    return [node and node.GetName() for node in picked]


def test_channels_are_found_in_any_order_of_nodes(add):
    nodes = [add(f"BraTS-GLI-00001-000-{kind}") for kind in ("t2f", "t1c", "t2w", "t1n")]
    assert [n[-3:] for n in names(picking.pick_inputs(nodes, BRATS))] == ["t1n", "t1c", "t2w", "t2f"]
    assert [n[-3:] for n in names(picking.pick_inputs(nodes, SEGMAMBA))] == ["t2w", "t2f", "t1n", "t1c"]


def test_no_volume_is_taken_twice_and_none_is_guessed(add):
    nodes = [add("T1"), add("FLAIR"), add("MRHead")]
    assert names(picking.pick_inputs(nodes, BRATS)) == ["T1", None, None, "FLAIR"]
    assert names(picking.pick_inputs([], BRATS)) == [None] * 4


def test_cases_are_not_mixed(add):
    nodes = [add(f"{case}-{kind}") for case, kinds in (("A01", ("t1n", "t1c")), ("B02", ("t1n", "t1c", "t2w", "t2f")))
             for kind in kinds]  # fmt: skip
    assert all(name.startswith("B02") for name in names(picking.pick_inputs(nodes, BRATS)))


def test_studies_are_not_mixed(scene, add):
    import slicer

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    first, second = (tree.CreateStudyItem(tree.GetSceneItemID(), name) for name in ("2020", "2021"))
    nodes = []
    for study, kinds in ((first, ("T1", "T2")), (second, ("t1 km", "t2 tse", "flair", "t1"))):
        for kind in kinds:
            nodes.append(add(kind))
            tree.SetItemParent(tree.GetItemByDataNode(nodes[-1]), study)
    assert names(picking.pick_inputs(nodes, BRATS)) == ["t1", "t1 km", "t2 tse", "flair"]


def test_volumes_with_nothing_in_common_but_no_study_still_make_a_case(add):
    nodes = [add("4: ax t2 tse"), add("7: sag mprage"), add("9: mprage km"), add("5: cor flair")]
    expected = ["7: sag mprage", "9: mprage km", "4: ax t2 tse", "5: cor flair"]
    assert names(picking.pick_inputs(nodes, BRATS)) == expected


def test_numbered_files_are_the_channels_in_order(add):
    nodes = [add(f"case7_000{n}") for n in (2, 0, 3, 1)]
    assert names(picking.pick_inputs(nodes, BRATS)) == [f"case7_000{n}" for n in range(4)]


def test_a_model_of_one_channel_prefers_its_kind_and_else_takes_the_first(add):
    one = (Channel("T1", "MR"),)
    assert names(picking.pick_inputs([add("FLAIR"), add("T1w")], one)) == ["T1w"]
    assert names(picking.pick_inputs([add("hippocampus_007"), add("other")], one)) == ["hippocampus_007"]


def test_label_maps_colour_volumes_empty_ones_and_our_results_are_passed_over(scene, add, make_volume, metadata):
    from SegMambaSlicerLib.nodes import volumes

    reference = add("reference")
    nodes = [
        add("T1 mask", node_class="vtkMRMLLabelMapVolumeNode"),
        make_volume(np.zeros((*SHAPE, 3), np.uint8), name="T1 colour", node_class="vtkMRMLVectorVolumeNode"),
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1 empty"),
        volumes.place_uncertainty(np.zeros(SHAPE, np.float32), metadata, reference),
        scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "T1 segments"),
    ]
    assert picking.pick_inputs(nodes, metadata.channels) == [None]
    assert picking.pick_inputs([*nodes, reference], metadata.channels) == [reference]


def test_dicom_says_what_the_name_does_not(scene, add, monkeypatch):
    import slicer

    values = {("a", "0008,103e"): "t1_mpr_sag", ("a", "0018,0010"): "Dotarem", ("b", "0008,103e"): "t1_mpr_sag",
              ("c", "0008,103e"): "t2_tirm"}  # fmt: skip
    monkeypatch.setattr(dicom, "value", lambda volume, tag: values.get((volume.GetName(), tag), ""))
    nodes = [add("a"), add("b"), add("c"), add("d")]
    assert [picking.kind_of_volume(node) for node in nodes] == ["t1c", "t1", "flair", None]
    # On the item, where Slicer's DICOM module puts it, before what stands on the node.
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    tree.SetItemAttribute(tree.GetItemByDataNode(nodes[3]), "DICOM.SeriesDescription", "T2 TSE")
    nodes[3].SetAttribute("DICOM.SeriesDescription", "T1 of another time")
    assert names(picking.pick_inputs(nodes, BRATS)) == ["b", "a", "d", "c"]
