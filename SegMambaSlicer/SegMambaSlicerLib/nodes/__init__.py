"""Between Slicer's nodes (MRML) and arrays: what goes to the worker, and what comes back into the scene.

- ``geometry``: where a volume's voxels lie, parent transforms included.
- ``inputs``, ``picking``: checks of the chosen volumes, and which volume is which channel.
- ``exchange``: volumes as files for the worker, and its results as arrays.
- ``segmentation``: a result as a segmentation node; ``edited``, ``looks``, ``snapshot`` and ``undo`` protect what the
  user did.
- ``volumes``, ``tables``: probabilities, uncertainty and volumes of segments.
- ``hierarchy``, ``cases``, ``sequences``: places in the subject hierarchy, and cases of a folder or a sequence.
- ``roi``: a markups ROI as voxels.
- ``provenance``, ``dicom``: what is kept on the node about how it was made, and what DICOM SEG needs.
"""
