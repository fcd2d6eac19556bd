import json

from relay.health import METRICS, Numbers, health, metrics

NUMBERS = Numbers("ok", "r1", "0.1", 2, 3, 1, 100, 4, 50, 12345, 6, 7, 8, 3.0)


def test_health_page() -> None:
    page = json.loads(health(NUMBERS))
    assert (page["status"], page["relay"], page["devices"], page["circuits"]) == ("ok", "r1", 2, 3)


def test_every_number_is_on_the_metrics_page() -> None:
    text = metrics(NUMBERS).decode()
    for name, help_text, kind, field in METRICS:
        shown = f"{name}_total" if kind == "counter" else name
        assert f"{shown} {float(getattr(NUMBERS, field))}" in text
        assert help_text in text


def test_no_ids_in_metrics() -> None:
    assert "r1" not in metrics(NUMBERS).decode()
