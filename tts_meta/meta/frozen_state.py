"""`FrozenState`: copies of a model's buffers and of the parameters that a learner neither adapts nor meta-learns."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from tts_meta.meta.parameter_layout import Params


class FrozenState(nn.Module):
    """Copies of a model's fixed values. The model is called with these copies, so its own values never change.

    Each call gets a copy of every buffer, which is then discarded. In training mode, BatchNorm and InstanceNorm use the
    statistics of the batch, and their running statistics are not updated. The likelihood is therefore a function of
    parameters and data alone, and the order of tasks does not matter. The copies are buffers of this module. The
    copies move to another device with this module and are part of its state dict.
    """

    def __init__(self, model: nn.Module, trained: Collection[str]) -> None:
        """Copy the fixed values of a model. trained: names of the parameters that are not fixed."""
        super().__init__()
        in_state_dict = model.state_dict().keys()
        self._keys: dict[str, str] = {}
        fixed = {name: value for name, value in model.named_parameters() if name not in trained}
        for name, value in (fixed | dict(model.named_buffers())).items():
            # A buffer's name must not be that of an attribute of this module, and must not contain a dot.
            key = "model/" + name.replace(".", "/")
            self.register_buffer(key, value.detach().clone(), persistent=name in in_state_dict)
            self._keys[name] = key
        self._parameter_names = tuple(fixed)

    def parameters_by_name(self) -> Params:
        """Return the fixed parameters by their names in the model."""
        return {name: self._value(name) for name in self._parameter_names}

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Copy the values of the fixed parameters and of the buffers that are in `values`, by name."""
        for name in self._keys:
            if name in values:
                self._value(name).copy_(values[name])

    def buffers_by_name(self, tasks: int | None = None) -> Params:
        """Return copies of the buffers by their names in the model, with a leading axis T if `tasks` is T."""
        return {name: copy_buffer(self._value(name), tasks) for name in self._keys if name not in self._parameter_names}

    def _value(self, name: str) -> Tensor:
        value = self._buffers[self._keys[name]]
        assert value is not None
        return value


def copy_buffer(buffer: Tensor, tasks: int | None = None) -> Tensor:
    """Return a copy that a call may change in place; `(T, ...)` if T `tasks` run in parallel."""
    return buffer.clone() if tasks is None else buffer.expand(tasks, *buffer.shape).clone()
