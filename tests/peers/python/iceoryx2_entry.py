"""iceoryx2's Python package: slices of bytes, viewed without a copy, and events for consumers that sleep."""

from __future__ import annotations

import ctypes
from importlib.metadata import version

import iceoryx2 as iox2
import numpy as np

iox2.set_log_level(iox2.LogLevel.Error)

ABOUT = {
    "name": "iceoryx2 for Python",
    "version": version("iceoryx2"),
    "limit": False,
    "copies": False,
    "readers": 64,
    "setup": "slices of c_uint8, loan_slice_uninit, as_memory_view and np.frombuffer; Notifier and Listener.timed_wait",
    "jobs": [["polling", ["default"]], ["asleep", ["default"]], ["stream", ["default"]], ["python", ["default"]]],
}


class End:
    def __init__(self, place):
        self.node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        name = iox2.ServiceName.new(place.name)
        readers, nodes = place.readers, place.readers + 2
        self.frames = (
            self.node.service_builder(name)
            .publish_subscribe(iox2.Slice[ctypes.c_uint8])
            .enable_safe_overflow(True)
            .subscriber_max_buffer_size(2)
            .subscriber_max_borrowed_samples(1)
            .history_size(0)
            .max_publishers(1)
            .max_subscribers(readers)
            .max_nodes(nodes)
            .open_or_create()
        )
        self.bells = None
        if place.sleeps:
            events = self.node.service_builder(name).event()
            self.bells = events.max_notifiers(1).max_listeners(readers).max_nodes(nodes).open_or_create()
        self.shape = place.shape
        self.bytes = place.width * place.height * 3

    def view(self, payload):
        return np.frombuffer(payload.as_memory_view(), np.uint8).reshape(self.shape)


class Producer(End):
    def __init__(self, place):
        super().__init__(place)
        builder = self.frames.publisher_builder().initial_max_slice_len(self.bytes).max_loaned_samples(1)
        self.publisher = builder.create()
        self.notifier = self.bells.notifier_builder().create() if self.bells else None

    def publish(self, mark):
        sample = self.publisher.loan_slice_uninit(self.bytes)
        mark(self.view(sample.payload()))
        sample.assume_init().send()
        if self.notifier:
            self.notifier.notify()


class Consumer(End):
    def __init__(self, place):
        super().__init__(place)
        self.subscriber = self.frames.subscriber_builder().create()
        self.listener = self.bells.listener_builder().create() if self.bells else None

    def borrow(self):
        sample = self.subscriber.receive()
        array = self.view(sample.payload())
        del array
        sample.delete()
        return True

    def poll(self, look, _limit):
        sample = self.subscriber.receive()
        if sample is None:
            return None
        seen = look(self.view(sample.payload()))
        sample.delete()
        return seen

    def wait(self, look, limit):
        if not self.subscriber.has_samples():
            self.listener.timed_wait(iox2.Duration.from_micros(int(limit * 1e6)))
        return self.poll(look, limit)
