"""Cases of a subject hierarchy folder."""

import numpy as np
import pytest
from mrml_places import SHAPE
from SegMambaSlicerLib.nodes.cases import cases_of_folder, volumes_of_folder


@pytest.fixture
def tree(scene):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


@pytest.fixture
def add(make_volume, tree):
    def make(parent, name, **options):
        node = make_volume(np.zeros(SHAPE, np.int16), name=name, **options)
        tree.SetItemParent(tree.GetItemByDataNode(node), parent)
        return node

    return make


@pytest.fixture
def cohort(tree, add):
    """Two patients with a study each, one more study without FLAIR, and a folder inside a study."""
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "Cohort")
    kinds = {"A": ("T1", "T1Gd", "T2", "FLAIR"), "B": ("flair", "t2 tse", "t1 km", "t1"), "C": ("T1", "T1Gd", "T2")}
    for patient, names in kinds.items():
        study = tree.CreateStudyItem(tree.CreateSubjectItem(folder, patient), "2020")
        inner = tree.CreateFolderItem(study, "series")
        for number, name in enumerate(names):
            add(study if number else inner, name)
        add(study, "mask", node_class="vtkMRMLLabelMapVolumeNode")
    return folder


def test_volumes_are_grouped_by_study(cohort):
    studies = volumes_of_folder(cohort)
    assert [(study.name, len(study.volumes)) for study in studies] == [
        ("A / 2020", 4),
        ("B / 2020", 4),
        ("C / 2020", 3),
    ]


def test_a_study_is_a_case_of_a_model_with_several_channels(cohort, brats):
    cases, incomplete = cases_of_folder(cohort, brats)
    assert [case.name for case in cases] == ["A / 2020", "B / 2020"]
    assert [node.GetName() for node in cases[1].nodes] == ["t1", "t1 km", "t2 tse", "flair"]
    assert incomplete == ["C / 2020"]


def test_of_a_model_with_one_channel_those_that_fit_are_cases(cohort, metadata):
    cases, incomplete = cases_of_folder(cohort, metadata)
    assert [case.name for case in cases] == ["A / 2020: T1", "B / 2020: t1", "C / 2020: T1"]
    assert incomplete == []


def test_without_studies_a_folder_is_one(tree, add, metadata):
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "Hippocampi")
    nodes = [add(folder, f"hippocampus_{n:03}") for n in range(3)]
    (study,) = volumes_of_folder(folder)
    assert (study.name, study.volumes) == ("Hippocampi", tuple(nodes))
    cases, _ = cases_of_folder(folder, metadata)
    assert [case.nodes for case in cases] == [(node,) for node in nodes]


def test_a_study_itself_or_a_volume_can_be_given(tree, cohort, brats):
    study = volumes_of_folder(cohort)[0]
    assert volumes_of_folder(study.item) == [study]
    (alone,) = volumes_of_folder(tree.GetItemByDataNode(study.volumes[1]))
    assert alone.volumes == study.volumes[1:2]


def test_an_empty_folder_has_no_cases(tree, brats):
    assert cases_of_folder(tree.CreateFolderItem(tree.GetSceneItemID(), "Empty"), brats) == ([], [])
