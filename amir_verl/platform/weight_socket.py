"""A socket of its own for the weights of each run; the one patch of verl that is made everywhere.

verl 0.9.1 sends the weights to vLLM through a socket in /tmp that is named after Ray's job
(workers/rollout/vllm_rollout/vllm_rollout.py:141 and utils.py:431), and the first job of every Ray has the
same name. Two runs on one host, each with a Ray of its own, load each other's weights. So the name gets the
process id of the raylet, which both ends find in the environment that Ray gives its workers.

Nothing but that name changes, with AMIR and without: the same bytes go through it in the same order.
tests/platform/test_weight_socket.py fails when verl no longer needs it.
"""

import os
from functools import wraps
from typing import Any

import wrapt
from packaging.specifiers import SpecifierSet

# Another version names its socket in another place, or by itself in another way.
VERL = SpecifierSet("==0.9.1.*", prereleases=True)


def name_after_raylet(verl_version: str) -> None:
    """Arrange for the patch of both ends to be made when verl's modules are imported, or now if they are."""
    if verl_version in VERL:
        wrapt.register_post_import_hook(_name_sender, "verl.workers.rollout.vllm_rollout.vllm_rollout")
        wrapt.register_post_import_hook(_name_receiver, "verl.workers.rollout.vllm_rollout.utils")


def _of_this_ray(handle: str) -> str:
    return handle.replace("-replica-", f"-raylet-{os.environ.get('RAY_RAYLET_PID', 0)}-replica-")


def _name_sender(vllm_rollout: Any) -> None:
    adapter = vllm_rollout.ServerAdapter
    initialize = adapter.__init__

    @wraps(initialize)
    def initialize_with_own_socket(self: Any, *args: Any, **kwargs: Any) -> None:
        initialize(self, *args, **kwargs)
        self.zmq_handle = _of_this_ray(self.zmq_handle)

    adapter.__init__ = initialize_with_own_socket


def _name_receiver(utils: Any) -> None:
    extension = utils.vLLMColocateWorkerExtension
    handle = extension._get_zmq_handle

    @wraps(handle)
    def own_handle(self: Any) -> str:
        return _of_this_ray(handle(self))

    extension._get_zmq_handle = own_handle
