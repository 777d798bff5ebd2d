"""How long each part of the starter model trains."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .course import Course


@dataclass(frozen=True, slots=True)
class Recipe:
    """All choices of one training; the seed makes it repeatable on one class of machine."""

    pictures: int = 30_000
    autoencoder: Course = field(
        default=Course(
            "autoencoder",
            steps=1600,
            batch=24,
            rate=2e-3,
            warm_steps=50,
            weight_decay=1e-4,
            average_decay=0.998,
        )
    )
    reading: Course = field(
        default=Course("text encoder", steps=400, batch=128, rate=2e-3, warm_steps=50, average_decay=0.98)
    )
    denoiser: Course = field(default=Course("denoiser", steps=7_600, batch=32, rate=1e-3))
    preview: Course = field(
        default=Course("preview decoder", steps=1000, batch=16, rate=3e-3, warm_steps=50, average_decay=0.995)
    )
    control: Course = field(default=Course("control", steps=800, batch=32, rate=1e-3, average_decay=0.998))
    controls: int = 12_000
    captioner: Course = field(
        default=Course(
            "captioner", steps=2000, batch=96, rate=1e-3, warm_steps=150, weight_decay=0.05, average_decay=0.998
        )
    )
    workers: int = 2
    seed: int = 20261121

    @classmethod
    def quick(cls) -> Recipe:
        """Return a recipe that only shows that every part runs."""
        usual = cls()

        def short(course: Course) -> Course:
            return replace(course, steps=2, batch=2, workers=1, meet_every_steps=1, save_every_steps=1)

        return cls(
            pictures=8,
            autoencoder=short(usual.autoencoder),
            reading=short(usual.reading),
            denoiser=short(usual.denoiser),
            preview=short(usual.preview),
            control=short(usual.control),
            controls=8,
            captioner=short(usual.captioner),
            workers=1,
        )
