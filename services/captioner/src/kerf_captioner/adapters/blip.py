"""A BLIP model in memory, captioning through plain transformers (Li et al., 2022)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessorPil, LogitsProcessor

from kerf_captioner.adapters.folder import BlipFolder, find_model
from kerf_captioner.domain.engine import CaptionOrder, Description, ModelFacts
from kerf_core.compute import held
from kerf_core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from kerf_models.devices import Compute
from kerf_models.files import LOAD_ERRORS, check_headers, check_whole, hash_files, not_loaded

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow")
"""The libraries that decide what a caption says; their versions are part of the numeric class."""


@dataclass(frozen=True)
class LoadedBlip:
    """The parts of a folder, in memory."""

    folder: BlipFolder
    sha256: str
    network: Any
    """`BlipForConditionalGeneration`, in evaluation mode, on the compute's device."""
    tokenizer: Any
    image_processor: Any


def load_blip(source: str, compute: Compute, *, local_files_only: bool, advance: Callable[[], None]) -> LoadedBlip:
    """Load a folder or repository whole or not at all; `advance` is called now and then, and may raise to stop.

    Every weight must be there with the right shape: the library alone would fill a gap with random numbers.
    Raises FailedPrecondition as `find_model` does, ResourceExhausted OUT_OF_MEMORY, Unavailable.
    """
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    folder = find_model(source, local_files_only=local_files_only)
    check_headers(folder.path, folder.weight_files)
    sha256 = hash_files(folder.path, folder.weight_files, advance)
    try:
        network = _load_network(folder, compute).to(compute.device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceExhausted(
            "OUT_OF_MEMORY", f"model folder {folder.path} does not fit into the memory of {compute.device}"
        ) from error
    advance()
    # The Pillow one by name: with torchvision installed the library would choose another, and other texts might result.
    processor = _load_small(folder, BlipImageProcessorPil, "image processor")
    return LoadedBlip(folder, sha256, network, _load_small(folder, BertTokenizer, "tokenizer"), processor)


class BlipModel:
    """One loaded model. Pictures are captioned one at a time, each alone in its batch, whoever asks."""

    def __init__(self, loaded: LoadedBlip, facts: ModelFacts, compute: Compute) -> None:
        self.facts = facts
        self._loaded = loaded
        self._compute = compute
        self._lock = threading.Lock()

    def describe(self, rgb: NDArray[np.uint8], order: CaptionOrder, check: Callable[[], None]) -> Description:
        """See `CaptionModel`. The prompt stands in the text as it was given; the model's words follow it."""
        started = self._start_tokens(order)
        with held(self._lock, check):
            check()
            self._compute.enter()
            began = time.monotonic()
            try:
                new = self._generate(rgb, started, order, check)
            except torch.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                raise ResourceExhausted(
                    "OUT_OF_MEMORY",
                    f"a search with {order.beams} beams does not fit into the memory of {self._compute.device} beside"
                    f" model {self.facts.name}; ask for fewer beams",
                ) from error
            seconds = time.monotonic() - began
        said = str(self._loaded.tokenizer.decode(new, skip_special_tokens=True)).strip()
        return Description(" ".join(part for part in (order.prompt, said) if part), seconds)

    def _start_tokens(self, order: CaptionOrder) -> list[int]:
        """The decoder's first token and the prompt. Raises InvalidArgument if no room is left for what was asked."""
        prompt = self._loaded.tokenizer(order.prompt, add_special_tokens=False).input_ids if order.prompt else []
        room = self._loaded.folder.max_positions - 1 - len(prompt)
        if room < max(1, order.min_tokens):
            raise InvalidArgument.of_field(
                "options.prompt",
                f"has {len(prompt)} tokens, and model {self.facts.name} holds {self._loaded.folder.max_positions} with"
                " the caption; shorten it, or ask for fewer min_tokens",
                "PROMPT_TOO_LONG",
            )
        return [int(self._loaded.network.config.text_config.bos_token_id), *prompt]

    def _generate(
        self, rgb: NDArray[np.uint8], started: list[int], order: CaptionOrder, check: Callable[[], None]
    ) -> list[int]:
        network, folder = self._loaded.network, self._loaded.folder
        pixels = self._loaded.image_processor(rgb, return_tensors="pt", input_data_format="channels_last").pixel_values
        check()
        text = network.config.text_config
        # The network's own `generate` drops the last token, where its tokenizer puts an end mark.
        tokens = torch.tensor([[*started, text.sep_token_id]], device=self._compute.device)
        with torch.inference_mode():
            out = network.generate(
                pixel_values=pixels.to(self._compute.device, self._compute.dtype),
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=False,
                num_beams=order.beams,
                max_new_tokens=min(order.max_tokens, folder.max_positions - len(started)),
                min_new_tokens=order.min_tokens,
                repetition_penalty=order.repetition_penalty,
                logits_processor=[_Watch(check, self.facts.name)],
            )
        return [int(token) for token in out[0][len(started) :]]


class _Watch(LogitsProcessor):
    """Stands beside the search at every token: stops it when asked, and when the scores are no numbers."""

    def __init__(self, check: Callable[[], None], model: str) -> None:
        self._check = check
        self._model = model

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self._check()
        if bool(torch.isnan(scores).any()):
            raise FailedPrecondition(
                "CAPTION_NOT_FINITE",
                f"model {self._model} gave values that are no numbers; try the precision float32 or bfloat16",
            )
        return scores


def _load_network(folder: BlipFolder, compute: Compute) -> Any:
    kind: Any = BlipForConditionalGeneration  # its annotations do not tell what output_loading_info changes
    try:
        network, report = kind.from_pretrained(
            folder.path, dtype=compute.dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except torch.OutOfMemoryError:
        raise
    except LOAD_ERRORS as error:
        raise not_loaded(folder.path, "the network", error) from error
    check_whole(folder.path, "the network", report)
    return network.eval()


def _load_small(folder: BlipFolder, kind: Any, what: str) -> Any:
    try:
        return kind.from_pretrained(folder.path, local_files_only=True)
    except LOAD_ERRORS as error:
        raise not_loaded(folder.path, f"the {what}", error) from error
