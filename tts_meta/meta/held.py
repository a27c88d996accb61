"""What a learner holds fixed of a model: its buffers, and the parameters that it neither adapts nor meta-learns."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from tts_meta.meta.parameters import Params


class Held(nn.Module):
    """Copies of a model's fixed values, with which it is called, so that the model given never changes.

    A call gets a copy of every buffer and throws it away: batch statistics of BatchNorm and InstanceNorm in training
    mode serve the call, and their running statistics are not updated. So the likelihood is a function of parameters and
    data alone, no task changes the next, and the order of tasks does not matter. The values are buffers of this module:
    they move with it, and its state dict holds them.
    """

    def __init__(self, model: nn.Module, changing: Collection[str]) -> None:
        """changing: names of the parameters that are not fixed."""
        super().__init__()
        in_state_dict = model.state_dict().keys()
        self._keys: dict[str, str] = {}
        fixed = {name: value for name, value in model.named_parameters() if name not in changing}
        for name, value in (fixed | dict(model.named_buffers())).items():
            # A module's buffers may not be called as its own attributes are, nor have a dot in their names.
            key = "model/" + name.replace(".", "/")
            self.register_buffer(key, value.detach().clone(), persistent=name in in_state_dict)
            self._keys[name] = key
        self._parameters_held = tuple(fixed)

    def parameters_by_name(self) -> Params:
        """The fixed parameters, by the model's own names."""
        return {name: self._buffer(name) for name in self._parameters_held}

    def buffers_by_name(self, tasks: int | None = None) -> Params:
        """Copies of the buffers, by the model's own names; with a leading axis where `tasks` run side by side."""
        return {name: copy_of(self._buffer(name), tasks) for name in self._keys if name not in self._parameters_held}

    def _buffer(self, name: str) -> Tensor:
        value = self._buffers[self._keys[name]]
        assert value is not None
        return value


def copy_of(buffer: Tensor, tasks: int | None = None) -> Tensor:
    """A copy that a call may change, `(T, ...)` where `tasks` T run side by side."""
    return buffer.clone() if tasks is None else buffer.expand(tasks, *buffer.shape).clone()
