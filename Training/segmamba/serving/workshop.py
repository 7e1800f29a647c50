"""The worker's jobs themselves: getting ready, and segmenting a case with the model that is in memory.

This is the part that needs torch; the process answers its first lines before it is imported.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

from segmamba.inference.course import DONE, Course
from segmamba.inference.devices import available_devices, device_title, resolve_device, windows_at_once
from segmamba.inference.memory_ladder import memory_full, sentence
from segmamba.native.memory import release
from segmamba.scan import chosen_backend
from segmamba.serving.exchange import check_files, read_volume, write_results
from segmamba.serving.model_cache import ModelCache
from segmamba.serving.pace import Pace
from segmamba.serving.protocol import LOADING, WRITING, Segment, Segmented, Volume, Warm, Warmed

# The part of a job's progress that is not writing, and the pause between two events of one phase.
_SEGMENTED = 0.99
_PAUSE = 0.1

Tell = Callable[[float, "float | None", str], None]


class Workshop:
    """Does one job at a time."""

    def __init__(self) -> None:
        self._cache = ModelCache()
        self._pace = Pace()
        self._threads = torch.get_num_threads()

    def warm(self, request: Warm, check: Callable[[], None]) -> Warmed:
        """Gets ready; ``check`` is called between the steps and may raise.

        Raises:
            UserError: There is no such model, device or precision; OutOfMemory.
        """
        with self._memory(request):
            chosen_backend(resolve_device(request.device))
            check()
            known = None
            if request.model is not None:
                known = self._cache.get(request.model, request.device, request.precision)[1]
        return Warmed(known, [{"name": name, "title": device_title(name)} for name in available_devices()])

    def segment(self, request: Segment, check: Callable[[], None], tell: Tell) -> Segmented:
        """Segments a case and writes the files.

        Args:
            request: The job.
            check: Called between phases and between windows; may raise, and nothing is written then.
            tell: Called with the fraction done, the seconds left or None, and the phase.

        Raises:
            UserError: Something of the request is wrong; OutOfMemory where nothing fits.
        """
        with self._memory(request):  # the segmenter tells by itself; this is for reading and writing
            return self._segment(request, check, tell)

    def free(self) -> None:
        """Gives the model's memory back, and what is kept for results."""
        self._cache.free()
        release()

    @contextlib.contextmanager
    def _memory(self, request: Segment | Warm) -> Iterator[None]:
        """Turns full memory into a sentence."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not memory_full(error):
                raise
            raise sentence(error, resolve_device(request.device), request.model or "none") from error

    def _segment(self, request: Segment, check: Callable[[], None], tell: Tell) -> Segmented:
        began = time.perf_counter()
        torch.set_num_threads(request.threads or self._threads)
        check_files(request.output, request.images)
        key, here = self._cache.find(request.model, request.device, request.precision)
        if not here:
            tell(0.0, None, LOADING)
        segmenter, model = self._cache.get(request.model, request.device, request.precision)
        segmenter.tta, segmenter.overlap = request.tta, request.overlap
        segmenter.window_batch = request.window_batch or windows_at_once(segmenter.device)
        check()

        course = Course()
        settings = (key[:2], model["sha256"], segmenter.precision, request.tta, segmenter.window_batch, request.threads)
        estimate = self._pace.start(settings, course)
        told: dict[str, float] = {}  # phases, and when they were told of last

        def progress(fraction: float, message: str) -> None:
            check()
            left = estimate.seconds_left()
            now = time.monotonic()
            if course.phase != DONE and (course.phase not in told or now - max(told.values()) >= _PAUSE):
                told[course.phase] = now
                tell(_SEGMENTED * fraction, left, course.phase.capitalize())

        images = [read_volume(image) if isinstance(image, Volume) else image for image in request.images]
        result = segmenter(
            images,
            roi=request.roi,
            progress=progress,
            probabilities=request.output.probabilities is not None,
            uncertainty=request.output.uncertainty is not None,
            course=course,
        )
        del images
        if result.device == str(segmenter.device) and result.window_batch == segmenter.window_batch:
            self._pace.learn(settings, estimate)
        tell(_SEGMENTED, None, WRITING)
        written = write_results(result, request.output, check)
        return Segmented(
            **written,
            names={str(value): name for value, name in result.names.items()},
            voxels=result.voxels,
            volumes_ml=result.volumes_ml,
            seconds=time.perf_counter() - began,
            compute_seconds=result.compute_seconds,
            windows=result.windows,
            window_seconds=result.compute_seconds / result.windows if result.windows else None,
            backend=result.backend,
            device=result.device,
            device_title=device_title(result.device),
            precision=result.precision,
            window_batch=result.window_batch,
            overlap=request.overlap,
            tta=request.tta,
            warnings=result.warnings,
            model=model,
            loaded=not here,
        )
