"""Stand-in of the module SampleData, as far as registering data sets goes; `press` clicks on one."""

from __future__ import annotations

from typing import Any

import slicer


class SampleDataSource:
    """One data set: its name, its files, and the function that its button calls."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFileProperties: Any = None,
    ):
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        # As in Slicer, uris is a must, be it "" for data that a function makes.
        if isinstance(uris, str):
            parts = [[part] for part in (uris, fileNames, nodeNames, loadFiles, loadFileTypes, checksums)]
        elif uris is not None:
            fill = [None] * len(uris)
            parts = [uris, fileNames, nodeNames or fill, loadFiles or fill, loadFileTypes or fill, checksums or fill]
        else:
            raise TypeError("uris must be a text or a list")
        if len({len(part) for part in parts}) != 1:
            raise ValueError("All fields of sample data source must have the same length")
        self.uris, self.fileNames, self.nodeNames, self.loadFiles, self.loadFileTypes, self.checksums = parts

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)


class SampleDataLogic:
    """Keeps the data sets by category in slicer.modules.sampleDataSources."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **options: Any) -> None:
        kept = slicer.modules.sampleDataSources.setdefault(category, [])
        source = SampleDataSource(**options)
        if source not in kept:
            kept.append(source)


def press(category: str, name: str) -> Any:
    """Not in Slicer: what a click on the data set's button does; works with the real module, too."""
    for source in slicer.modules.sampleDataSources[category]:
        if source.sampleName == name:
            return source.customDownloader(source)
    raise KeyError(name)
