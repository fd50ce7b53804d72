"""Prometheus' configuration: that of manifests/prometheus.yaml, with its discovery replaced by a file."""

import yaml

from harness.paths import ROOT, RUN

SCRAPE_INTERVAL = "2s"  # decisions of the operator under test follow within seconds


def configuration() -> str:
    """Returns the text of Prometheus' configuration file."""
    shipped = yaml.safe_load((ROOT / "manifests" / "prometheus.yaml").read_text())
    jobs = []
    for job in shipped["scrape_configs"]:
        discovery = {"file_sd_configs": [{"files": [str(RUN / "targets.json")], "refresh_interval": "5s"}]}
        namespaces = job.pop("kubernetes_sd_configs")[0].get("namespaces", {}).get("names", [])
        job["scrape_interval"] = job["scrape_timeout"] = SCRAPE_INTERVAL
        if namespaces:
            within = {"source_labels": ["__meta_kubernetes_namespace"], "regex": "|".join(namespaces), "action": "keep"}
            job["relabel_configs"].insert(0, within)
        jobs.append({**job, **discovery})
    return yaml.safe_dump({"scrape_configs": jobs}, sort_keys=False)
