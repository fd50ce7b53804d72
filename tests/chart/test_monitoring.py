"""Alerts fire on what they are for, both kinds of monitors say the same, and every metric they name exists."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from everwarm_operator.telemetry import Telemetry
from everwarm_planner.decision import Reason
from everwarm_server.telemetry.metrics import BUCKETS, Metrics
from harness.chart import CHART, of_kind, render
from harness.shell import CommandFailed, run

Json = dict[str, Any]

ALERTS = {"prometheusRule": {"enabled": True}}
SERVICE = 'namespace_name="ns",service_name="digits",model_name="digits",pod_name="p1"'


@pytest.fixture
def groups(helm: str) -> Json:
    (rule,) = of_kind(render(helm, values={"monitoring": ALERTS}), "PrometheusRule")
    return rule["spec"]


def alerts(groups: Json) -> list[Json]:
    return [alert for group in groups["groups"] for alert in group["rules"]]


def exposed() -> set[str]:
    """The names of all samples that a new server and a new operator show."""
    telemetry = Telemetry()
    telemetry.decisions.labels(Reason.MISSING_DATA.value)
    metrics = Metrics(start_seconds=1_800_000_000.0)
    metrics.declare("digits", concurrency=1)
    server = metrics.exposition("")[0]
    text = server.decode() + generate_latest(telemetry.registry).decode()
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_alerts_ask_for_metrics_and_reasons_that_exist(groups: Json) -> None:
    texts = [alert["expr"] for alert in alerts(groups)]
    for text in texts:
        promql_parser.parse(text)
    asked = {name for text in texts for name in re.findall(r"everwarm_\w+", text)}
    reasons = {name for text in texts for name in re.findall(r'reason="(\w+)"', text)}
    # A counter by code shows its first sample with the first request.
    assert asked - {"everwarm_requests_total"} <= exposed()
    assert reasons <= {reason.value for reason in Reason}


def test_each_alert_has_a_severity_and_says_what_to_look_at(groups: Json) -> None:
    for alert in alerts(groups):
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "description"}


def test_labels_for_alerts_reach_all_of_them(helm: str) -> None:
    values = {"monitoring": {"prometheusRule": {"enabled": True, "alertLabels": {"team": "serving"}}}}
    (rule,) = of_kind(render(helm, values=values), "PrometheusRule")
    assert {alert["labels"]["team"] for alert in alerts(rule["spec"])} == {"serving"}


def test_the_objective_may_be_any_bucket_and_nothing_else() -> None:
    root = json.loads((CHART / "values.schema.json").read_text())
    slo = root["properties"]["monitoring"]["properties"]["prometheusRule"]["properties"]["slo"]
    assert slo["properties"]["seconds"]["enum"] == [bound for bound in BUCKETS if bound != float("inf")]


@pytest.mark.parametrize(("seconds", "bound"), [(0.5, '"0.5"'), (1, '"1|1.0"'), (10, '"10|10.0"'), (0.001, '"0.001"')])
def test_a_bucket_is_asked_for_as_prometheus_writes_it(helm: str, seconds: float, bound: str) -> None:
    values = {"monitoring": {"prometheusRule": {"enabled": True, "slo": {"seconds": seconds}}}}
    (rule,) = of_kind(render(helm, values=values), "PrometheusRule")
    burning = [a["expr"] for a in alerts(rule["spec"]) if a["alert"] == "EverwarmLatencyBudgetBurns"]
    assert all(re.findall(r"le=~(\S+?)}", expression) == [bound] * 2 for expression in burning)


def series(metric: str, values: str, more: str = "") -> Json:
    return {"series": f"{metric}{{{SERVICE}{more}}}", "values": values}


def requests(slow: int, all_of_them: int) -> list[Json]:
    """What a server shows of `all_of_them` requests in a minute, of which `slow` miss the objective."""
    return [
        series("everwarm_request_seconds_bucket", f"0+{all_of_them - slow}x500", ',le="0.5"'),
        series("everwarm_request_seconds_count", f"0+{all_of_them}x500"),
    ]


LAST_PASS = "everwarm_operator_last_pass_time_seconds"
UP = "everwarm_operator_prometheus_up"
MISSING = 'everwarm_operator_decisions_total{reason="MissingData"}'
STEADY = 'everwarm_operator_decisions_total{reason="Steady"}'
FAILED = "everwarm_operator_service_errors_total"


def plain(name: str, values: str) -> list[Json]:
    return [{"series": name, "values": values}]


def answered(code: int, per_minute: int) -> Json:
    return series("everwarm_requests_total", f"0+{per_minute}x90", f',code="{code}"')


def cold(per_minute: int) -> Json:
    return series("everwarm_cold_start_requests_total", f"0+{per_minute}x90")


# What happens, the alert, the series by the minute, when to look, the severities that fire.
CASES: list[tuple[str, str, list[Json], str, list[str]]] = [
    ("passes are made", "EverwarmOperatorStopped", plain(LAST_PASS, "0+60x60"), "30m", []),
    ("passes end", "EverwarmOperatorStopped", plain(LAST_PASS, "0+60x10 600x50"), "30m", ["critical"]),
    ("no pass ever", "EverwarmOperatorStopped", plain(LAST_PASS, "0x60"), "30m", ["critical"]),
    ("no operator", "EverwarmOperatorStopped", [], "30m", ["critical"]),
    ("Prometheus answers", "EverwarmPrometheusSilent", plain(UP, "0 1x60"), "30m", []),
    ("Prometheus is silent", "EverwarmPrometheusSilent", plain(UP, "1 0x60"), "30m", ["warning"]),
    ("data", "EverwarmDataMissing", plain(STEADY, "0+4x60"), "60m", []),
    ("no data", "EverwarmDataMissing", plain(MISSING, "0+4x60"), "60m", ["warning"]),
    ("no data for a moment", "EverwarmDataMissing", plain(MISSING, "0 4x60"), "20m", []),
    ("services fail", "EverwarmServiceErrors", plain(FAILED, "0+1x60"), "60m", ["warning"]),
    ("no service fails", "EverwarmServiceErrors", plain(FAILED, "3x60"), "60m", []),
    ("fast", "EverwarmLatencyBudgetBurns", requests(4, 100), "400m", []),
    ("slower than promised", "EverwarmLatencyBudgetBurns", requests(35, 100), "400m", ["warning"]),
    ("far slower than promised", "EverwarmLatencyBudgetBurns", requests(80, 100), "400m", ["critical", "warning"]),
    ("idle", "EverwarmLatencyBudgetBurns", requests(0, 0), "400m", []),
    ("warm", "EverwarmColdStarts", [cold(1), answered(200, 50)], "60m", []),
    ("cold", "EverwarmColdStarts", [cold(10), answered(200, 50)], "60m", ["warning"]),
    ("failing", "EverwarmErrors", [answered(503, 5), answered(200, 50)], "60m", ["critical"]),
    ("refusing", "EverwarmErrors", [answered(400, 5), answered(200, 50)], "60m", []),
]


def test_an_alert_fires_on_what_it_is_for_and_on_nothing_else(groups: Json, promtool: str, tmp_path: Path) -> None:
    assert {case[1] for case in CASES} == {alert["alert"] for alert in alerts(groups)}
    cases = []
    for name, alert, given, at, severities in CASES:
        of_model = {"namespace_name": "ns", "service_name": "digits"} if alert in of_models(groups) else {}
        expected = [{"exp_labels": {"severity": severity, **of_model}} for severity in severities]
        look = {"eval_time": at, "alertname": alert, "exp_alerts": expected}
        cases.append({"name": name, "interval": "1m", "input_series": given, "alert_rule_test": [look]})
    check(groups, promtool, tmp_path)
    for alert in alerts(groups):
        del alert["annotations"]  # promtool would want each sentence here again
    evaluate(groups, cases, promtool, tmp_path)


def of_models(groups: Json) -> set[str]:
    return {
        rule["alert"] for group in groups["groups"] for rule in group["rules"] if group["name"] == "everwarm.models"
    }


def check(groups: Json, promtool: str, folder: Path) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
    run([promtool, "check", "rules", folder / "rules.yaml"])


def evaluate(groups: Json, cases: list[Json], promtool: str, folder: Path) -> None:
    """Lets promtool evaluate the alerts over the series of each case; the failure has its differences."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": cases}
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    try:
        run([promtool, "test", "rules", folder / "tests.yaml"])
    except CommandFailed as failed:
        pytest.fail(str(failed))


def test_the_sentences_of_an_alert_are_filled_in(groups: Json, promtool: str, tmp_path: Path) -> None:
    fired = {
        "exp_labels": {"severity": "critical", "namespace_name": "ns", "service_name": "digits"},
        "exp_annotations": {
            "summary": "ns/digits fails",
            "description": "25% of the requests were answered with a 5xx.",
        },
    }
    look = {"eval_time": "60m", "alertname": "EverwarmErrors", "exp_alerts": [fired]}
    case = {"interval": "1m", "input_series": [answered(503, 10), answered(200, 30)], "alert_rule_test": [look]}
    evaluate(groups, [case], promtool, tmp_path)


def scrape_jobs(helm: str) -> list[Json]:
    objects = render(helm, values={"monitoring": {"scrapeConfig": {"enabled": True}}})
    (config,) = [f for f in of_kind(objects, "ConfigMap") if f["metadata"]["name"] == "everwarm-scrape-config"]
    jobs: list[Json] = yaml.safe_load(config["data"]["everwarm.yaml"])["scrape_configs"]
    return jobs


def test_the_scrape_config_is_one_that_prometheus_takes(helm: str, promtool: str, tmp_path: Path) -> None:
    jobs = scrape_jobs(helm)
    for job in jobs:
        del job["kubernetes_sd_configs"]  # Debian's promtool is built without it
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
    run([promtool, "check", "config", "--syntax-only", tmp_path / "prometheus.yaml"])


def test_pod_monitors_label_and_choose_as_the_scrape_config_does(helm: str) -> None:
    """The Prometheus operator turns port and selector into keep rules of its own, so those are compared by meaning."""
    monitors = of_kind(render(helm, values={"monitoring": {"podMonitor": {"enabled": True}}}), "PodMonitor")
    assert [described_monitor(monitor) for monitor in monitors] == [described_job(job) for job in scrape_jobs(helm)]


def described_monitor(monitor: Json) -> Json:
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    selector = monitor["spec"]["selector"]
    kept = {(e["key"], "|".join(e.get("values", ["true"]))) for e in selector.get("matchExpressions", [])}
    kept |= set(selector.get("matchLabels", {}).items()) - {("app.kubernetes.io/instance", "everwarm")}
    return {
        "honor": endpoint["honorLabels"],
        "interval": endpoint["interval"],
        "namespaces": monitor["spec"]["namespaceSelector"].get("matchNames", []),
        "kept": {(re.sub(r"\W", "_", key), value) for key, value in kept},
        "port": endpoint["port"],
        "relabelings": [
            {
                "source_labels": rule["sourceLabels"],
                "target_label": rule["targetLabel"],
                **{key: rule[key] for key in ("regex", "replacement") if key in rule},
            }
            for rule in endpoint["relabelings"]
        ],
    }


def described_job(job: Json) -> Json:
    keep, *rest = job["relabel_configs"]
    assert keep["action"] == "keep"
    phase, *names, port = keep["source_labels"]
    assert (phase, port) == ("__meta_kubernetes_pod_phase", "__meta_kubernetes_pod_container_port_name")
    running, *values, port_name = keep["regex"].split(";")
    assert running == "Running"
    return {
        "honor": job["honor_labels"],
        "interval": job["scrape_interval"],
        "namespaces": job["kubernetes_sd_configs"][0].get("namespaces", {}).get("names", []),
        "kept": {
            (re.sub("^__meta_kubernetes_pod_label(present)?_", "", name), value.strip("()"))
            for name, value in zip(names, values, strict=True)
        },
        "port": port_name,
        "relabelings": rest,
    }


def dashboard(helm: str) -> Json:
    objects = render(helm, values={"monitoring": {"dashboard": {"enabled": True}}})
    (found,) = [f for f in of_kind(objects, "ConfigMap") if f["metadata"]["labels"].get("grafana_dashboard") == "1"]
    content: Json = json.loads(found["data"]["everwarm.json"])
    return content


def test_the_dashboard_asks_for_metrics_that_exist_in_queries_that_prometheus_reads(helm: str) -> None:
    content = dashboard(helm)
    texts = [target["expr"] for panel in content["panels"] for target in panel["targets"]]
    for text in texts:
        promql_parser.parse(text.replace("$__rate_interval", "1m"))
    asked = {name for text in texts for name in re.findall(r"everwarm_\w+", text)}
    # Counters with labels that only what happens fills in show their first sample with it.
    late = {"everwarm_requests_total", "everwarm_operator_floor_writes_total", "everwarm_load_seconds"}
    assert asked - late <= exposed()
    variables = {variable["name"] for variable in content["templating"]["list"]}
    assert {name for text in texts for name in re.findall(r"\$(\w+)", text)} - {"__rate_interval"} <= variables


def test_no_two_panels_of_the_dashboard_overlap_and_each_says_what_it_shows(helm: str) -> None:
    panels = dashboard(helm)["panels"]
    corners = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert corners == {(x, 8 * y) for x in (0, 12) for y in range(len(panels) // 2)}
    assert all(panel["description"].endswith(".") for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
