"""All decoders by name."""

from . import forms, frames, kimberlite, s2, synap

TARGETS = {target.name: target for target in (*s2.ALL, *kimberlite.ALL, *synap.ALL, *frames.ALL, *forms.ALL)}
