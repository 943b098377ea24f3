"""The counts of enqueuers, as Prometheus reads them."""

from __future__ import annotations

import gc
import sys
import urllib.request

import pytest

from seqloader import OrderedEnqueuer
from seqloader.adapters.prometheus import COUNTED, GAUGED, PrometheusCollector
from seqloader.stats import Stats

client = pytest.importorskip("prometheus_client", reason="what is collected is given to it")


@pytest.fixture
def enqueuer():
    with OrderedEnqueuer([1, 2, 3], workers=2, executor="thread") as made:
        yield made


def scraped(collector):
    registry = client.CollectorRegistry()
    registry.register(collector)
    return registry


def test_what_was_delivered_is_told_under_the_name_given(enqueuer):
    registry = scraped(PrometheusCollector(train=enqueuer))
    label = {"enqueuer": "train"}

    assert registry.get_sample_value("seqloader_batches_delivered_total", label) == 0.0
    list(enqueuer)

    assert registry.get_sample_value("seqloader_batches_delivered_total", label) == 3.0
    assert registry.get_sample_value("seqloader_waited_seconds_total", label) >= 0.0
    assert registry.get_sample_value("seqloader_workers", label) == 2.0
    busy = registry.get_sample_value("seqloader_worker_busy_seconds_total", {**label, "slot": "0"})
    assert busy is None or busy > 0.0


def test_everything_that_stats_count_over_all_is_told():
    alone = {"busy_s", "slowest", "number", "epoch", "idle_s"}  # told otherwise, or of an epoch

    assert COUNTED.keys() | GAUGED.keys() | alone == set(Stats.__dataclass_fields__)


def test_several_enqueuers_are_told_apart(enqueuer):
    other = OrderedEnqueuer([4, 5], workers=0)
    list(other)
    registry = scraped(PrometheusCollector(train=enqueuer, val=other))

    values = [
        registry.get_sample_value("seqloader_batches_delivered_total", {"enqueuer": name})
        for name in ("train", "val")
    ]
    assert values == [0.0, 2.0]


def test_an_enqueuer_that_was_dropped_is_told_no_more():
    gone = OrderedEnqueuer([1], workers=0)
    registry = scraped(PrometheusCollector(train=gone))
    label = {"enqueuer": "train"}
    assert registry.get_sample_value("seqloader_workers", label) == 0.0

    del gone
    gc.collect()

    assert registry.get_sample_value("seqloader_workers", label) is None


def test_nothing_listens_unless_asked_and_then_on_the_loopback(enqueuer):
    list(enqueuer)

    with PrometheusCollector(train=enqueuer).serve() as server:
        assert server._server.server_address[0] == "127.0.0.1"
        url = f"http://127.0.0.1:{server.port}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            text = answer.read().decode()

    assert 'seqloader_batches_delivered_total{enqueuer="train"} 3.0' in text


@pytest.mark.parametrize("wrong", [{}, {"train": [1, 2]}])
def test_what_is_no_named_enqueuer_is_refused(wrong):
    with pytest.raises(TypeError, match=r"[Ee]nqueuer"):
        PrometheusCollector(**wrong)


def test_without_prometheus_client_it_says_what_to_install(enqueuer, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(ImportError, match=r'pip install "seqloader\[prometheus\]"'):
        PrometheusCollector(train=enqueuer)
