"""Several processes behind one port: one answer, and nothing of any of them lost."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from recorder_service.metrics.merging import merge_expositions
from recorder_service.metrics.node import Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def exposition(amount: float) -> str:
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["kind"], registry=registry).labels('a "b", {c}').inc(amount)
    Gauge("live", "Live.", registry=registry).set(amount)
    Histogram("took_seconds", "Took.", buckets=(1, 2), registry=registry).observe(amount)
    return generate_latest(registry).decode()


def samples(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def without_worker(told: Samples, worker: str) -> Samples:
    return {
        (name, tuple(pair for pair in labels if pair[0] != "worker")): value
        for (name, labels), value in told.items()
        if ("worker", worker) in labels
    }


def test_each_process_keeps_its_own_samples() -> None:
    """Taken apart again, the answer gives what each process said."""
    merged = samples(merge_expositions({"0": exposition(1), "1": exposition(1.5)}))
    assert without_worker(merged, "0") == samples(exposition(1))
    assert without_worker(merged, "1") == samples(exposition(1.5))
    assert len(merged) == 2 * len(samples(exposition(1)))


def test_each_family_is_described_once() -> None:
    """As the format demands; all of a family's samples follow its description."""
    lines = merge_expositions({"0": exposition(1), "1": exposition(2)}).splitlines()
    heads = [line for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)) == len({line.split()[2] for line in heads})


def test_the_services_own_metrics_can_be_merged() -> None:
    """All of them, with their labels and buckets."""
    one = generate_latest(Metrics().registry).decode()
    merged = samples(merge_expositions({"a": one, "b": one}))
    assert without_worker(merged, "b") == samples(one)
