"""Pure: Knative's Ingresses and the Endpoints of their backends -> Envoy's routes, clusters and endpoints.

Nothing here reads a socket, a clock or a file. Shapes: Envoy's v3 API as JSON, and
networking.internal.knative.dev/v1alpha1.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

_PORT_NAMES = {80: "http", 81: "http2", 443: "https"}  # as Knative names the ports of a revision's Service
_VISIBILITY = {"public": "ExternalIP", "local": "ClusterLocal"}
_PROBE_HEADER = "K-Network-Hash"
_TYPES = "type.googleapis.com/envoy"
_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def network_hash(ingress: Json) -> str:
    """Returns what tells this version of an Ingress from every other: the answer to a probe by its routes."""
    metadata = ingress["metadata"]
    text = json.dumps([metadata["namespace"], metadata["name"], ingress["spec"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hosts(ingress: Json, listener: str) -> list[str]:
    """Returns the hosts that a listener (`public` or `local`) serves for an Ingress."""
    return [host for rule in _rules(ingress, listener) for host in rule.get("hosts", [])]


def routes(ingresses: Iterable[Json], listener: str) -> Json:
    """Returns the route configuration of one listener; where two Ingresses want a host, the older one has it."""
    taken: set[str] = set()
    virtual_hosts = []
    for ingress in sorted(ingresses, key=_age):
        for number, rule in enumerate(_rules(ingress, listener)):
            domains = [host for host in rule.get("hosts", []) if host not in taken]
            taken.update(domains)
            if domains:
                name = f"{_key(ingress)}/{number}"
                virtual_hosts.append({"name": name, "domains": domains, "routes": _routes_of(ingress, rule)})
    return {
        "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
        "name": listener,
        "virtual_hosts": virtual_hosts,
        "ignore_port_in_host_matching": True,
        # When the request came in: by it a server tells who waited for it to start (Kourier adds no such header, and
        # servers behind it count only what arrives in their first half second).
        "request_headers_to_add": [_header("X-Request-Start", "t=%START_TIME(%s.%3f)%", "ADD_IF_ABSENT")],
    }


def clusters(ingresses: Iterable[Json], endpoints_path: str) -> list[Json]:
    """Returns one cluster per backend; in `endpoints_path`, `{}` stands for the backend's file name."""
    found = {name: port for name, _, _, port in _backends(ingresses)}
    return [_cluster(name, port, endpoints_path.format(file_name(name))) for name, port in sorted(found.items())]


def assignments(ingresses: Iterable[Json], endpoints: Mapping[tuple[str, str], Json]) -> dict[str, Json]:
    """Returns the addresses of each backend by its name; `endpoints` are core/v1 Endpoints by (namespace, name)."""
    found = {}
    for name, namespace, service, port in _backends(ingresses):
        addresses = _addresses(endpoints.get((namespace, service), {}), port)
        entries = [
            {"endpoint": {"address": {"socket_address": {"address": ip, "port_value": number}}}}
            for ip, number in addresses
        ]
        found[name] = {
            "@type": f"{_TYPES}.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": entries}] if entries else [],
        }
    return found


def file_name(backend: str) -> str:
    """Returns a backend's name as the name of a file."""
    return backend.replace("/", ".").replace(":", ".")


def _rules(ingress: Json, listener: str) -> list[Json]:
    wanted = _VISIBILITY[listener]
    return [rule for rule in ingress["spec"].get("rules", []) if (rule.get("visibility") or "ExternalIP") == wanted]


def _routes_of(ingress: Json, rule: Json) -> list[Json]:
    """Returns a rule's routes: first those that only a probe takes, which say which version they are of."""
    plain = [_route(path) for path in rule["http"]["paths"]]
    probes = []
    for path in rule["http"]["paths"]:
        probe = _route({**path, "headers": {**path.get("headers", {}), _PROBE_HEADER: {"exact": "override"}}})
        probe["request_headers_to_add"].append(_header(_PROBE_HEADER, network_hash(ingress)))
        probes.append(probe)
    return [*probes, *plain]


def _route(path: Json) -> Json:
    matches = [
        {"name": name, "string_match": {"exact": match["exact"]}}
        for name, match in sorted(path.get("headers", {}).items())
    ]
    action: Json = {
        "weighted_clusters": {"clusters": [_weighted(split) for split in path["splits"]]},
        "timeout": "0s",
        # Only what certainly reached no pod is tried again.
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2},
    }
    if path.get("rewriteHost"):
        action["host_rewrite_literal"] = path["rewriteHost"]
    return {
        "match": {"prefix": path.get("path") or "/", "headers": matches},
        "route": action,
        "request_headers_to_add": _headers(path.get("appendHeaders")),
    }


def _weighted(split: Json) -> Json:
    return {
        "name": _backend(split),
        "weight": split.get("percent") or 100,
        "request_headers_to_add": _headers(split.get("appendHeaders")),
    }


def _backends(ingresses: Iterable[Json]) -> Iterable[tuple[str, str, str, int | str]]:
    for ingress in ingresses:
        for rule in ingress["spec"].get("rules", []):
            for path in rule["http"]["paths"]:
                for split in path["splits"]:
                    yield _backend(split), split["serviceNamespace"], split["serviceName"], split["servicePort"]


def _backend(split: Json) -> str:
    return f"{split['serviceNamespace']}/{split['serviceName']}:{split['servicePort']}"


def _cluster(name: str, port: int | str, path: str) -> Json:
    most = 1_000_000  # the activator and the queue-proxy limit; a limit here would refuse what they would hold
    thresholds = [{"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": most}]
    protocol = "http2_protocol_options" if port in (81, "http2") else "http_protocol_options"
    options = {"@type": f"type.googleapis.com/{_PROTOCOL_OPTIONS}", "explicit_http_config": {protocol: {}}}
    return {
        "@type": f"{_TYPES}.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {"eds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"}},
        "circuit_breakers": {"thresholds": thresholds},
        "typed_extension_protocol_options": {_PROTOCOL_OPTIONS: options},
    }


def _addresses(endpoints: Json, port: int | str) -> list[tuple[str, int]]:
    wanted = _PORT_NAMES.get(port, str(port)) if isinstance(port, int) else port
    found = []
    for subset in endpoints.get("subsets") or []:
        ports = subset.get("ports") or []
        number = next((entry["port"] for entry in ports if entry.get("name") == wanted), None)
        if number is None and len(ports) == 1:
            number = ports[0]["port"]
        if number is not None:
            found += [(address["ip"], number) for address in subset.get("addresses") or []]
    return sorted(found)


def _headers(headers: Mapping[str, str] | None) -> list[Json]:
    return [_header(name, value) for name, value in sorted((headers or {}).items())]


def _header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Json:
    return {"header": {"key": name, "value": value}, "append_action": action}


def _key(ingress: Json) -> str:
    return f"{ingress['metadata']['namespace']}/{ingress['metadata']['name']}"


def _age(ingress: Json) -> tuple[str, str]:
    return ingress["metadata"].get("creationTimestamp", ""), _key(ingress)
